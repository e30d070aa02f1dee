"""Schedules carried between the simulation and real processes, by what their steps mean."""

from __future__ import annotations

import pytest

from harness.carrying import Carrier, Stray, carry, kin_of, shared, translated
from harness.live import servers
from harness.schedule.choices import FAULT, OPERATION, TIMER, Option, Schedule
from scenarios.live_paradex import paradex_reduced_live
from scenarios.paradex_reduced import paradex_reduced
from scenarios.real.kin import kin

live = pytest.mark.skipif(bool(servers.missing()), reason=servers.missing() or "can run live")
BOTH = (
    (
        "main: deliver oracle to risk#1",
        "risk#1.0: select id, body::text from topic_oracle where id",
    ),
    ("risk#1: deliver chain.state", "risk#1.chain.0: POST /state"),
    ("trader3: deliver matching.order", "people#1.matching.2: POST /order"),
    ("nemesis: crash restart of market_data", "nemesis: crash restart of market_data"),
    ("clock -> 4700 ms for main: story", "outside#1: clock -> 4700 ms"),
    ("main: maintain database: away", "outside#1.0: update stored.maintenance set mode = $1"),
    ("operator: reopen database", "operator#1.0: update stored.maintenance set mode = $1"),
    (
        "market_data#2: scan database/markets/*",
        "market_data#2.1: select key, row::text from markets order by key",
    ),
    (
        "market_data#2: put all database/markets",
        "market_data#2.1: insert into markets (key, row) select key, value from json_each($1::json",
    ),
    (
        "publisher#1: put storage/checkpoints/BTC-USD-PERP",
        "publisher#1.storage.0: PUT /exchange/checkpoints/BTC-USD-PERP",
    ),
)
ONE = (
    "market_data#2: tick_for_ever",
    "chain#1: answer chain.state to risk#1",
    "clock -> 110 ms for nemesis: crash restart of market_data",
    "market_data#1.0: listen topic_oracle",
    "chain#1.0: insert into chain_blocks (fork, height, at_ms, command, events) values (",
    "nemesis: start market_data#2",
    "nemesis: rolling restart of market_data, as ordered",
)


@pytest.mark.parametrize(("simulated", "real"), BOTH)
def test_what_both_have_means_the_same(simulated: str, real: str) -> None:
    assert kin(simulated) == kin(real) != ""


@pytest.mark.parametrize("label", ONE)
def test_what_only_one_of_them_has_means_nothing_to_the_other(label: str) -> None:
    assert kin(label) == ""


class Step(Option):
    """An option that is nothing but its label."""

    def __init__(self, label: str, kind: str = OPERATION) -> None:
        super().__init__(kind=kind, lane=label.partition(":")[0])
        self._label = label
        self.optional = kind == FAULT

    @property
    def label(self) -> str:
        return self._label


def meaning(label: str) -> str:
    """Small letters are known to both."""
    return label if label.islower() else ""


def test_the_order_is_kept_and_what_is_missing_is_passed_over_and_said() -> None:
    carrier = Carrier(meaning, ["b", "a", "f", "c"])
    assert carrier([Step("a"), Step("b"), Step("f", FAULT)], 1) == 1
    assert carrier([Step("a"), Step("OWN"), Step("f", FAULT)], 2) == 1, "nobody else has it"
    assert carrier([Step("a", TIMER), Step("f", FAULT)], 3) == 0
    assert carrier([Step("d"), Step("f", FAULT)], 4) == 1
    before = [*carrier.strays]
    assert carrier([Step("d"), Step("e"), Step("f", FAULT)], 5) == 0
    assert (before, carrier.strays) == ([], [Stray(5, "d", "c")]) and carrier.wanted == ["c"]
    assert carrier([Step("d"), Step("c")], 6) == 1
    assert carrier([Step("f", FAULT)], 7) == 0 and len(carrier.strays) == 1, "all has gone"


def test_a_fault_that_goes_on_for_several_steps_strikes_once() -> None:
    told = ["nemesis: crash restart of risk", "a", "nemesis: crash restart of risk"]
    assert shared(told, kin) == ("crash restart of risk",)


def test_whoever_declared_them_the_incident_and_its_sister_are_kin() -> None:
    for name in ("paradex-2026-01-19", "paradex-reduced"):
        assert kin_of(name, f"{name}-live") is kin_of(f"{name}-live", name) is kin


def test_what_was_left_out_of_a_workload_is_left_out_only_where_that_is_possible() -> None:
    schedule = Schedule.parse("paradex-reduced+guards=all+without=trader0.1-3@7")
    both = {"guards": "all", "without": "trader0.1-3"}
    assert translated(schedule, paradex_reduced, paradex_reduced) == both
    assert translated(schedule, paradex_reduced, paradex_reduced_live) == {"guards": "all"}


@live
def test_a_finding_of_the_simulation_is_the_same_bug_live() -> None:
    found = Schedule.parse("paradex-reduced@7:16=2")
    done = carry(found, paradex_reduced, paradex_reduced_live, kin=kin)
    assert done.same_bug and not done.diverged and not done.left
    assert done.run.violations[0].message == done.source.violations[0].message
    assert done.shared > 20 and done.run.schedule.choices, "it is not first-in-first-out there"


@live
def test_a_finding_of_real_processes_is_the_same_bug_in_the_simulation() -> None:
    found = Schedule.parse("paradex-reduced-live@7:17=3")
    done = carry(found, paradex_reduced_live, paradex_reduced, kin=kin)
    assert done.same_bug and not done.diverged and not done.left
    assert done.run.violations[0].message == done.source.violations[0].message
