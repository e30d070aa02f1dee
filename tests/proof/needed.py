"""One small program for each observation of a proof, which without it would miss how that ends."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from harness.history import Event
from harness.proof.bounds import Bound
from harness.proof.resources import Touch
from harness.schedule.choices import DECISION, FAULT, OPERATION, TASK, TIMER, Option, reads, writes
from harness.schedule.lanes import Lane
from harness.schedule.memory import Shared
from harness.world.database import Database
from harness.world.objectstore import ObjectStore
from harness.world.service import Life
from harness.world.transactions import Transaction
from harness.world.world import World

Seen = dict[str, object]


@dataclass(frozen=True, slots=True)
class Needed:
    """A program, and which touches of which steps it cannot do without."""

    story: Callable[[World], Awaitable[object]]
    hides: Callable[[Option, Touch], bool]
    bound: Bound = field(default_factory=lambda: Bound(restarts=0))


def everywhere(prefix: str, *hows: str) -> Callable[[Option, Touch], bool]:
    """Touches of resources with this prefix, whoever touches them."""
    return lambda option, touch: touch[0].startswith(prefix) and (not hows or touch[1] in hows)


def of_kind(kind: str, prefix: str) -> Callable[[Option, Touch], bool]:
    """Touches of resources with this prefix, by steps of a kind."""
    return lambda option, touch: option.kind == kind and touch[0].startswith(prefix)


def noted(world: World) -> Seen:
    """What the lanes of a program saw, each under a name of its own, as its final state."""
    seen: Seen = {}
    world.note("state", lambda: repr(sorted(seen.items())))
    return seen


async def together(world: World, **lanes: Callable[[], Awaitable[object]]) -> None:
    """Let lanes run until all of them are done, in whatever order."""
    await all_of(world, [world.start_client(name, lane) for name, lane in lanes.items()])


async def all_of(world: World, lanes: Sequence[Lane]) -> None:
    """Wait until all of these lanes have ended."""
    await world.simulation.operate(
        "wait for all",
        lambda: None,
        footprint=reads(*(f"lane/{lane.name}" for lane in lanes)),
        enabled=lambda: all(lane.finished for lane in lanes),
    )


# --- lanes and services -------------------------------------------------------------------------


async def who_is_done_first(world: World) -> None:
    """Somebody waits for the first of two lanes to end, and then changes what both may read."""
    seen, store = noted(world), world.object_store("store")

    async def look(name: str) -> None:
        seen[name] = await store.get("x")

    lanes = [world.start_client(name, look, name) for name in "ab"]
    await world.simulation.operate(
        "wait for somebody",
        lambda: None,
        footprint=reads("lane/a", "lane/b"),
        enabled=lambda: any(lane.finished for lane in lanes),
    )
    await store.put("x", 1)
    await all_of(world, lanes)


async def who_is_ready(world: World) -> None:
    """A client looks into which phase a service has come."""
    seen = noted(world)

    async def books(life: Life) -> None:
        for phase in ("hydrate", "ready"):
            await trio.lowlevel.checkpoint()
            life.enter(phase)
        await trio.sleep(0.1)

    service = world.service("books", books)

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        seen["phases"] = [life.phase for life in service.alive]

    await together(world, look=look)


async def what_a_life_is(world: World) -> None:
    """A client holds a life and looks at it, without asking its service for those that run."""
    seen = noted(world)

    async def books(life: Life) -> None:
        for phase in ("hydrate", "ready"):
            await trio.lowlevel.checkpoint()
            life.enter(phase)
        await trio.sleep(0.1)

    (life,) = world.service("books", books).lives

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        seen["phase"], seen["alive"] = life.phase, life.alive

    await together(world, look=look)


async def a_clock_that_jumps(world: World) -> None:
    """A service looks at the clock of its wall, which may be set back."""
    seen = noted(world)

    async def books(life: Life) -> None:
        await trio.lowlevel.checkpoint()
        seen["at"] = time.time()
        await trio.sleep(0.1)

    async def look() -> None:
        await trio.lowlevel.checkpoint()

    world.allow_clock_jump("books", (-36.0,))
    world.service("books", books)
    await together(world, look=look)
    await trio.sleep(1)


async def lost_with_its_sender(world: World) -> None:
    """A lane is cut off; what it has published then may or may not arrive."""
    seen, network, simulation = noted(world), world.network("net"), world.simulation

    async def send() -> None:
        await network.publish("news", 1)
        seen["sent"] = True
        await trio.sleep(2)

    async with network.subscribe("news") as news:
        lane = world.start_client("sender", send)
        simulation.offer_fault(
            "cut off",
            lambda: simulation.crash(lane),
            available=lambda: bool(lane.alive and not lane.finished),
            footprint=writes("lane/sender"),
        )
        with trio.move_on_after(1):
            seen["heard"] = await news.receive()


# --- memory and time ----------------------------------------------------------------------------


async def a_timeout_and_memory(world: World) -> None:
    """A timer cancels one task while another changes what that says of the state."""
    seen = noted(world)
    flag = Shared("flag", 0)

    async def wait() -> None:
        with trio.move_on_after(1):
            for _ in range(2):
                seen["got"] = await flag.update(lambda value: value + 1)

    await wait()


async def a_timeout_and_an_answer(world: World) -> None:
    """A timer strikes before or after the answer for which its task waits."""
    seen, store = noted(world), world.object_store("store")
    with trio.move_on_after(1) as scope:
        await store.put("x", 1)
        seen["put"] = True
        await trio.lowlevel.checkpoint()
        seen["more"] = True
    seen["cancelled"] = scope.cancelled_caught


async def a_cancel_and_an_answer(world: World) -> None:
    """A task cancels another one before or after the answer for which that waits."""
    seen, store = noted(world), world.object_store("store")

    async def put() -> None:
        await store.put("x", 1)
        seen["put"] = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def a_server_that_stops(world: World) -> None:
    """A caller gives up, or learns before that the server which has read its request is gone."""
    seen, network = noted(world), world.network("net")

    async def serve() -> None:
        async with network.listen("server") as requests:
            with trio.move_on_after(1):
                async for _ in requests:
                    seen["asked"] = True
            await trio.lowlevel.checkpoint()

    async def ask() -> None:
        try:
            await network.call("server", "ask", timeout_s=0.5)
        except OSError as error:
            seen["failed"] = type(error).__name__

    await together(world, server=serve, client=ask)


async def a_time_that_is_read(world: World) -> None:
    """A step that says which memory it touches reads the time as well."""
    seen, at = noted(world), Shared("at", 0)

    async def look() -> None:
        seen["began"] = world.now_ms
        await at.update(lambda _: world.now_ms)
        seen["at"] = at.value

    await together(world, a=look, b=lambda: trio.sleep(1))


async def a_strike_and_memory(world: World) -> None:
    """The nemesis cancels work between two of its steps, which say what they touch."""
    seen = noted(world)
    total = Shared("total", 0)
    with world.timeout("work"):
        for _ in range(2):
            seen["got"] = await total.update(lambda value: value + 1)


async def a_strike_and_an_answer(world: World) -> None:
    """The nemesis cancels work before or after the answer for which it waits."""
    seen, store = noted(world), world.object_store("store")
    with world.timeout("work") as scope:
        await store.put("x", 1)
        seen["put"] = True
        await trio.lowlevel.checkpoint()
        seen["more"] = True
    seen["cancelled"] = scope.cancelled_caught


async def common_chance(world: World) -> None:
    """Two lanes draw from the generator of the module, which nobody declares."""
    seen = noted(world)

    async def draw(name: str) -> None:
        await trio.lowlevel.checkpoint()
        seen[name] = random.randrange(1000)

    await together(world, a=lambda: draw("a"), b=lambda: draw("b"))


# --- conditions and stores ------------------------------------------------------------------------


async def a_gate_that_opens_again(world: World) -> None:
    """A request waits while a gate is closed; it is opened again when somebody wants to pass."""
    seen, simulation, turns, wanted = noted(world), world.simulation, [0], list[bool]()

    def turn() -> None:
        turns.append(turns[-1] + 1)

    async def keep() -> None:
        await simulation.operate("close", turn, footprint=writes("gate"))
        await simulation.operate(
            "open",
            turn,
            footprint=writes("gate"),
            condition=reads("wanted"),
            enabled=lambda: bool(wanted),
        )

    async def go() -> None:
        for _ in range(4):
            await trio.lowlevel.checkpoint()
        simulation.touches("wanted")
        wanted.append(True)
        await simulation.operate(
            "go through",
            lambda: seen.update(turns=turns[-1]),
            footprint=reads("gate"),
            enabled=lambda: turns[-1] % 2 == 0,
        )

    await together(world, keep=keep, go=go)


async def a_pivot(world: World) -> None:
    """Of three serializable transactions the one in the middle fails if the last commits first."""
    seen, database = noted(world), world.database("db")
    database.load("rows", {"a": {"n": 0}, "b": {"n": 0}, "c": {"n": 0}})

    async def commit(transaction: Transaction, name: str) -> None:
        try:
            await transaction.__aexit__(None, None, None)
            seen[name] = "committed"
        except Exception as error:
            seen[name] = type(error).__name__

    first, middle, last = [await _begun(database) for _ in range(3)]
    await first.get("rows", "a")
    await first.put("rows", "c", {"n": 1})
    await middle.get("rows", "b")
    await middle.put("rows", "a", {"n": 1})
    await last.put("rows", "b", {"n": 1})
    await together(world, first=lambda: commit(first, "first"), last=lambda: commit(last, "last"))
    await commit(middle, "middle")


async def _begun(database: Database) -> Transaction:
    transaction = database.transaction("serializable")
    return await transaction.__aenter__()


async def a_circle(world: World) -> None:
    """Two transactions have locked a row and want that of the other; the second gives way."""
    seen, database = noted(world), world.database("db")
    database.load("rows", {"a": {"n": 0}, "b": {"n": 0}})
    one, other = database.transaction(), database.transaction()
    await one.get_for_update("rows", "a")
    await other.get_for_update("rows", "b")

    async def lock(transaction: Transaction, key: str) -> None:
        try:
            await transaction.get_for_update("rows", key)
            await transaction.__aexit__(None, None, None)
            seen[key] = "committed"
        except Exception as error:
            seen[key] = type(error).__name__

    await together(world, one=lambda: lock(one, "b"), other=lambda: lock(other, "a"))


async def begun_while_away(world: World) -> None:
    """A transaction does nothing but begin, while the database goes away or not."""
    seen, database = noted(world), world.database("db")

    async def begin() -> None:
        try:
            async with database.transaction():
                await trio.lowlevel.checkpoint()
            seen["begun"] = True
        except Exception as error:
            seen["begun"] = type(error).__name__

    await together(world, begin=begin, operator=lambda: database.maintain("away"))


async def unsynced_files(world: World) -> None:
    """Two lanes write a file each; of what was written last a power cut may leave only zeros."""
    disk = world.disk("disk")
    world.note("state", lambda: repr(sorted(disk.files().items())))
    await together(world, a=lambda: disk.append("a", b"1"), b=lambda: disk.append("b", b"1"))
    world.simulation.offer_fault("power cut", disk.power_cut, footprint=writes("disk/*"))
    await trio.lowlevel.checkpoint()


# --- rules ----------------------------------------------------------------------------------------


async def a_rule_that_comes_late(world: World) -> None:
    """A rule that is added while others work judges only what happens from then on."""
    noted(world)
    store = world.object_store("store")
    lane = world.start_client("a", store.put, "x", 1)
    await trio.lowlevel.checkpoint()

    @world.invariant(on=("store/",))
    def nothing_is_put(event: Event) -> None:
        assert event.kind != "write"

    await world.finished(lane)


async def a_rule_with_a_record(world: World) -> None:
    """A rule judges what is put into one store by what a watcher saw in another."""
    noted(world)
    store, other, record = world.object_store("store"), world.object_store("other"), list[int]()
    world.watch("other/", lambda event: record.append(1))

    @world.invariant(on=("store/",))
    def others_come_first(event: Event) -> None:
        assert record

    await together(world, a=lambda: other.put("x", 1), b=lambda: store.put("x", 1))


async def a_watcher_of_times(world: World) -> None:
    """Somebody writes down when a store was written, while time passes for somebody else."""
    seen, store = noted(world), world.object_store("store")
    world.watch("store/", lambda event: seen.update(written=event.at_ms))
    await together(world, a=lambda: _put(world, store, seen), b=lambda: trio.sleep(1))


async def a_history_of_times(world: World) -> None:
    """A rule of the end wants to know when a store was written."""
    seen, store = noted(world), world.object_store("store")

    @world.invariant(at_end=True)
    def all_is_early(history: Any) -> None:
        assert all(event.at_ms < 1000 for event in history if event.kind == "write")

    await together(world, a=lambda: _put(world, store, seen), b=lambda: trio.sleep(1))


async def _put(world: World, store: ObjectStore, seen: Seen) -> None:
    seen["began"] = world.now_ms
    await store.put("x", 1)


async def a_rule_with_a_history(world: World) -> None:
    """A rule of the end wants to know in which order two stores were written."""
    noted(world)
    store, other = world.object_store("store"), world.object_store("other")

    @world.invariant(at_end=True)
    def a_is_first(history: Any) -> None:
        writers = [event.lane for event in history if event.kind == "write"]
        assert writers[0] == "a"

    await together(world, a=lambda: other.put("x", 1), b=lambda: store.put("x", 1))


async def an_open_question(world: World) -> None:
    """The world decides something and does not say what that touches."""
    seen, store, answers = noted(world), world.object_store("store"), list[int]()

    async def ask() -> None:
        def leave_open() -> None:
            world.simulation.decide(
                "world",
                [(f"say {n}", lambda n=n: answers.append(n)) for n in (1, 2)],  # type: ignore[misc]
            )

        await world.simulation.operate("ask", leave_open, footprint=writes("question"))

    async def look() -> None:
        await store.put("x", 1)
        seen["answers"] = list(answers)

    await together(world, a=ask, b=look)


ONE_FAULT, ANY_TIME = Bound(restarts=1), Bound("any", restarts=0)

NEEDED: Mapping[str, Needed] = {
    "lanes that end": Needed(who_is_done_first, everywhere("lane/", "write")),
    "phases of a service": Needed(who_is_ready, everywhere("lifecycle/")),
    "phase of a life": Needed(what_a_life_is, everywhere("lifecycle/")),
    "clocks that jump": Needed(a_clock_that_jumps, everywhere("clock/"), ONE_FAULT),
    "requests that die with a lane": Needed(
        lost_with_its_sender,
        lambda option, touch: option.lane == "sender" and touch == ("lane/sender", "read"),
        ONE_FAULT,
    ),
    "memory of who is cancelled": Needed(a_timeout_and_memory, of_kind(TIMER, "memory/"), ANY_TIME),
    "answers to who is cancelled": Needed(
        a_timeout_and_an_answer, of_kind(TIMER, "steps/"), ANY_TIME
    ),
    "whether somebody waits": Needed(a_cancel_and_an_answer, everywhere("flight/")),
    "who serves a call": Needed(
        a_server_that_stops, everywhere("net/serving/"), Bound(stalls=1, order="any", restarts=0)
    ),
    "times that are read": Needed(a_time_that_is_read, of_kind(TASK, "clock"), ANY_TIME),
    "times of a watcher": Needed(a_watcher_of_times, of_kind(OPERATION, "clock"), ANY_TIME),
    "times in a history": Needed(a_history_of_times, of_kind(OPERATION, "clock"), ANY_TIME),
    "memory of who is struck": Needed(a_strike_and_memory, of_kind(FAULT, "memory/"), ONE_FAULT),
    "answers to who is struck": Needed(a_strike_and_an_answer, of_kind(FAULT, "steps/"), ONE_FAULT),
    "chance of a module": Needed(common_chance, everywhere("random")),
    "conditions of requests": Needed(
        a_gate_that_opens_again,
        lambda option, touch: option.kind == "task" and touch == ("gate", "read"),
    ),
    "serializable": Needed(
        a_pivot, lambda option, touch: touch[0] in ("db/serializable", "db/waiting")
    ),
    "circles": Needed(a_circle, everywhere("db/waiting")),
    "mode": Needed(begun_while_away, everywhere("db/mode")),
    "unsynced files": Needed(unsynced_files, everywhere("disk/unsynced"), ONE_FAULT),
    "rules that come late": Needed(a_rule_that_comes_late, everywhere("rules/*")),
    "records of a watcher": Needed(a_rule_with_a_record, everywhere("watch/")),
    "records that a rule reads": Needed(a_rule_with_a_record, everywhere("watch/*", "read")),
    "the history at the end": Needed(a_rule_with_a_history, everywhere("rules/a_is_first")),
    "decisions that say nothing": Needed(an_open_question, of_kind(DECISION, "*")),
}
