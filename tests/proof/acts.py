"""What the tasks of generated programs do: one operation of the world, or two, each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import trio

from harness.schedule.memory import Shared
from harness.world.service import Life
from harness.world.world import World

Act = Callable[["Stage", list[object], str], Awaitable[object]]


class Stage:
    """What the tasks of one run act upon, and what they saw."""

    def __init__(self, world: World, lanes: int) -> None:
        self.world = world
        self.database = world.database("db")
        self.database.load("rows", {"a": {"n": 0}, "b": {"n": 0}})
        self.store = world.object_store("store")
        self.disk = world.disk("disk")
        self.network = world.network("net")
        self.seen: list[tuple[str, list[object]]] = []
        self.judged: list[str] = []
        self.watched: list[object] = []
        self.memories = [Memory() for _ in range(lanes)]
        self.subscriptions: dict[str, Any] = {}

    def open_books(self) -> None:
        """Start the service of which some acts look at the phases."""
        self.world.service("books", self._keep_books)

    async def _keep_books(self, life: Life) -> None:
        life.enter("ready")
        await life.stop_requested()
        await self.store.put("x", life.incarnation)

    def state(self) -> str:
        """Everything that can be told of the end."""
        memories = [[one.value for one in memory.variables] for memory in self.memories]
        rows = {key: dict(row) for key, row in self.database.table("rows").items()}
        return repr(
            (
                memories,
                rows,
                sorted(self.store.objects().items()),
                sorted(self.disk.files().items()),
                sorted(self.disk.durable_files().items()),
                sorted((who, repr(seen)) for who, seen in self.seen),
                self.watched,
            )
        )


class Memory:
    """What the tasks of one lane share."""

    def __init__(self) -> None:
        self.variables = [Shared(f"v{number}", 0) for number in range(2)]
        self.plain = 0
        self.lock = trio.Lock()
        self.event = trio.Event()
        self.send, self.receive = trio.open_memory_channel[int](1)


# --- acts ---------------------------------------------------------------------------------------


def _memory(stage: Stage, who: str) -> Memory:
    return stage.memories[int(who[0])]


async def read_variable(stage: Stage, seen: list[object], who: str) -> None:
    seen.append(await _memory(stage, who).variables[0].get())


async def write_variable(stage: Stage, seen: list[object], who: str) -> None:
    await _memory(stage, who).variables[0].set(len(seen) * 10 + int(who[1]))


async def update_other(stage: Stage, seen: list[object], who: str) -> None:
    await _memory(stage, who).variables[1].update(lambda value: value * 3 + int(who[1]) + 1)


async def swap_variable(stage: Stage, seen: list[object], who: str) -> None:
    seen.append(await _memory(stage, who).variables[1].compare_and_set(0, 5 + int(who[1])))


async def add_plainly(stage: Stage, seen: list[object], who: str) -> None:
    memory = _memory(stage, who)
    value = memory.plain
    await trio.lowlevel.checkpoint()
    memory.plain = value + 1
    seen.append(value)


async def hold_lock(stage: Stage, seen: list[object], who: str) -> None:
    memory = _memory(stage, who)
    async with memory.lock:
        memory.plain = memory.plain * 2 + int(who[1])
        seen.append(memory.plain)


async def set_event(stage: Stage, seen: list[object], who: str) -> None:
    await trio.lowlevel.checkpoint()
    _memory(stage, who).event.set()


async def see_event(stage: Stage, seen: list[object], who: str) -> None:
    with trio.move_on_after(1):
        await _memory(stage, who).event.wait()
    seen.append(_memory(stage, who).event.is_set())


async def send_along(stage: Stage, seen: list[object], who: str) -> None:
    await _memory(stage, who).send.send(int(who[1]))


async def receive_along(stage: Stage, seen: list[object], who: str) -> None:
    with trio.move_on_after(1):
        seen.append(await _memory(stage, who).receive.receive())


async def get_row(stage: Stage, seen: list[object], who: str) -> None:
    row = await stage.database.get("rows", "a")
    seen.append(row and row["n"])


async def put_row(stage: Stage, seen: list[object], who: str) -> None:
    await stage.database.put("rows", "a", {"n": int(who)})


async def scan_rows(stage: Stage, seen: list[object], who: str) -> None:
    rows = await stage.database.scan("rows")
    seen.append([row["n"] for row in rows.values()])


async def put_other(stage: Stage, seen: list[object], who: str) -> None:
    await stage.database.put("rows", "b", {"n": int(who)})


def _transact(isolation: str, first: str, second: str) -> Act:
    async def act(stage: Stage, seen: list[object], who: str) -> None:
        try:
            async with stage.database.transaction(isolation) as transaction:
                row = await transaction.get_for_update("rows", first)
                seen.append(row and row["n"])
                await transaction.put("rows", second, {"n": int(who)})
        except Exception as error:  # what failed is part of what was seen
            seen.append(type(error).__name__)

    return act


async def copy_row(stage: Stage, seen: list[object], who: str) -> None:
    try:
        async with stage.database.transaction("serializable") as transaction:
            first, second = ("a", "b") if int(who[1]) % 2 else ("b", "a")
            row = await transaction.get("rows", first)
            value = row["n"] if row else 0
            assert isinstance(value, int)
            await transaction.update("rows", second, n=value + 1)
    except Exception as error:
        seen.append(type(error).__name__)


async def maintain(stage: Stage, seen: list[object], who: str) -> None:
    await stage.database.maintain("away")
    await stage.database.reopen()


async def put_safely(stage: Stage, seen: list[object], who: str) -> None:
    try:
        await stage.database.put("rows", "b", {"n": int(who)})
    except Exception as error:
        seen.append(type(error).__name__)


async def put_object(stage: Stage, seen: list[object], who: str) -> None:
    seen.append(await stage.store.put("x", int(who)))


async def put_object_if(stage: Stage, seen: list[object], who: str) -> None:
    try:
        seen.append(await stage.store.put_if("x", int(who)))
    except Exception as error:
        seen.append(type(error).__name__)


async def get_object(stage: Stage, seen: list[object], who: str) -> None:
    seen.append(await stage.store.get("x"))


async def list_objects(stage: Stage, seen: list[object], who: str) -> None:
    seen.append(await stage.store.list())


async def put_own_object(stage: Stage, seen: list[object], who: str) -> None:
    await stage.store.put(f"own{who}", 1)


async def append(stage: Stage, seen: list[object], who: str) -> None:
    await stage.disk.append("log", who.encode())


async def append_own(stage: Stage, seen: list[object], who: str) -> None:
    await stage.disk.append(f"log{who}", b"x")


async def force(stage: Stage, seen: list[object], who: str) -> None:
    with suppress(FileNotFoundError):
        await stage.disk.fsync("log")


async def read_log(stage: Stage, seen: list[object], who: str) -> None:
    try:
        seen.append(await stage.disk.read("log"))
    except FileNotFoundError:
        seen.append("none")


async def serve(stage: Stage, seen: list[object], who: str) -> None:
    async with stage.network.listen("server") as requests:
        with trio.move_on_after(1):
            async for request in requests:
                seen.append(request.payload)
                await request.reply(len(seen))


async def ask(stage: Stage, seen: list[object], who: str) -> None:
    try:
        seen.append(await stage.network.call("server", "ask", int(who), timeout_s=0.5))
    except Exception as error:
        seen.append(type(error).__name__)


async def tell_server(stage: Stage, seen: list[object], who: str) -> None:
    await stage.network.send("server", int(who))


async def follow(stage: Stage, seen: list[object], who: str) -> None:
    async with stage.network.subscribe("news") as news:
        with trio.move_on_after(1):
            async for item in news:
                seen.append(item)


async def publish(stage: Stage, seen: list[object], who: str) -> None:
    await stage.network.publish("news", int(who))


async def sleep_short(stage: Stage, seen: list[object], who: str) -> None:
    await trio.sleep(1)
    seen.append(stage.world.now_ms)


async def sleep_long(stage: Stage, seen: list[object], who: str) -> None:
    await trio.sleep(1 + int(who[0]))
    seen.append(trio.current_time())


async def look_at_clock(stage: Stage, seen: list[object], who: str) -> None:
    await trio.lowlevel.checkpoint()
    seen.append(trio.current_time())


async def draw(stage: Stage, seen: list[object], who: str) -> None:
    await trio.lowlevel.checkpoint()
    seen.append(stage.world.random("common").randrange(1000))


async def work_in_time(stage: Stage, seen: list[object], who: str) -> None:
    with stage.world.timeout(f"work of {who}") as scope:
        await stage.store.put("x", int(who))
        seen.append("put")
    seen.append(scope.cancelled_caught)


async def wait_in_time(stage: Stage, seen: list[object], who: str) -> None:
    with stage.world.timeout(f"wait of {who}") as scope:
        async with _memory(stage, who).lock:
            seen.append(await stage.store.get("x"))
    seen.append(scope.cancelled_caught)


async def put_by_then(stage: Stage, seen: list[object], who: str) -> None:
    with trio.move_on_after(1) as scope:
        await stage.database.put("rows", "a", {"n": int(who)})
    seen.append(scope.cancelled_caught)


async def append_by_then(stage: Stage, seen: list[object], who: str) -> None:
    with trio.move_on_after(1):
        await stage.disk.append(f"log{who}", b"x")
        seen.append("appended")


async def ask_by_then(stage: Stage, seen: list[object], who: str) -> None:
    try:
        seen.append(await stage.network.call("nobody", "ask", int(who), timeout_s=1))
    except Exception as error:
        seen.append(type(error).__name__)


async def receive_by_then(stage: Stage, seen: list[object], who: str) -> None:
    with trio.move_on_after(1):
        seen.append(await _memory(stage, who).receive.receive())
    _memory(stage, who).event.set()


async def send_by_then(stage: Stage, seen: list[object], who: str) -> None:
    with trio.move_on_after(2):
        await _memory(stage, who).event.wait()
        await _memory(stage, who).send.send(int(who[1]))
        seen.append("sent")


async def put_shielded(stage: Stage, seen: list[object], who: str) -> None:
    with trio.move_on_after(1) as scope:
        try:
            await trio.sleep(9)
        finally:
            with trio.CancelScope(shield=True):
                await stage.store.put("x", int(who))
    seen.append((scope.cancelled_caught, trio.current_time()))


async def cancel_put(stage: Stage, seen: list[object], who: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.database.put, "rows", "b", {"n": int(who)})
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def look_at_books(stage: Stage, seen: list[object], who: str) -> None:
    await trio.lowlevel.checkpoint()
    seen.append([(life.name, life.phase) for life in stage.world.services["books"].alive])


async def stop_books(stage: Stage, seen: list[object], who: str) -> None:
    await stage.world.services["books"].stop()
    seen.append("stopped")


async def wait_for_books(stage: Stage, seen: list[object], who: str) -> None:
    await stage.world.services["books"].ready()
    seen.append("ready")


FAMILIES: Mapping[str, tuple[Act, ...]] = {
    "memory": (read_variable, write_variable, update_other, swap_variable, add_plainly),
    "tasks": (hold_lock, set_event, see_event, send_along, receive_along, add_plainly),
    "rows": (get_row, put_row, put_other, scan_rows),
    "transactions": (
        _transact("read committed", "a", "b"),
        _transact("read committed", "b", "a"),
        _transact("repeatable read", "a", "a"),
        copy_row,
        put_row,
    ),
    "maintenance": (maintain, put_safely, _transact("read committed", "a", "a")),
    "objects": (put_object, put_object_if, get_object, list_objects, put_own_object),
    "files": (append, append_own, force, read_log),
    "calls": (ask, ask, tell_server, serve),
    "topics": (publish, publish, follow),
    "time": (sleep_short, sleep_long, look_at_clock, put_row, get_row),
    "chance": (draw, draw, put_own_object),
    "services": (look_at_books, stop_books, wait_for_books, get_object),
    "timeouts": (work_in_time, wait_in_time, hold_lock, put_object),
    "deadlines": (
        put_by_then,
        append_by_then,
        ask_by_then,
        receive_by_then,
        send_by_then,
        put_shielded,
        cancel_put,
        sleep_short,
        get_row,
    ),
}
ACTS = {
    f"{family}.{place}": act for family, acts in FAMILIES.items() for place, act in enumerate(acts)
}
