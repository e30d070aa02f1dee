"""The reference exchange as real processes: the same race, the same rules, the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.engine import Run, execute
from harness.schedule.choices import Option
from scenarios.live_paradex import paradex_reduced_live

pytest.importorskip("h11", reason="needs h11: pip install 'changeover[live]'")
pytestmark = pytest.mark.usefixtures("walls")


def while_the_database_is_away(options: Sequence[Option], step: int) -> int:
    """Market data crashes as soon as the database is away; all else is first in, first out."""
    labels = [option.label for option in options]
    if labels[0] == "outside#1: clock -> 4800 ms":
        return next((at for at, label in enumerate(labels) if "crash restart" in label), 0)
    return 0


def played(guards: str) -> Run:
    variant = paradex_reduced_live.variant(guards=guards)
    choose = while_the_database_is_away
    return execute(paradex_reduced_live, seed=0, choose=choose, variant=variant, recorded=True)


def test_a_restart_while_the_database_is_away_zeroes_the_index_and_liquidates() -> None:
    made, again = played("none"), played("none")
    assert (made.taken, made.offered, made.digest) == (again.taken, again.offered, again.digest)
    assert made.ending.kind == "finished" and made.restarts == 1 and not made.unknown
    first = made.violations[0]
    assert first.invariant == "funding_index_step_is_bounded"
    assert first.message.startswith(
        "The BTC-USD-PERP funding index jumped from -2819.53434361 to 0 (committed). In 5 s "
        "funding can move it by 0.3229"
    )
    assert (first.lane, first.phase, first.at_ms // 100) == ("market_data#2", "hydrate", 50)
    broken = {each.invariant: each for each in made.violations}
    assert broken["liquidations_are_justified"].accounts
    assert "had yet to load BTC-USD-PERP" in broken["nobody_writes_before_it_is_ready"].message
    assert made.reached["wrong value published"] and made.blast_radius
    assert {"copies_agree", "published_is_committed", "cash_is_conserved"} <= set(made.held)


def test_under_the_same_order_all_guards_hold() -> None:
    made = played("all")
    assert made.ending.kind == "finished" and made.restarts == 1 and made.overlapped
    assert not made.violations and not made.unknown
    ready = [event.at_ms for event in made.history if event.lane == "market_data#2"][-1]
    assert ready > 5_020, "it hydrates when the database is back"
