"""What is left on the simulated disk after a power cut: never less than was synced."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product

import pytest

from harness.schedule.choices import DECISION
from harness.schedule.simulation import Simulation
from harness.world.disk import Disk
from tests.world.orders import every_order, in_order, step_through

Step = tuple[str, ...]
Files = dict[str, bytes]
ALPHABET: tuple[Step, ...] = (
    ("append", "a"),
    ("append", "b"),
    ("write", "a"),
    ("fsync", "a"),
    ("rename", "a", "b"),
    ("delete", "a"),
    ("sync",),
)
STEPS_LONG = 5


async def perform(disk: Disk, program: Sequence[Step]) -> None:
    for number, (verb, *paths) in enumerate(program):
        try:
            if verb == "append":
                await disk.append(paths[0], b"%d%d" % (number, number))
            elif verb == "write":
                await disk.write(paths[0], b"%d" % number, offset=1)
            elif verb == "fsync":
                await disk.fsync(paths[0])
            elif verb == "rename":
                await disk.rename(paths[0], paths[1])
            elif verb == "delete":
                await disk.delete(paths[0])
            else:
                await disk.sync_directory()
        except FileNotFoundError:
            pass


def after_power_cut(program: Sequence[Step]) -> dict[str, Files]:
    """What the disk holds after each outcome of a power cut at the end, by its name."""
    disks: list[Disk] = []

    async def lane(disk: Disk) -> None:
        await perform(disk, program)
        disk.power_cut()

    def build() -> Simulation:
        simulation = Simulation()
        disks.append(Disk(simulation, "disk"))
        simulation.spawn("writer", lane, disks[-1])
        return simulation

    results: dict[str, Files] = {}
    for simulation in every_order(build):
        decided = [option.label for option in simulation.applied if option.kind == DECISION]
        name = decided[0].removeprefix("disk: ") if decided else "nothing is lost"
        assert name not in results
        results[name] = disks[-1].files()
        assert disks[-1].files() == disks[-1].durable_files()
    return results


class Model:
    """An independent account of the same program: every change, and whether it is durable."""

    def __init__(self, program: Sequence[Step]) -> None:
        self.names: dict[str, int] = {}
        self.sizes: list[int] = []
        self.changes: list[tuple[str, int, str, str, int, bytes]] = []
        self.durable: list[bool] = []
        for number, (verb, *paths) in enumerate(program):
            self._step(number, verb, paths)

    def _step(self, number: int, verb: str, paths: list[str]) -> None:
        path = paths[0] if paths else ""
        if verb in ("append", "write"):
            if path not in self.names:
                self.names[path] = len(self.sizes)
                self.sizes.append(0)
                self._note(("create", self.names[path], path, "", 0, b""))
            file = self.names[path]
            content = b"%d%d" % (number, number) if verb == "append" else b"%d" % number
            offset = self.sizes[file] if verb == "append" else 1
            self.sizes[file] = max(self.sizes[file], offset + len(content))
            self._note((verb, file, "", "", offset, content))
        elif verb == "sync":
            self._force(lambda change: change[0] not in ("append", "write"))
        elif path in self.names:
            file = self.names[path]
            if verb == "fsync":
                self._fsync(file)
                return
            del self.names[path]
            if verb == "rename":
                self.names[paths[1]] = file
            self._note((verb, file, path, paths[1] if verb == "rename" else "", 0, b""))

    def _note(self, change: tuple[str, int, str, str, int, bytes]) -> None:
        self.changes.append(change)
        self.durable.append(False)

    def _force(self, which: object) -> None:
        assert callable(which)
        for index, change in enumerate(self.changes):
            self.durable[index] |= bool(which(change))

    def _fsync(self, file: int) -> None:
        self._force(lambda change: change[0] in ("append", "write") and change[1] == file)
        created = next(
            index
            for index, change in enumerate(self.changes)
            if change[0] == "create" and change[1] == file
        )
        for index in range(created + 1):
            if self.changes[index][0] not in ("append", "write"):
                self.durable[index] = True

    def legal(self) -> list[Files]:
        """Every state: any part of the unsynced data, torn or not, with the first so many names."""
        pending = [index for index, durable in enumerate(self.durable) if not durable]
        data = [index for index in pending if self.changes[index][0] in ("append", "write")]
        names = [index for index in pending if index not in data]
        ways = ("kept", "lost", "torn", "zeros")
        return [
            self._state(dict(zip(data, how, strict=True)), names[:count])
            for count in range(len(names) + 1)
            for how in product(ways, repeat=len(data))
        ]

    def _state(self, data: dict[int, str], names: list[int]) -> Files:
        held: dict[str, int] = {}
        contents = [bytearray() for _ in self.sizes]
        for index, (verb, file, path, other, offset, content) in enumerate(self.changes):
            if verb in ("append", "write"):
                how = data.get(index, "kept")
                half = content[: len(content) // 2]
                zeros = bytes(len(content))
                arrived = {"kept": content, "torn": half, "zeros": zeros, "lost": b""}[how]
                if how != "lost":
                    target = contents[file]
                    target.extend(bytes(max(0, offset - len(target))))
                    target[offset : offset + len(arrived)] = arrived
            elif self.durable[index] or index in names:
                if verb == "create":
                    held[path] = file
                else:
                    del held[path]
                    if verb == "rename":
                        held[other] = file
        return {name: bytes(contents[file]) for name, file in held.items()}


def check(program: Sequence[Step]) -> None:
    results, legal = after_power_cut(program), Model(program).legal()
    for name, files in results.items():
        assert files in legal, (program, name, files)
    everything_lost = Model(program)._state(
        {index: "lost" for index, durable in enumerate(everything_durable(program)) if not durable},
        [],
    )
    assert everything_lost in results.values(), program
    assert len(results) <= 12


def everything_durable(program: Sequence[Step]) -> list[bool]:
    return Model(program).durable


def test_every_short_program_ends_legally_after_a_power_cut() -> None:
    for length in (1, 2, 3):
        for program in product(ALPHABET, repeat=length):
            check(program)


def test_longer_programs_end_legally_after_a_power_cut() -> None:
    generator = random.Random(7)
    for _ in range(300):
        check([generator.choice(ALPHABET) for _ in range(STEPS_LONG)])


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ((("append", "a"), ("fsync", "a")), ["nothing is lost"]),
        (
            (("append", "a"), ("fsync", "a"), ("append", "a")),
            [
                "nothing is lost",
                "the last append to a is torn in half",
                "the last append to a is all zeros",
                "unsynced data of a is lost",
            ],
        ),
        (
            (("append", "a"), ("rename", "a", "b")),
            [
                "nothing is lost",
                "the last append to b is torn in half",
                "the last append to b is all zeros",
                "unsynced data of b is lost",
                "the last unsynced name change is lost",
                "unsynced name changes are lost",
            ],
        ),
    ],
)
def test_the_outcomes_are_few_and_named(program: tuple[Step, ...], names: list[str]) -> None:
    assert sorted(after_power_cut(program)) == sorted(names)


def test_an_atomic_replacement_without_fsync_can_leave_an_empty_file() -> None:
    program = (("append", "b"), ("fsync", "b"), ("append", "a"), ("rename", "a", "b"))
    assert b"" in [files.get("b") for files in after_power_cut(program).values()]
    safe = (*program[:3], ("fsync", "a"), program[3])
    assert {files["b"] for files in after_power_cut(safe).values()} == {b"00", b"22"}
    safest = (*safe, ("sync",))
    assert list(after_power_cut(safest).values()) == [{"b": b"22"}]


def test_two_files_can_be_kept_in_the_other_order() -> None:
    results = after_power_cut((("append", "a"), ("append", "b"), ("sync",)))
    assert {"a": b"", "b": b"11"} in results.values()


def test_processes_see_the_page_cache_and_a_killed_one_loses_nothing() -> None:
    simulation = Simulation()
    disk = Disk(simulation, "disk")

    async def writer() -> None:
        await disk.append("log", b"one")
        await disk.append("log", b"two")

    async def reader() -> bytes:
        await disk.read("missing")
        return b""

    async def late() -> tuple[bytes, tuple[str, ...]]:
        await simulation.operate(
            "kill",
            lambda: simulation.crash(simulation.lanes["writer"]),
            enabled=lambda: "log" in disk.files(),
        )
        return await disk.read("log"), await disk.listing()

    simulation.spawn("writer", writer)
    simulation.spawn("reader", reader)
    simulation.spawn("late", late)
    step_through(simulation, in_order("writer: append disk/log", "late: kill"))
    assert simulation.lanes["late"].result == (b"one", ("log",))
    assert isinstance(simulation.lanes["reader"].error, FileNotFoundError)
    assert disk.durable_files() == {}


def test_the_history_tells_what_the_power_cut_did() -> None:
    simulation = Simulation()
    disk = Disk(simulation, "disk")
    disk.load({"log": b"zero"})

    async def writer() -> None:
        await disk.append("log", b"one")
        disk.power_cut()

    simulation.spawn("writer", writer)
    step_through(simulation, lambda options: len(options) - 1)
    told = [(event.kind, event.operation, event.value) for event in simulation.history]
    assert told == [
        ("write", "append", "3 bytes at 4"),
        ("fault", "power cut", "unsynced data of log is lost"),
    ]
    assert disk.files() == {"log": b"zero"}
