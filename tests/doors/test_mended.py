"""A finding, its mend, and what every door says about it afterwards: the example of the README."""

from __future__ import annotations

import re

import pytest

from harness.findings import store
from tests.doors.projects import ROOT, Project

TEST = "test_deposits_race.py"
EXAMPLE = (ROOT / "docs" / "examples" / TEST).read_text(encoding="utf-8")
KEPT = "the order was kept by its ordering constraints, and the bug is gone"


def mended(text: str) -> str:
    """The example after the diff that the README shows."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (diff,) = re.findall(r"```diff\n(.*?)```", page, re.DOTALL)
    lines = diff.splitlines()
    out = [line[1:] + "\n" for line in lines if line.startswith("-")]
    new = "".join(line[1:] + "\n" for line in lines if line.startswith("+"))
    assert len(out) == 3 and all(line in text for line in out)
    return text.replace(out[0], "").replace(out[1], "").replace(out[2], new)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Another project, in which the example was searched."""
    elsewhere = Project(tmp_path_factory.mktemp("searched"))
    edit(elsewhere, EXAMPLE)
    assert elsewhere.type("pytest", "--race-seed", "7", TEST).returncode == 1
    return elsewhere


@pytest.fixture
def found(project: Project, searched: Project) -> tuple[str, str]:
    """The finding of the example: its short name and its token, kept as a regression."""
    edit(project, EXAMPLE)
    (path,) = searched.findings()
    finding = store.load(path)
    store.save(finding, project.folder / store.ROOT)
    store.keep(finding, "no money is lost", project.folder / store.REGRESSIONS, "deposit")
    return finding.identity, finding.token


def edit(project: Project, text: str) -> None:
    (project.folder / TEST).write_text(text, encoding="utf-8")


def said(*texts: str) -> str:
    return " ".join(" ".join(texts).split())


def test_mended_it_is_fixed_at_every_door(project: Project, found: tuple[str, str]) -> None:
    identity, token = found
    edit(project, mended(EXAMPLE))
    for words in (
        ("changeover", "replay", identity),
        ("pytest", f"--race-replay={token}", TEST),
    ):
        done = project.type(*words)
        told = said(done.stdout, done.stderr)
        assert done.returncode == 0, told
        assert f"FIXED {token}" in told
        assert KEPT in told
        assert "PYTHONHASHSEED" not in told, "the code was edited: that is reason enough"
    searched = project.type("pytest", "--race-seed", "7", "--race-statistics", TEST)
    assert searched.returncode == 0, searched.stdout
    held = "regressions 1 holds by its ordering constraints: the recorded steps have moved"
    assert held in said(searched.stdout)
    assert "guards nothing" not in searched.stdout
    assert len(project.findings()) == 1


def test_mended_by_half_it_still_fails(project: Project, found: tuple[str, str]) -> None:
    """The total is written in a transaction now, and still kept in memory."""
    put = '        await database.put("totals", "usdc", {"amount": total})\n'
    half = (
        "        async with database.transaction() as books:\n"
        '            await books.put("totals", "usdc", {"amount": total})\n'
    )
    assert put in EXAMPLE
    booted = '    life.enter("ready")\n'
    later = f'    await database.get("totals", "usdc")\n{booted}'
    edit(project, EXAMPLE.replace(put, half).replace(booted, later))
    done = project.type("changeover", "replay", found[0])
    assert done.returncode == 1, done.stdout
    assert "RACE  every_acknowledged_deposit_survives" in done.stdout
    assert re.search("replayed by its (ordering constraints|labels): the recorded", done.stdout)
    shrunk = project.type("changeover", "shrink", found[0], "--budget", "50")
    assert shrunk.returncode == 1, shrunk.stderr
    assert "RACE  every_acknowledged_deposit_survives" in shrunk.stdout


def test_a_step_that_is_gone_is_named_with_the_edit(
    project: Project, found: tuple[str, str]
) -> None:
    edit(project, EXAMPLE.replace('"crash", "rolling"', '"crash"'))
    done = project.type("changeover", "replay", found[1])
    told = said(done.stdout)
    assert done.returncode == 3, told
    assert "step 7 should run nemesis: rolling restart of ledger but only " in told
    assert "no step has that name any more" in told
    assert "never precedes" in told
    assert f"first suspect: {TEST} was edited since it was recorded" in told
    assert "PYTHONHASHSEED" not in told


def test_the_token_of_a_saved_finding_is_that_finding(
    project: Project, found: tuple[str, str]
) -> None:
    (path,) = project.findings()
    before = store.load(path)
    done = project.changeover("replay", found[1])
    assert done.returncode == 1
    assert "one-minimal" in done.stdout and f"changeover keep {before.identity}" in done.stdout
    assert store.load(path) == before
