"""Sessions that PostgreSQL has begun ahead: services get them, and nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.live import quiescence, servers
from harness.live.databases import Database
from harness.live.greeted import WAITING_MAX
from harness.live.launching import FORKED
from harness.live.scenario import live_restart, live_scenario
from harness.live.stage import LiveStage
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from harness.schedule.choices import FAULT
from tests.live.deployments import python

pytestmark = pytest.mark.usefixtures("walls")

SAY = "insert into said (what) select "
#: Whoever is connected to this database and is not the harness itself.
OTHERS = (
    "count(*) from pg_stat_activity where datname = current_database() and application_name = ''"
)


def saying(what: str, *then: str, services: int = 1, observe: str = "") -> Scenario:
    """Services that say something; before the first one ends it is followed by another."""

    @live_scenario(name="live-greeted", faults=[live_restart("s0", kinds=["overlap"])])
    def deployed(world: LiveWorld) -> None:
        world.database(f"create table said (id serial primary key, what text); -- {what}")
        for number in range(services):
            command = python("script", SAY + what, *then, "select 'last'", ME="me")
            world.service(f"s{number}", **command, boot=FORKED)
        world.observe("said", observe or "select what from said order by id")

    return deployed


def run(scenario: Scenario) -> tuple[str, list[int]]:
    """What was said in the end, and the processes of the server that served."""
    with scenario.stage(scenario, seed=0, variant={}) as stage:  # type: ignore[misc]
        assert isinstance(stage, LiveStage)
        while options := stage.options():
            faults = [each for each in options if each.kind == FAULT and "last" in options[0].label]
            stage.apply((faults or list(options))[0])
        assert stage.ending is not None and stage.ending.kind == "finished", stage.ending
        return stage.world.value("said"), [lane.talk.backend_pid for lane in stage.gate.lanes]


def latest() -> Database:
    found = servers.shared().databases.latest
    assert found is not None
    return found


def test_a_run_gets_the_sessions_that_the_one_before_has_begun() -> None:
    scenario = saying("'anything'")
    run(scenario)
    for _ in range(2):
        waiting = latest().greeted.processes()
        assert len(waiting) == 4 and run(scenario)[1] == waiting[:2]  # enough for two runs


def test_no_session_begins_while_a_run_goes_on() -> None:
    scenario = saying("'busy'", services=2)
    run(scenario)
    with scenario.stage(scenario, seed=0, variant={}) as stage:  # type: ignore[misc]
        # All that will be there is there before the first choice, and has begun.
        begun = [session.pid for session in latest().greeted._all()]
        assert all(begun) and len(begun) == len(latest().greeted.processes())
        while options := stage.options():
            stage.apply(options[0])
            assert set(latest().greeted.processes()) <= set(begun)


def test_there_are_never_more_than_a_few() -> None:
    run(saying("'many'", services=WAITING_MAX + 2))
    assert len(latest().greeted.processes()) == WAITING_MAX
    run(saying("'few'"))
    assert len(latest().greeted.processes()) == 4
    others = servers.shared().control.query(
        "select count(*) from pg_stat_activity where application_name = '' and datname <> ''"
    )
    assert others == [("4",)]  # those of the other database are gone


def test_who_looks_at_the_sessions_of_the_server_sees_only_those_of_the_run() -> None:
    for what in (OTHERS, "1", "(select count(*) from pg_locks where virtualtransaction <> '')"):
        scenario = saying(what, services=2, observe=f"select {OTHERS}" if what == "1" else "")
        assert len({run(scenario)[0] for _ in range(3)}) == 1, what
        assert not latest().greeted.processes()


@pytest.mark.usefixtures("put_back")
def test_settings_of_the_database_hold_for_who_connects_after_them() -> None:
    change = (
        "do $$ begin execute format('alter database %I set work_mem = ''123kB''', "
        "current_database()); end $$"
    )
    scenario = saying("current_setting('work_mem')", change)
    assert run(scenario)[0] == "4MB; 123kB"
    servers.shared().control.query(f"alter database {latest().name} reset work_mem")
    assert run(scenario)[0] == "4MB; 123kB"


@pytest.fixture
def put_back() -> Iterator[None]:
    yield
    servers.shared().control.query(f"alter database {latest().name} reset work_mem")


def test_a_session_that_has_ended_is_given_to_nobody() -> None:
    scenario = saying("'ended'")
    run(scenario)
    for pid in latest().greeted.processes():
        servers.shared().control.query(f"select pg_terminate_backend({pid}, 5000)")
        assert quiescence.state_of(pid) == b""
    assert latest().greeted.processes() == []
    assert run(scenario)[0] == "ended; ended"
