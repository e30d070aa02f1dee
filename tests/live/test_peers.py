"""Services that ask each other and servers that keep things, by HTTP through the gate."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from harness.engine import execute
from harness.errors import UsageError
from harness.live import companions
from harness.live.launching import FORKED
from harness.live.places import reserve
from harness.live.quiescence import End, Sockets
from harness.live.scenario import live_restart, live_scenario
from harness.live.stage import LiveStage
from harness.live.world import LiveWorld
from harness.proof.bounds import Bound
from harness.proof.errands import Errand, Subject, observe
from harness.proof.explorer import Explorer
from harness.scenario import RestartFault, Scenario
from tests.live.deployments import BOOKS, ROOT, python
from tests.live.test_safety import is_gone, until
from tests.live.test_stage import last, run

pytestmark = pytest.mark.usefixtures("walls")


@live_scenario(name="live-store")
def store(world: LiveWorld) -> None:
    """Two services read an object of a store, add one, and write it."""
    world.server("store", **python("store"), prepare=["POST /reset", "PUT /n"])
    for name in ("ann", "bob"):
        world.service(name, **python("caller", "store GET /n", "store PUT /n {}"), boot=FORKED)
    world.observe("n", "/n", of="store")

    @world.invariant(at_end=True)
    def nothing_is_lost() -> None:
        assert world.value("n") == "2"


def ledger_of(*arguments: str, kinds: tuple[str, ...] = ()) -> Scenario:
    """Two services ask a third one, which asks the database, to add one."""

    @live_scenario(
        name="live-ledger", faults=[live_restart("ledger", kinds=kinds)] if kinds else ()
    )
    def ledger(world: LiveWorld) -> None:
        world.database(BOOKS)
        world.service("ledger", **python("ledger", *arguments), listens="http", boot=FORKED)
        for name in ("ann", "bob"):
            world.service(name, **python("caller", "ledger POST /add"), boot=FORKED)
        world.observe("amount", "select amount from books where name = 'ann'")

        @world.invariant(at_end=True)
        def nothing_is_lost() -> None:
            assert world.value("amount") == "2"

    return ledger


def all_orders(scenario: Scenario, *, runs_max: int) -> tuple[int, int]:
    """How many orders there are, each made once, and in how many a rule is broken."""
    subject = Subject(scenario, 0, {}, Bound())
    explorer = Explorer(subject)
    explorer.past_violations = True
    orders, broken, errands = set[tuple[int, ...]](), 0, deque[Errand]()
    while not explorer.done:
        errands += explorer.errands()
        errand = errands.popleft()
        seen = observe(subject, errand, explorer.vocabulary, past_violations=True)
        explorer.learn(seen)  # raises if the same choices led to another place
        orders.add((*errand.prefix, *(step.choice for step in seen.steps)))
        broken += bool(seen.violations)
        assert explorer.tally.runs <= runs_max
    assert explorer.tally.complete == len(orders)
    return len(orders), broken


def test_a_request_to_a_server_is_held_and_answered_in_its_step() -> None:
    made = run(store, "bob#1.store.0: GET", "bob#1.store.0: PUT", "ann#1.store.0: GET")
    assert made.offered[0] == ("ann#1.store.0: GET /n", "bob#1.store.0: GET /n")
    assert last(made, "n") == "2" and not made.violations
    assert [e.value for e in made.history if e.resource == "store/n"][:2] == ["200", "200"]


def test_the_lost_update_of_a_store_is_in_four_of_six_orders() -> None:
    assert all_orders(store, runs_max=12) == (6, 4)


def test_what_a_dead_client_had_asked_for_is_lost_or_takes_effect() -> None:
    @live_scenario(name="live-dead", faults=[live_restart("ann", kinds=["crash"])])
    def dying(world: LiveWorld) -> None:
        world.server("store", **python("store"), prepare=["POST /reset"])
        world.service("ann", **python("caller", "store PUT /n 7"), boot=FORKED)
        world.observe("n", "/n", of="store")

    made = run(dying, "nemesis: crash", "ann#1.store.0: orphan PUT /n", "nemesis: start ann#2")
    assert set(made.offered[1]) == {
        "nemesis: start ann#2",
        "ann#1.store.0: the connection closes",
        "ann#1.store.0: orphan PUT /n",
    }
    assert next(event for event in made.history if event.resource == "n").step == 2


def test_a_service_is_told_of_others_in_its_command_and_environment() -> None:
    text = (
        "import os, sys; host, port = (os.environ['LEDGER_' + each] for each in ('HOST', 'PORT'));"
        "sys.exit(sys.argv[1] != f'http://{host}:{port}/x' or os.environ['OTHER'] != port)"
    )

    @live_scenario(name="live-told")
    def told(world: LiveWorld) -> None:
        world.service("ledger", **python("script", "pause:"), listens="http", boot=FORKED)
        command = [sys.executable, "-S", "-c", text, "{LEDGER_URL}/x"]
        world.service("ann", command, environment={"OTHER": "{LEDGER_PORT}"})

    assert not execute(told, seed=0).violations


def test_a_service_that_is_asked_goes_on_until_it_asks_itself() -> None:
    made = run(ledger_of(), "bob#1.ledger.0: POST /add", "ledger#1.0: select")
    assert made.offered[1] == (
        "ann#1.ledger.0: POST /add",
        "ledger#1.0: select amount from books where name = 'ann'",
    )
    answered = next(e for e in made.history if e.lane == "bob#1" and e.resource == "ledger/add")
    asked = next(e for e in made.history if e.lane == "ledger#1" and e.kind == "write")
    assert answered.step == asked.step and made.taken[asked.step - 1].startswith("ledger#1.0: upd")


def test_all_orders_of_services_that_ask_a_service_are_made_once() -> None:
    # Each of two has: the request, a read, a write. 20 orders keep theirs; the connections of the
    # ledger are numbered by who asked first. Serial are those in which one has written before the
    # other one reads: the other's request may come at any of 4 places.
    assert all_orders(ledger_of(), runs_max=40) == (20, 20 - 2 * 4)


def test_who_asked_a_service_that_dies_finds_its_connection_cut() -> None:
    made = run(
        ledger_of(kinds=("crash",)),
        "bob#1.ledger.0: POST /add",
        "nemesis: crash restart of ledger",
        "ledger#1.0: the connection closes",
    )
    # The other one waits until somebody listens again.
    assert made.offered[3] == ("nemesis: start ledger#2",)
    assert [e.value for e in made.history if e.lane == "bob#1" and e.peer == "ledger"] == ["lost"]
    assert last(made, "amount") == "1"


def test_a_service_of_which_nothing_will_ever_live_refuses() -> None:
    @live_scenario(name="live-absent")
    def absent(world: LiveWorld) -> None:
        world.service("ledger", ["true"], listens="http")
        world.service("ann", **python("caller", "ledger POST /add"), boot=FORKED)

    assert run(absent).taken == ("ann#1.ledger.0: refused POST /add",)


def test_a_service_that_never_listens_leaves_who_asks_it_waiting() -> None:
    @live_scenario(name="live-deaf")
    def deaf(world: LiveWorld) -> None:
        world.service("ledger", **python("script", "pause:"), listens="http", boot=FORKED)
        world.service("ann", **python("caller", "ledger POST /add"), boot=FORKED)

    (violation,) = execute(deaf, seed=0).violations
    assert violation.invariant == "never_stuck"
    assert "ann#1.ledger.0 waits until ledger listens, to POST /add" in violation.message


LIES = [{"came": 1}, {"went": 1}, {"unsent": 1}, {"closed": True}]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: next(iter(lie)))
def test_what_is_under_way_to_a_process_or_from_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, lie: Mapping[str, int]
) -> None:
    """At rest the kernel is made to say that of one connection one byte has not come yet."""
    scenario, lied = ledger_of(), set[int]()
    assert scenario.stage is not None
    real = Sockets.ask

    def ask(sockets: Sockets, port: int, peer_port: int) -> End | None:
        end = real(sockets, port, peer_port)
        if end is None or port not in lied:
            return end
        return replace(end, **{name: getattr(end, name) + more for name, more in lie.items()})

    monkeypatch.setattr(Sockets, "ask", ask)
    with scenario.stage(scenario, seed=0, variant={}) as stage:
        assert isinstance(stage, LiveStage)
        stage.apply(stage.options()[0])
        gate = stage.gate
        ledger, ann = (stage.services[name].living[0] for name in ("ledger", "ann"))
        (lane,) = [each for each in gate.lanes if each.server_process is ledger]
        assert lane.process is ann and lane.server_ports[0] == ledger.port
        assert gate.has_read_all(ledger) and gate.has_read_all(ann)
        lied.add(lane.port)
        assert gate.has_read_all(ledger) and not gate.has_read_all(ann)
        lied.clear()
        lied.add(ledger.port)
        assert not gate.has_read_all(ledger) and gate.has_read_all(ann)


def test_who_is_answered_after_another_waits_unread_and_nobody_takes_that_for_work() -> None:
    made = run(ledger_of("single"), "bob#1.ledger.0: POST /add", "ann#1.ledger.0: POST /add")
    assert made.offered[2] == ("ledger#1.0: select amount from books where name = 'ann'",)
    assert last(made, "amount") == "2" and not made.violations


def streaming(*, housekeeping: bool, faults: Sequence[RestartFault] = ()) -> Scenario:
    """A server of the standard library, and a client that waits for every part of its answer."""

    @live_scenario(name="live-streaming", faults=faults)
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS)
        plain = python("plain_server")
        plain["command"].remove("-S")
        world.service("plain", **plain, listens="http", housekeeping=housekeeping)
        world.service("ann", **python("patient", "plain"), boot=FORKED)
        world.observe("said", "select string_agg(what, ', ' order by id) from said")

    return deployed


def test_the_beginning_of_an_answer_is_handed_on_when_nobody_moves() -> None:
    made = run(streaming(housekeeping=True), "ann#1.plain.0: POST /add", "ann#1.0: insert")
    # Asked for its body and answered in part, before the server has asked the database.
    assert set(made.offered[1]) == {"plain#1.0: update books set amount = 1", made.taken[1]}
    assert last(made, "said") == "100 200 4, 2" and not made.violations


def test_an_event_loop_that_wakes_up_by_itself_is_declared_or_refused() -> None:
    made = execute(streaming(housekeeping=False), seed=0)
    assert made.ending.kind == "refused"
    assert "uncontrolled timer: plain#1" in made.ending.detail
    assert "housekeeping=True" in made.ending.detail


def test_a_server_is_kept_from_run_to_run_and_put_back_before_each() -> None:
    execute(store, seed=0)
    pids = [each.process.pid for each in companions._kept.running.values()]
    made = execute(store, seed=0)
    assert [each.process.pid for each in companions._kept.running.values()] == pids
    assert next(event.after for event in made.history if event.resource == "n") == "1"
    companions.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


FORKS = "import os, signal; os.fork() or signal.pause(); import tests.live.services.store"


@pytest.mark.parametrize(
    ("command", "prepare", "named"),
    [
        (["false"], ["PUT /n"], "does not listen"),
        (["/no/such/program"], ["PUT /n"], "cannot be started"),
        ([sys.executable, "-S", "-c", FORKS], ["POST /reset"], "processes of its own"),
        (python("store")["command"], ["GET /absent"], "answers 404 to 'GET /absent'"),
    ],
)
def test_a_server_that_cannot_be_used_is_told(
    command: list[str], prepare: list[str], named: str
) -> None:
    @live_scenario(name="live-broken-server")
    def deployed(world: LiveWorld) -> None:
        environment = python("store")["environment"]
        world.server("store", command, environment=environment, prepare=prepare)

    with pytest.raises(UsageError, match=named):
        execute(deployed, seed=0)


def test_a_server_dies_with_a_harness_that_is_killed() -> None:
    text = (
        "import time; from harness.live.companions import prepared;"
        "from harness.live.world import ServerRecipe; from tests.live.deployments import python;"
        "told = python('store');"
        "recipe = ServerRecipe('s', tuple(told['command']), 'http', told['environment'], ());"
        "print(prepared(recipe).process.pid, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        assert not is_gone(pid)
        harness.kill()
    until(lambda: is_gone(pid))


def test_a_port_is_reserved_once_and_free_again() -> None:
    taken: list[socket.socket] = []
    ports = {reserve(taken) for _ in range(3)}
    assert len(ports) == 3
    for each in taken:
        each.close()
    with socket.create_server(("127.0.0.1", min(ports))):
        again: list[socket.socket] = []
        assert reserve(again) != min(ports)
        again.pop().close()
    again.clear()
    assert reserve(again) in ports
    again.pop().close()


def test_what_is_said_wrongly_is_told() -> None:
    @live_scenario(name="live-wrong")
    def unknown(world: LiveWorld) -> None:
        world.service("ledger", ["true"], listens="htpp")

    with pytest.raises(UsageError, match="did you mean 'http'"):
        execute(unknown, seed=0)

    @live_scenario(name="live-wrong-peer")
    def absent(world: LiveWorld) -> None:
        world.observe("n", "/n", of="store")

    with pytest.raises(UsageError, match="unknown server"):
        execute(absent, seed=0)
