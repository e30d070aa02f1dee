"""The whole exchange: clean however its services restart, and every kind of order is in it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.engine import execute
from harness.schedule.choices import Option
from harness.world.world import World
from scenarios import whole_exchange as module
from scenarios.whole_exchange import RESTARTS, open_exchange, whole_exchange
from scenarios.whole_services import WholeExchange
from target_stub.cloud.journal import TABLE
from target_stub.core import FollowChain, Mode, SetMode
from tests.scenarios.searches import runs


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_first_in_first_out_is_clean(seed: int) -> None:
    run = execute(whole_exchange, seed=seed)
    assert not run.violations, run.violations
    assert not run.unknown
    assert run.ending.kind == "finished"


def test_the_default_search_accuses_nobody_and_reaches_every_mark() -> None:
    reached: set[str] = set()
    restarted: set[str] = set()
    for run in runs(seed=1, schedules=60, variant={}, scenario=whole_exchange):
        assert not run.violations, (run.token, run.violations)
        assert not run.unknown
        reached |= {mark for mark, count in run.reached.items() if count}
        restarted |= {event.lane for event in run.history if event.kind == "phase"}
    assert set(whole_exchange.must_reach) <= reached
    assert (
        len({lane.partition("#")[0] for lane in restarted if not lane.endswith("#1")})
        >= len(RESTARTS) - 2
    )


def struck_when_the_mode_is_set(options: Sequence[Option], step: int) -> int:
    """First in first out, but matching crashes when the operator sets the mode."""
    if options[0].label == "operator: deliver mode.set":
        for place, option in enumerate(options):
            if option.label == "nemesis: crash restart of matching":
                return place
    return 0


@pytest.mark.parametrize("guards", ["mode_gate", "none"])
def test_who_is_down_when_the_mode_is_told_knows_it_only_if_the_chain_does(
    guards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[WholeExchange] = []

    def kept(world: World) -> WholeExchange:
        opened.append(open_exchange(world))
        return opened[-1]

    monkeypatch.setattr(module, "open_exchange", kept)
    run = execute(
        whole_exchange, seed=1, choose=struck_when_the_mode_is_set, variant={"guards": guards}
    )
    assert run.restarts == 1
    journal = [row["command"] for row in opened[0].database.table(TABLE).values()]
    modes = [each.mode for each in journal if isinstance(each, FollowChain | SetMode) and each.mode]
    assert Mode.CANCEL_ONLY in modes
    assert (Mode.MAINTENANCE in modes) == (guards == "mode_gate")
