"""Services that share a Redis, through the gate: what is held, what waits, what gets lost."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from harness.engine import execute
from harness.errors import UsageError
from harness.live import companions, redis
from harness.live.launching import FORKED
from harness.live.redis import Control
from harness.live.scenario import live_restart, live_scenario
from harness.live.stage import LiveStage
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from tests.live.deployments import python
from tests.live.test_peers import all_orders
from tests.live.test_stage import last, run

pytestmark = [
    pytest.mark.usefixtures("walls"),
    pytest.mark.skipif(bool(redis.missing()), reason=redis.missing()),
]


def cached(*, kinds: Sequence[str] = (), **scripts: Sequence[str]) -> Scenario:
    """Services that ask one Redis; ``kinds`` of restarts strike the last one."""
    strikes = [live_restart(list(scripts)[-1], kinds=kinds)] if kinds else ()

    @live_scenario(name="live-cached", faults=strikes)
    def deployed(world: LiveWorld) -> None:
        world.redis("cache", prepare=["SET n 0"])
        for name, script in scripts.items():
            world.service(name, **python("cacher", *script), boot=FORKED)
        world.observe("n", "GET n", of="cache")
        world.observe("said", "LRANGE said 0 -1", of="cache")

        @world.invariant(at_end=True)
        def nothing_is_lost() -> None:
            assert world.value("n") != "1"

    return deployed


ADDS = ("GET n", "SET n {}")


def test_the_lost_update_is_in_four_of_six_orders_and_every_order_is_made_once() -> None:
    assert all_orders(cached(a=ADDS, b=ADDS), runs_max=12) == (6, 4)


def test_what_is_added_by_the_server_is_never_lost() -> None:
    assert all_orders(cached(a=["INCR n"], b=["INCR n"]), runs_max=4) == (2, 0)


def test_a_transaction_is_one_choice_and_fails_if_what_it_watched_has_changed() -> None:
    watched = ("WATCH n", "GET n", "pipe:MULTI", "pipe:SET n {}", "EXEC", "say:")
    scenario = cached(a=watched, b=["SET n 5"])
    made = run(scenario, "a#1.cache.0: WATCH n", "a#1.cache.0: GET n", "b#1.cache.0: SET n 5")
    assert made.taken[3:5] == ("a#1.cache.0: EXEC; SET n 1", "a#1.cache.0: RPUSH said nil")
    assert last(made, "n") == "5"
    made = run(scenario, "a#1.cache.0: WATCH n", "a#1.cache.0: GET n", "a#1.cache.0: EXEC; SET n 1")
    assert last(made, "n") == "5" and last(made, "said") == "OK"


def test_who_waits_for_an_element_is_no_option_until_it_comes() -> None:
    made = run(cached(a=["BLPOP q 0", "say:"], b=["RPUSH q hello"]), "a#1.cache.0: BLPOP q 0")
    assert made.offered[1] == ("b#1.cache.0: RPUSH q hello",)
    waits = [
        event.step for event in made.history if event.operation == "waits until something comes"
    ]
    assert waits == [1]
    came = [
        event.step for event in made.history if event.operation in ("BLPOP q 0", "RPUSH q hello")
    ]
    assert came == [2, 2] and last(made, "said") == "hello"


def test_the_end_of_a_timeout_is_a_choice_that_takes_no_time() -> None:
    scenario = cached(a=["BLPOP q 3600", "say:"], b=["RPUSH q hello"])
    over = "nemesis: a#1.cache.0 has waited for 3600 s"
    made = run(scenario, "a#1.cache.0: BLPOP q 3600", over, "a#1.cache.0: RPUSH said nil")
    assert made.offered[1] == ("b#1.cache.0: RPUSH q hello", over)
    assert last(made, "said") == "nil"


def test_who_waits_in_the_end_is_not_stuck_and_its_timeout_need_not_be_over() -> None:
    for seconds in (0, 5):
        made = run(cached(a=[f"BLPOP q {seconds}"], b=["INCR n"]))
        assert made.ending.kind == "finished"
        assert made.taken == (f"a#1.cache.0: BLPOP q {seconds}", "b#1.cache.0: INCR n")


def test_nobody_waits_for_copies_that_do_not_exist() -> None:
    assert run(cached(a=["WAIT 1 3600000", "say:"])).taken[0] == "a#1.cache.0: WAIT 1 3600000"


def test_an_element_that_is_given_to_the_dead_is_lost() -> None:
    scenario = cached(kinds=["crash"], b=["RPUSH q hello"], a=["BLPOP q 0", "say:"])
    struck = ("a#1.cache.0: BLPOP q 0", "nemesis: crash restart of a")
    lost = run(scenario, *struck, "b#1.cache.0: RPUSH q hello")
    assert "a#1.cache.0: the connection closes" in lost.offered[2]
    assert "said" not in [event.resource for event in lost.history]
    kept = run(scenario, *struck, "a#1.cache.0: the connection", "nemesis: start a#2", "a#2", "b#1")
    assert last(kept, "said") == "hello"


def test_who_subscribes_is_told_in_the_step_that_publishes() -> None:
    scenario = cached(a=["SUBSCRIBE c", "hear:", "UNSUBSCRIBE", "say:"], b=["PUBLISH c hi"])
    made = run(scenario, "a#1.cache.0: SUBSCRIBE c", "b#1.cache.0: PUBLISH c hi")
    assert made.offered[1] == ("b#1.cache.0: PUBLISH c hi",)
    assert made.offered[2] == ("a#1.cache.0: UNSUBSCRIBE",)


def test_a_step_ends_after_all_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis tells a subscriber after the publisher has its answer: so it is asked once more."""
    scenario = cached(a=["SUBSCRIBE c", "hear:"], b=["PUBLISH c hi"])
    assert scenario.stage is not None
    with scenario.stage(scenario, seed=0, variant={}) as stage:
        assert isinstance(stage, LiveStage)
        real, awaited = Control.waiting, list[int]()

        def waiting(control: Control) -> dict[int, int]:
            awaited.append(sum(lane.awaited for lane in stage.gate.lanes))
            return real(control)

        monkeypatch.setattr(Control, "waiting", waiting)
        stage.apply(stage.options()[0])
        assert awaited[-1] == 0
        awaited.clear()
        stage.apply(stage.options()[0])
        # Whoever has read all and is gone meanwhile need not be asked about.
        assert awaited[-1:] == [0] or not any(lane.server for lane in stage.gate.lanes)


def test_every_run_finds_it_as_it_was() -> None:
    made = [execute(cached(a=["INCR n", "RPUSH said x"]), seed=0) for _ in range(2)]
    assert [last(each, "n") for each in made] == ["1", "1"]
    assert [last(each, "said") for each in made] == ["x", "x"]
    (server,) = [each for each in companions._kept.running.values() if each.control is not None]
    companions.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(server.process.pid, 0)


def test_a_command_by_which_it_is_prepared_wrongly_is_told() -> None:
    @live_scenario(name="live-unprepared")
    def unprepared(world: LiveWorld) -> None:
        world.redis("cache", prepare=["SETT n 0"])

    with pytest.raises(UsageError, match="unknown command"):
        execute(unprepared, seed=0)


def test_a_machine_without_redis_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "binary", lambda: None)
    with pytest.raises(UsageError, match="no Redis was found: install it"):
        execute(cached(a=["INCR n"]), seed=0)
