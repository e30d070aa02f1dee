"""One object is atomic, two are not; conditional writes let exactly one of two win."""

from __future__ import annotations

from itertools import permutations

import pytest

from harness.schedule.simulation import Simulation
from harness.world.objectstore import ObjectStore, PreconditionFailed, StorageUnavailable
from tests.world.orders import every_order, in_order, step_through

Call = tuple[str, object, int, int]


def test_every_order_of_reads_and_writes_of_one_object_is_linearizable() -> None:
    calls: list[Call] = []

    def build() -> Simulation:
        calls.clear()
        simulation = Simulation()
        store = ObjectStore(simulation, "objects")

        async def put(value: str) -> None:
            sent = simulation.steps
            await store.put("key", value)
            calls.append(("put", value, sent, simulation.steps))

        async def get_twice() -> None:
            for _ in range(2):
                sent = simulation.steps
                found = await store.get("key")
                calls.append(("get", found[0] if found else None, sent, simulation.steps))

        simulation.spawn("one", put, "1")
        simulation.spawn("two", put, "2")
        simulation.spawn("reader", get_twice)
        simulation.spawn("other", get_twice)
        return simulation

    seen = 0
    for _ in every_order(build):
        seen += 1
        assert linearizable(calls), calls
    assert seen == 180


def linearizable(calls: list[Call]) -> bool:
    """Whether some order that respects real time explains every read."""
    return any(explains(order) for order in permutations(calls))


def explains(order: tuple[Call, ...]) -> bool:
    value: object = None
    for index, (verb, said, sent, _) in enumerate(order):
        if any(later[3] < sent for later in order[index + 1 :]):
            return False
        if verb == "put":
            value = said
        elif value != said:
            return False
    return True


def test_two_objects_are_not_atomic() -> None:
    stores: list[ObjectStore] = []
    seen = set()

    def build() -> Simulation:
        simulation = Simulation()
        store = ObjectStore(simulation, "objects")
        store.load({"snapshot": 1, "pointer": 1})
        stores.append(store)

        async def writer() -> None:
            await store.put("snapshot", 2)
            await store.put("pointer", 2)

        async def reader() -> None:
            pointer, snapshot = await store.get("pointer"), await store.get("snapshot")
            assert pointer and snapshot
            seen.add((pointer[0], snapshot[0]))

        simulation.spawn("writer", writer)
        simulation.spawn("reader", reader)
        return simulation

    for _ in every_order(build):
        pass
    assert seen == {(1, 1), (1, 2), (2, 2)}


@pytest.mark.parametrize("fresh", [True, False])
def test_nobody_wins_a_conditional_write_over_what_it_has_not_read(fresh: bool) -> None:
    made: list[tuple[ObjectStore, list[str]]] = []

    def build() -> Simulation:
        simulation = Simulation()
        store = ObjectStore(simulation, "objects")
        winners: list[str] = []
        made.append((store, winners))
        if not fresh:
            store.load({"leader": "nobody"})

        async def candidate(name: str) -> None:
            found = await store.get("leader")
            try:
                await store.put_if("leader", name, found[1] if found else None)
            except PreconditionFailed:
                return
            winners.append(name)

        simulation.spawn("a", candidate, "a")
        simulation.spawn("b", candidate, "b")
        return simulation

    ends = set()
    for _ in every_order(build):
        store, winners = made[-1]
        assert store.objects()["leader"] == winners[-1]
        ends.add(tuple(winners))
    # One wins; or one comes after the other has won, has read that, and replaces it knowingly.
    assert ends == {("a",), ("b",), ("a", "b"), ("b", "a")}


def test_an_etag_is_never_used_again() -> None:
    simulation = Simulation()
    store = ObjectStore(simulation, "objects")

    async def lane() -> tuple[object, ...]:
        first = await store.put("a/1", "x")
        await store.put("b", "x")
        second = await store.put("a/1", "x")
        listed = await store.list("a/")
        await store.delete("a/1")
        await store.delete("a/1")
        third = await store.put_if("a/1", "x")
        return len({first, second, third}), listed, await store.list(), await store.get("c")

    simulation.spawn("lane", lane)
    step_through(simulation)
    assert simulation.lanes["lane"].result == (3, ("a/1",), ("a/1", "b"), None)


def test_the_store_can_be_unavailable_and_comes_back() -> None:
    simulation = Simulation()
    store = ObjectStore(simulation, "objects")
    store.allow(unavailable=True)
    simulation.faults_left = 1

    async def lane() -> str:
        try:
            await store.put("key", 1)
        except StorageUnavailable:
            await simulation.operate("patience", lambda: None)
            return await store.put("key", 2)
        return ""

    simulation.spawn("lane", lane)
    step_through(
        simulation,
        in_order(
            "nemesis: objects unavailable",
            "lane: put objects/key",
            "nemesis: objects comes back",
        ),
    )
    assert store.objects() == {"key": 2}


def test_a_put_of_a_dead_client_may_still_take_effect() -> None:
    made: list[ObjectStore] = []

    def build() -> Simulation:
        simulation = Simulation()
        store = ObjectStore(simulation, "objects")
        made.append(store)

        async def victim() -> None:
            await store.put("key", 1)

        async def killer() -> None:
            await simulation.operate("kill", lambda: simulation.crash(simulation.lanes["victim"]))
            await store.get("key")

        simulation.spawn("victim", victim)
        simulation.spawn("killer", killer)
        return simulation

    found = set()
    for simulation in every_order(build):
        dead_first = simulation.applied[2].label == "killer: kill"
        found.add((dead_first, tuple(made[-1].objects())))
    assert found == {(False, ("key",)), (True, ("key",)), (True, ())}


def test_reads_and_writes_are_told_with_the_values() -> None:
    simulation = Simulation()
    store = ObjectStore(simulation, "objects")

    async def lane() -> None:
        await store.put("key", 1)
        await store.put("key", 2)
        await store.get("key")

    simulation.spawn("lane", lane)
    step_through(simulation)
    told = [
        (e.kind, e.resource, e.before, e.after, e.value, e.site and e.site.function.split(".")[-1])
        for e in simulation.history
    ]
    assert told == [
        ("write", "objects/key", "no object", 1, "", "lane"),
        ("write", "objects/key", 1, 2, "", "lane"),
        ("read", "objects/key", "", "", 2, "lane"),
    ]
