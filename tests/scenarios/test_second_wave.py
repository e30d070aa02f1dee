"""The second wave: a race for an empty book, which the band round an external price takes away."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

import pytest

from harness.engine import Run, execute
from scenarios.second_wave import second_wave
from target_stub.guards import GUARDS, POST_ONLY_BAND, REOPENING_GUARDS
from tests.scenarios.searches import broken, runs

#: How many schedules the default search may need, and in how many the guards are tried here.
BUDGET, HELD = 100, 25
JUSTIFIED = "liquidations_are_justified"
EVERYTHING_BUT_THE_BAND = ",".join(
    guard for guard in (*GUARDS, *REOPENING_GUARDS) if guard != POST_ONLY_BAND
)


@lru_cache(maxsize=4)
def shown(guards: str) -> Run:
    """The first schedule in which the second wave happens with some guards."""
    tried = runs(
        seed=1, schedules=BUDGET, variant=second_wave.variant(guards=guards), scenario=second_wave
    )
    found = next((run for run in tried if JUSTIFIED in broken(run)), None)
    assert found is not None, f"not found in {BUDGET} schedules"
    return found


@pytest.mark.parametrize("guards", ["none", POST_ONLY_BAND, "all"])
def test_who_comes_first_is_served_first_and_nothing_happens(guards: str) -> None:
    for seed in (1, 2):
        run = execute(second_wave, seed=seed, variant=second_wave.variant(guards=guards))
        assert not run.violations, run.violations
        assert not run.unknown
        assert run.judged[JUSTIFIED]
        assert run.restarts == 3


@pytest.mark.parametrize("guards", ["none", EVERYTHING_BUT_THE_BAND])
def test_without_the_band_the_default_search_finds_wrongful_liquidations(guards: str) -> None:
    run = shown(guards)
    assert broken(run) == {JUSTIFIED, "marks_are_near_an_outside_price"}
    violation = next(each for each in run.violations if each.invariant == JUSTIFIED)
    assert violation.accounts
    assert Decimal(violation.loss_usdc) > 0


def test_the_mark_price_leaves_the_spot_price_in_a_book_that_the_stranger_made() -> None:
    run = shown("none")
    marks = [
        Decimal(str(event.value).removeprefix("mark "))
        for event in run.history
        if event.resource == "chain/markets/PAXG-USD-PERP"
    ]
    assert min(marks) < Decimal(4670) * Decimal("0.99")
    assert max(marks) < Decimal(4670) * Decimal("1.001")


def test_with_the_band_the_stranger_cannot_ask_below_the_market() -> None:
    for guards, reason in (("none", "POST_ONLY_WOULD_TRADE"), (POST_ONLY_BAND, "OUTSIDE_BAND")):
        run = execute(second_wave, seed=1, variant=second_wave.variant(guards=guards))
        told = [str(event.value) for event in run.history if event.lane == "stranger"]
        assert any(reason in each for each in told), guards


@pytest.mark.parametrize("guards", [POST_ONLY_BAND, "all"])
def test_with_the_band_every_liquidation_is_justified(guards: str) -> None:
    judged = 0
    variant = second_wave.variant(guards=guards)
    for run in runs(seed=3, schedules=HELD, variant=variant, scenario=second_wave):
        assert not run.violations, (run.token, run.violations)
        assert not run.unknown
        judged += bool(run.judged[JUSTIFIED])
    assert judged > HELD * 0.9
