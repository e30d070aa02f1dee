"""Sets of strings: the command hashes them alike in each process, and findings say how it was."""

from __future__ import annotations

import pytest

from harness.findings import store
from harness.findings.finding import HASH_SEED
from tests.doors.projects import Done, Project

#: A rule that tells in which order a set of strings comes in this process, and a story that only
#: fails where nobody has fixed that.
STRINGS = """
import os
from harness import Broken, scenario

SEED = os.environ.get("PYTHONHASHSEED") or "random"

@scenario
async def strings(world):
    @world.invariant(at_end=True)
    def in_order():
        names = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}
        raise Broken(f"{SEED}: {' '.join(names)}")

@scenario
async def unfixed(world):
    assert SEED != "random", "strings hash as they like"
"""
TEST = """
import pytest

@pytest.mark.race("unfixed")
def test_race(race):
    race()
"""


@pytest.fixture
def strings(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    (project.folder / "ledgers.py").write_text(STRINGS)
    return project


def order_in(done: Done) -> str:
    assert done.returncode == 1, done.stderr
    return done.stdout.partition("in_order")[2].split("Rule:")[0].split("\n\n")[1]


def test_a_token_does_the_same_in_every_process(strings: Project) -> None:
    first, second = (strings.type("changeover", "replay", "strings@1") for _ in range(2))
    assert order_in(first) == order_in(second)
    assert "0: " in order_in(first)


def test_a_seed_of_the_environment_is_kept(strings: Project) -> None:
    done = strings.type("changeover", "replay", "strings@1", PYTHONHASHSEED="7")
    assert "7: " in order_in(done)
    (path,) = strings.findings()
    assert store.load(path).versions[HASH_SEED] == "7"


def test_a_replay_suspects_a_hash_seed_that_was_random(strings: Project) -> None:
    (strings.folder / "test_race.py").write_text(TEST)
    assert strings.type("pytest").returncode == 1
    (path,) = strings.findings()
    assert store.load(path).versions[HASH_SEED] == "random"
    done = strings.type("changeover", "replay", "last")
    assert done.returncode == 0
    told = " ".join((done.stdout + done.stderr).split())
    assert "FIXED" in told
    assert "first suspect: made under a random PYTHONHASHSEED, here it is 0;" in told
    assert "PYTHONHASHSEED=0 pytest ..." in told
