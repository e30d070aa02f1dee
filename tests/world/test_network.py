"""Calls, messages and topics: their order, their faults, and what a dead process leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from harness.errors import UsageError
from harness.schedule.simulation import Simulation
from harness.world.network import Network
from tests.world.orders import every_order, in_order, step_through

Build = Callable[[Simulation, Network], None]


class Outcomes:
    """All runs of what ``build`` makes, and what each of them noted."""

    def __init__(self, build: Build, *, faults: int = 0, **options: Any) -> None:
        self.noted: list[list[object]] = []

        def make() -> Simulation:
            simulation = Simulation()
            simulation.faults_left = faults
            self.noted.append([])
            build(simulation, Network(simulation, "net", **options))
            return simulation

        self.make = make

    def note(self, what: object) -> None:
        self.noted[-1].append(what)

    def all(self) -> set[tuple[object, ...]]:
        found = set()
        for simulation in every_order(self.make):
            assert simulation.ending is not None
            found.add((*self.noted[-1], simulation.ending.kind))
        return found


async def echo(network: Network, address: str = "ledger") -> None:
    async for request in network.listen(address):
        await request.reply(request.payload)


def ledger(network: Network, note: Callable[[object], None]) -> Callable[[], Any]:
    """A server that notes what it does, and then says so."""

    async def serve() -> None:
        async for request in network.listen("ledger"):
            note(request.payload)
            await request.reply("done")

    return serve


# --- calls --------------------------------------------------------------------------------------


def test_a_call_is_answered() -> None:
    simulation = Simulation()
    network = Network(simulation, "net")

    class Refused(Exception):
        pass

    async def serve() -> None:
        async for request in network.listen("ledger"):
            assert (request.address, request.sender) == ("ledger", "trader")
            if request.method == "fail":
                await request.fail(Refused("no"))
            await request.reply((request.method, request.payload))

    async def trader() -> list[object]:
        answers: list[object] = [await network.call("ledger", "add", 5)]
        answers.append(await network.call("ledger", "add", 6, timeout_s=1))
        with pytest.raises(Refused):
            await network.call("ledger", "fail")
        with pytest.raises(ConnectionRefusedError):
            await network.call("nobody", "add")
        return answers

    simulation.spawn("ledger", serve)
    lane = simulation.spawn("trader", trader, main=True)
    step_through(simulation)
    assert lane.error is None and lane.result == [("add", 5), ("add", 6)]


def test_an_answer_and_its_timeout_race() -> None:
    outcomes: Outcomes

    def build(simulation: Simulation, network: Network) -> None:
        async def trader() -> None:
            try:
                outcomes.note(await network.call("ledger", "add", 1, timeout_s=1))
            except TimeoutError:
                outcomes.note("timeout")

        simulation.spawn("ledger", ledger(network, outcomes.note))
        simulation.spawn("trader", trader, main=True)

    outcomes = Outcomes(build)
    # The request may arrive and take effect after the caller has given up, or not in this run.
    assert outcomes.all() == {
        (1, "done", "finished"),
        (1, "timeout", "finished"),
        ("timeout", "finished"),
    }


def test_a_server_that_dies_costs_a_connection_but_maybe_not_the_effect() -> None:
    outcomes: Outcomes

    def build(simulation: Simulation, network: Network) -> None:
        async def trader() -> None:
            try:
                outcomes.note(await network.call("ledger", "add", 1))
            except ConnectionError as error:
                outcomes.note(type(error).__name__)

        server = simulation.spawn("ledger", ledger(network, outcomes.note))
        simulation.spawn("trader", trader, main=True)
        simulation.offer_fault("crash", lambda: simulation.crash(server))

    outcomes = Outcomes(build, faults=1)
    assert outcomes.all() == {
        (1, "done", "finished"),
        (1, "ConnectionResetError", "finished"),
        ("ConnectionRefusedError", "finished"),
    }


def test_a_server_that_ends_or_closes_costs_its_callers_the_connection() -> None:
    for close in (True, False):
        simulation = Simulation()
        network = Network(simulation, "net")

        async def serve(network: Network = network, close: bool = close) -> None:
            endpoint = network.listen("ledger")
            await endpoint.receive()
            await trio.sleep(1)
            if close:
                endpoint.close()
                with pytest.raises(trio.ClosedResourceError):
                    await endpoint.receive()

        async def trader(network: Network = network) -> None:
            await network.call("ledger", "add")

        simulation.spawn("ledger", serve)
        first = simulation.spawn("one", trader)
        second = simulation.spawn("two", trader)
        step_through(simulation)
        assert isinstance(first.error, ConnectionResetError)
        assert isinstance(second.error, ConnectionResetError)


def test_a_dead_caller_gets_no_answer_and_its_request_may_still_arrive() -> None:
    outcomes: Outcomes

    def build(simulation: Simulation, network: Network) -> None:
        async def trader() -> None:
            await network.call("ledger", "add", 1)
            outcomes.note("answered")

        async def killer() -> None:
            await simulation.operate("kill", lambda: simulation.crash(simulation.lanes["trader"]))
            outcomes.note("killed")
            await simulation.operate("look", lambda: None)

        simulation.spawn("ledger", ledger(network, outcomes.note))
        simulation.spawn("trader", trader)
        simulation.spawn("killer", killer, main=True)

    outcomes = Outcomes(build)
    assert outcomes.all() >= {
        ("killed", 1, "finished"),
        ("killed", "finished"),
        (1, "killed", "finished"),
        (1, "answered", "killed", "finished"),
    }


# --- order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_messages_of_one_sender_stay_in_order_unless_the_network_is_unordered(
    ordered: bool,
) -> None:
    outcomes: Outcomes

    def build(simulation: Simulation, network: Network) -> None:
        async def reader() -> None:
            async for request in network.listen("inbox"):
                outcomes.note(request.payload)

        async def sender(name: str) -> None:
            for number in (1, 2):
                await network.send("inbox", f"{name}{number}")

        simulation.spawn("reader", reader)
        simulation.spawn("a", sender, "a")
        simulation.spawn("b", sender, "b")

    outcomes = Outcomes(build, ordered=ordered)
    orders = {found[:-1] for found in outcomes.all()}
    assert len(orders) == (6 if ordered else 24)
    for order in orders:
        in_sequence = all(order.index(f"{name}1") < order.index(f"{name}2") for name in "ab")
        assert in_sequence or not ordered


def test_a_topic_reaches_every_subscriber_in_the_order_of_its_publisher() -> None:
    outcomes: Outcomes

    def build(simulation: Simulation, network: Network) -> None:
        async def reader(name: str) -> None:
            async with network.subscribe("prices") as subscription:
                for _ in range(2):
                    outcomes.note(name + await subscription.receive())
                assert subscription.latest == "2"

        async def publisher() -> None:
            await network.publish("prices", "1")
            await network.publish("prices", "2")
            await network.publish("weather", "3")

        simulation.spawn("x", reader, "x")
        simulation.spawn("y", reader, "y")
        simulation.spawn("publisher", publisher)

    outcomes = Outcomes(build)
    found = outcomes.all()
    assert len(found) == 6
    for order in found:
        assert order.index("x1") < order.index("x2") and order.index("y1") < order.index("y2")


def test_a_dead_subscriber_is_forgotten() -> None:
    simulation = Simulation()
    network = Network(simulation, "net")

    async def reader() -> None:
        async for _ in network.subscribe("prices"):
            pass

    async def publisher() -> None:
        await network.publish("prices", 1)
        await simulation.operate("kill", lambda: simulation.crash(simulation.lanes["reader"]))
        await network.publish("prices", 2)

    simulation.spawn("reader", reader)
    simulation.spawn("publisher", publisher)
    step_through(simulation, in_order("publisher: kill"))
    assert not any("deliver" in option.label for option in simulation.applied)


# --- who listens --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "answers", "served"),
    [
        ("newest", ["new", "new"], {"new": 2}),
        ("round", ["old", "new"], {"old": 1, "new": 1}),
        ("all", ["old", "old"], {"old": 2, "new": 2}),
    ],
)
def test_the_route_says_who_is_asked_while_two_listen(
    route: str, answers: list[str], served: dict[str, int]
) -> None:
    simulation = Simulation()
    network = Network(simulation, "net")
    network.route("ledger", route)
    count: dict[str, int] = {}

    async def serve(name: str) -> None:
        async for request in network.listen("ledger"):
            count[name] = count.get(name, 0) + 1
            await request.reply(name)

    async def trader() -> list[str]:
        return [await network.call("ledger", "who") for _ in range(2)]

    simulation.spawn("old", serve, "old")
    simulation.spawn("new", serve, "new")
    lane = simulation.spawn("trader", trader)
    step_through(simulation)
    assert lane.result == answers and count == served


def test_after_a_restart_the_next_incarnation_is_asked() -> None:
    simulation = Simulation()
    network = Network(simulation, "net")

    async def trader() -> object:
        await network.call("ledger", "ask", 1)
        simulation.crash(simulation.lanes["ledger#1"])
        simulation.spawn("ledger", echo, network, incarnation=2)
        await trio.lowlevel.checkpoint()
        return await network.call("ledger", "ask", 2)

    simulation.spawn("ledger", echo, network, incarnation=1)
    lane = simulation.spawn("trader", trader)
    step_through(simulation)
    assert lane.result == 2


def test_an_unknown_route_is_refused_with_the_closest_one() -> None:
    with pytest.raises(UsageError, match="newest"):
        Network(Simulation(), "net", route="newst")


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout_s", [None, 1.0])
def test_a_dropped_request_had_no_effect_and_a_dropped_answer_had(timeout_s: float | None) -> None:
    outcomes: Outcomes

    def build(simulation: Simulation, network: Network) -> None:
        network.allow(drop=["ledger"])

        async def trader() -> None:
            try:
                outcomes.note(await network.call("ledger", "add", 1, timeout_s))
            except (ConnectionError, TimeoutError) as error:
                outcomes.note(type(error).__name__)

        simulation.spawn("ledger", ledger(network, outcomes.note))
        simulation.spawn("trader", trader, main=True)

    outcomes = Outcomes(build, faults=1)
    error = "TimeoutError" if timeout_s else "ConnectionResetError"
    assert outcomes.all() == {
        (1, "done", "finished"),
        (1, error, "finished"),
        (error, "finished"),
    }


def test_a_duplicated_request_takes_effect_twice_and_is_answered_once() -> None:
    outcomes: Outcomes

    def build(simulation: Simulation, network: Network) -> None:
        network.allow(duplicate=True)

        async def trader() -> None:
            outcomes.note(await network.call("ledger", "add", 1))

        simulation.spawn("ledger", ledger(network, outcomes.note))
        simulation.spawn("trader", trader)

    outcomes = Outcomes(build, faults=1)
    assert outcomes.all() == {
        (1, "done", "stuck"),
        (1, 1, "done", "stuck"),
        (1, "done", 1, "stuck"),
    }


def test_faults_go_with_their_message() -> None:
    simulation = Simulation()
    network = Network(simulation, "net")
    network.allow(drop=True, duplicate=True, partition=[("a", "b")])

    async def trader() -> None:
        for _ in range(3):
            await network.call("ledger", "add", 1)

    simulation.spawn("ledger", echo, network)
    simulation.spawn("trader", trader, main=True)
    step_through(simulation)
    assert [fault.label for fault in simulation.faults] == ["nemesis: partition a from b"]


def test_a_partition_holds_both_directions_back_until_it_heals() -> None:
    simulation = Simulation()
    network = Network(simulation, "net")
    network.allow(partition=[("trader", "ledger")])
    simulation.faults_left = 1

    async def trader() -> object:
        return await network.call("ledger", "add", 1)

    async def other() -> object:
        return await network.call("ledger", "add", 2)

    simulation.spawn("ledger", echo, network)
    lane = simulation.spawn("trader", trader)
    simulation.spawn("other", other)
    order = in_order(
        "nemesis: partition trader from ledger",
        "other: deliver ledger.add",
        "ledger: answer ledger.add to other",
    )
    seen: list[list[str]] = []

    def choose(options: Any) -> int:
        seen.append([option.label for option in options])
        return order(options)

    step_through(simulation, choose)
    assert "trader: deliver ledger.add" in seen[0]
    assert all("trader: deliver ledger.add" not in labels for labels in seen[1:4])
    assert seen[3] == ["nemesis: heal trader and ledger"]
    assert lane.result == 1


def test_a_partition_lets_a_timeout_strike_and_the_request_arrive_later() -> None:
    outcomes: Outcomes

    def build(simulation: Simulation, network: Network) -> None:
        network.allow(partition=[("trader", "ledger")])

        async def trader() -> None:
            try:
                outcomes.note(await network.call("ledger", "add", 1, timeout_s=1))
            except TimeoutError:
                outcomes.note("timeout")

        simulation.spawn("ledger", ledger(network, outcomes.note))
        simulation.spawn("trader", trader)

    outcomes = Outcomes(build, faults=1)
    assert ("timeout", 1, "stuck") in outcomes.all()


# --- books --------------------------------------------------------------------------------------


def test_the_history_tells_who_sent_what_to_whom() -> None:
    simulation = Simulation()
    network = Network(simulation, "net")

    async def trader() -> None:
        await network.call("ledger", "add", 5)

    simulation.spawn("ledger", echo, network)
    simulation.spawn("trader", trader, main=True)
    step_through(simulation)
    told = [(e.lane, e.kind, e.operation, e.resource, e.value, e.peer) for e in simulation.history]
    assert told == [
        ("trader", "send", "call", "net/ledger.add", 5, "net"),
        ("ledger", "receive", "request", "net/ledger.add", 5, "trader"),
        ("trader", "receive", "answer", "net/ledger.add", 5, "ledger"),
    ]
    assert simulation.history[0].site is not None
    assert simulation.history[0].site.function.endswith("trader")


def test_equal_choices_give_equal_digests() -> None:
    def make() -> Simulation:
        simulation = Simulation()
        network = Network(simulation, "net")
        network.allow(drop=True, duplicate=True)
        simulation.faults_left = 1

        async def trader() -> None:
            await network.call("ledger", "add", 1, timeout_s=1)

        simulation.spawn("ledger", echo, network)
        simulation.spawn("one", trader)
        simulation.spawn("two", trader)
        return simulation

    first = [simulation.digest() for simulation in every_order(make)]
    second = [simulation.digest() for simulation in every_order(make)]
    assert first == second and len(set(first)) > 50
