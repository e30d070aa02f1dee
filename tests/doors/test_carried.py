"""``changeover replay --as``: a schedule of one scenario tried in another of the same story."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import carrying
from tests.doors.projects import Project

TELLINGS = (Path(__file__).parent / "tellings.txt").read_text(encoding="utf-8")
#: Late writes first: ``early_is_first`` breaks where it is a rule.
TOKEN = "spoken@1:2=1"
CHOICES = re.compile(r"(?<= as )(\S+@1)\S*")


@pytest.fixture
def tellings(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with one story told by several scenarios."""
    monkeypatch.setattr(carrying, "_kin", {})
    with (project.folder / "ledgers.py").open("a", encoding="utf-8") as file:
        file.write(TELLINGS)
    return project


@pytest.mark.parametrize(
    ("into", "code", "words"),
    [
        (
            "written",
            1,
            "FOUND AGAIN  spoken@1:2=1\n"
            "    as written+bug=rude+guards=none@1\n"
            "    spoken breaks early_is_first, written breaks early_is_first\n"
            "    the same order of what both have, 1 step\n"
            "STILL FAILS  written+bug=rude+guards=none@1:",
        ),
        (
            "otherwise",
            1,
            "ANOTHER BUG  spoken@1:2=1\n"
            "    as otherwise+bug=rude@1\n"
            "    spoken breaks early_is_first, otherwise breaks nobody_writes_late\n",
        ),
        (
            "unruled",
            0,
            "HELD         spoken@1:2=1\n"
            "    as unruled+bug=rude@1\n"
            "    spoken breaks early_is_first, unruled breaks no rule\n"
            "    the same order of what both have, 1 step",
        ),
        (
            "orderly",
            3,
            "DIVERGED     spoken@1:2=1\n"
            "    as orderly+bug=rude@1\n"
            "    spoken breaks early_is_first, orderly breaks no rule\n"
            "    the same order up to step 3, where 'late writes' was next\n"
            "    and could not go, so 'early: put ledger/lines/early' went",
        ),
    ],
)
def test_what_became_of_it_is_said_and_is_the_exit_code(
    tellings: Project, into: str, code: int, words: str
) -> None:
    done = tellings.changeover("replay", TOKEN, "--as", into)
    assert done.returncode == code, done.stderr
    assert words in CHOICES.sub(r"\1", done.stdout)


def test_what_is_found_again_is_a_finding_of_its_own_that_goes_back(tellings: Project) -> None:
    there = tellings.changeover("replay", TOKEN, "--as", "written")
    assert "RACE  early_is_first" in there.stdout
    assert tellings.changeover("replay", "last").returncode == 1
    back = tellings.changeover("replay", "last", "--as", "spoken")
    assert back.returncode == 1 and "FOUND AGAIN  written+bug=rude" in back.stdout
    assert "STILL FAILS  spoken@1:" in back.stdout


def test_guards_and_bug_are_the_same_whatever_is_the_default(tellings: Project) -> None:
    guarded = tellings.changeover("replay", "spoken+guards=polite@1", "--as", "written")
    assert guarded.stdout.startswith(
        "HELD         spoken+guards=polite@1\n    as written+bug=rude@1"
    )
    sound = tellings.changeover("replay", "spoken+bug=none@1", "--as", "unguarded")
    assert sound.stdout.startswith("HELD         spoken+bug=none@1\n    as unguarded@1")


def test_a_schedule_that_no_longer_fits_is_not_carried(tellings: Project) -> None:
    done = tellings.changeover("replay", "spoken@1:9=9", "--as", "written")
    assert done.returncode == 3 and "spoken@1:9=9 no longer fits the code" in done.stdout
    assert " as " not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sound@7", "--as", "written"), "nobody has said what the steps of sound are in another"),
        ((TOKEN, "--as", "sound"), "sound does not tell the story of spoken; that is told by: or"),
        ((TOKEN, "--as", "writen"), "unknown scenario 'writen'; did you mean 'written'?"),
        ((TOKEN, "--as", "unguarded"), "unknown bug of scenario unguarded 'rude'"),
        ((TOKEN, "--as", "written", "--continue"), "leave it or --as away"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_the_remedy(
    tellings: Project, arguments: tuple[str, ...], words: str
) -> None:
    done = tellings.changeover("replay", *arguments)
    assert done.returncode == 4 and words in done.stderr
