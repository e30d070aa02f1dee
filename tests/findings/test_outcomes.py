"""The outcomes that are not a violation say what happened, why, and what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.findings.outcomes import (
    Diverged,
    NotDeterministic,
    Side,
    StepLimit,
    Stuck,
    Vacuous,
    Waiting,
    render_diverged,
    render_not_deterministic,
    render_step_limit,
    render_stuck,
    render_vacuous,
)
from harness.schedule.choices import Schedule

TOKEN = "funding_restart@4211:8=1"
OTHERS = ("funding", "nemesis")


def not_deterministic(*, ascii: bool = False, long: int = 1) -> str:
    first = Side("matching: fill order 7" * long, OTHERS * long)
    outcome = NotDeterministic(TOKEN, 17, first, Side("matching: fill order 3", OTHERS))
    return render_not_deterministic(outcome, ascii=ascii)


def diverged(*, ascii: bool = False, long: int = 1) -> str:
    able = ("taker", "matching") * long
    changed = ("target_stub/services.py",) * long
    outcome = Diverged(
        TOKEN, 8, "nemesis: crash funding" * long, able, "git 1f3c9ab", "77d0e12", changed
    )
    return render_diverged(outcome, ascii=ascii)


def vacuous(*, ascii: bool = False, long: int = 1) -> str:
    return render_vacuous(Vacuous("funding_restart" * long, 50, 4211, OTHERS * long), ascii=ascii)


def stuck(*, ascii: bool = False, long: int = 1) -> str:
    lanes = (
        Waiting("taker", "matching: ack (order 9) " * long, 22),
        Waiting("funding", "crashed, no restart scheduled", 24, down=True),
    )
    return render_stuck(Stuck(TOKEN, 40, lanes), ascii=ascii)


def step_limit(*, ascii: bool = False, long: int = 1) -> str:
    steps = ("taker retry", "gateway refuse") * long
    return render_step_limit(StepLimit(TOKEN, 2000, steps), ascii=ascii)


ALL = [
    (not_deterministic, "NOT DETERMINISTIC   the same schedule gave two histories (exit 3)"),
    (diverged, f"REPLAY DIVERGED     {TOKEN} no longer fits the code (exit 3)"),
    (vacuous, "VACUOUS             funding_restart held, but no restart overlapped"),
    (stuck, "STUCK               no lane can run and no timer is pending (step 40)"),
    (step_limit, "STEP LIMIT          2,000 steps without finishing"),
]


@pytest.mark.parametrize(("render", "start"), ALL)
def test_each_outcome_says_its_name_and_fits(render: Callable[..., str], start: str) -> None:
    assert render().startswith(start)
    for text in (render(), render(long=4), render(ascii=True, long=30)):
        lines = text.splitlines()
        assert max(map(len, lines)) <= 80
        assert all(line.startswith("    ") for line in lines[1:])
    assert render(ascii=True).isascii()


def test_each_names_how_to_see_it_again() -> None:
    for render in (not_deterministic, diverged, stuck, step_limit):
        command = next(line for line in render().splitlines() if "changeover replay" in line)
        assert Schedule.parse(command.split()[2]).token == TOKEN
    assert "--continue" in diverged()
    assert "seed 4211" in vacuous()


def test_two_runs_are_compared_at_the_first_difference() -> None:
    text = not_deterministic()
    assert "identical for 17 steps, then at step 18" in text
    assert "first run    matching: fill order 7" in text
    assert "second run   matching: fill order 3" in text
    assert "could also run: funding, nemesis" in text
    causes = " ".join(text.partition("usual causes:")[2].split())
    for cause in ("a set (of objects; of strings", "hash()", "module", "bound at import"):
        assert cause in causes


def test_a_divergence_shows_both_sides_and_what_changed() -> None:
    text = diverged()
    assert "step 8 should run  nemesis: crash funding" in text
    assert "but only           taker, matching can run" in text
    assert "recorded with git 1f3c9ab, now 77d0e12 (target_stub/services.py changed)" in text


def test_who_is_stuck_waits_for_somebody() -> None:
    text = stuck()
    assert "taker    waits for  matching: ack (order 9)" in text
    assert "since step 22" in text
    assert "is down    (crashed, no restart scheduled)" in text
