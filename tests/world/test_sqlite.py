"""SQLite on a disk that loses what was not synced: as its documentation says, by pragma."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from harness.campaign import Plan, explore
from harness.engine import campaign, execute
from harness.errors import UsageError
from harness.scenario import scenario
from harness.world.service import Life
from harness.world.world import World

apsw = pytest.importorskip("apsw", reason="SQLite in a run needs apsw (the extra sqlite)")

from tests.world.crashes_of_sqlite import (  # noqa: E402
    DAMAGED,
    LOST,
    Setting,
    books,
    crash,
)


def counts(setting: Setting, *, runs: int = 50, kind: str = "power cut") -> Counter[str]:
    """How many runs broke a rule, by its name."""
    with campaign():
        made = [crash(setting, seed=seed, kind=kind) for seed in range(runs)]
    assert sum(run.restarts for run in made) > runs / 2
    return Counter(each.invariant for run in made for each in run.violations[:1])


@pytest.mark.parametrize(
    ("setting", "broken"),
    [
        (Setting("delete", "off"), (LOST, DAMAGED)),
        (Setting("delete", "full"), ()),
        # https://sqlite.org/pragma.html#pragma_synchronous: full does not sync the directory
        # after a commit has deleted the journal, extra does.
        (Setting("delete", "full", names_survive=False), (LOST,)),
        (Setting("delete", "extra", names_survive=False), ()),
        (Setting("truncate", "full"), ()),
        # normal: "WAL mode does lose durability", and "is always consistent".
        (Setting("wal", "normal"), (LOST,)),
        (Setting("wal", "full"), ()),
    ],
    ids=str,
)
def test_what_a_power_cut_breaks_is_what_sqlite_says(
    setting: Setting, broken: tuple[str, ...]
) -> None:
    assert tuple(sorted(counts(setting))) == broken


def test_a_killed_process_loses_nothing() -> None:
    assert not counts(Setting("delete", "off"), kind="crash")


def test_a_statement_can_be_cut_off_before_each_of_its_syncs() -> None:
    def choose(options: object, step: int) -> int:
        labels = [each.label for each in options]  # type: ignore[attr-defined]
        seen.update(label for label in labels if "before sync" in label)
        return next((at for at, label in enumerate(labels) if "power cut" in label), 0)

    seen: set[str] = set()
    with campaign():
        for strikes_at in range(4, 20):
            execute(
                books(Setting()),
                seed=0,
                choose=lambda options, step, at=strikes_at: (  # type: ignore[misc]
                    choose(options, step) if step >= at else 0
                ),
            )
    assert {label.rpartition(" before ")[2] for label in seen} == {
        f"sync {number} of the last statement" for number in (1, 2, 3)
    }


def test_a_search_finds_the_loss_and_its_finding_comes_back() -> None:
    with campaign():
        found = explore(books(Setting("delete", "off")), Plan(seed=1, schedules=60))
        nothing = explore(books(Setting("delete", "full")), Plan(seed=1, schedules=60))
    assert found.findings[0].replays == (3, 3)
    assert found.findings[0].violation.invariant in (DAMAGED, LOST)
    assert not nothing.findings and not nothing.vacuous


def test_the_locks_of_a_connection_keep_others_out_until_its_process_is_dead() -> None:
    told: list[str] = []

    @scenario(name="two-connections")
    async def story(world: World) -> None:
        disk = world.sqlite()

        async def run(life: Life) -> None:
            mine = await disk.connect("a.db")
            if life.incarnation == 1:
                await mine.execute("create table t (x)")
                await mine.execute("begin immediate")
                await mine.execute("insert into t values (1)")
            try:
                await mine.execute("insert into t values (2)")
                told.append(f"{life.incarnation} wrote")
            except apsw.BusyError:
                told.append(f"{life.incarnation} busy")
            life.enter("ready")
            await life.stop_requested()

        service = world.service("books", run)
        await service.ready()
        second = service.start()
        await service.ready(second)
        service.crash()
        await service.ready(service.start())
        told.append(f"{disk.read('a.db', 'select x from t')}")

    with campaign():
        assert not execute(story, seed=0).violated
    assert told == ["1 wrote", "2 busy", "3 wrote", "[(2,)]"]


def test_a_power_cut_takes_what_a_plain_disk_has_not_synced() -> None:
    kept: dict[str, int] = {}

    def losing(kind: str) -> None:
        @scenario(name="log")
        async def story(world: World) -> None:
            disk = world.disk("disk", of="log")

            async def run(life: Life) -> None:
                await disk.append("log", b"x")
                life.enter("ready")
                await life.stop_requested()

            service = world.service("log", run)
            await service.ready()
            await service.restart(kind)
            kept[kind] = len(disk.files().get("log", b""))

        with campaign():
            execute(story, seed=0, choose=lambda options, step: len(options) - 1)

    losing("crash")
    losing("power cut")
    assert kept == {"crash": 2, "power cut": 1}


def test_without_apsw_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apsw", None)
    for name in ("harness.world.sqlite", "harness.world.lossy"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    @scenario(name="no-apsw")
    async def story(world: World) -> None:
        with pytest.raises(UsageError, match=r"pip install 'changeover\[sqlite\]'"):
            world.sqlite()
        told.append("said")

    told: list[str] = []
    with campaign():
        execute(story, seed=0)
    assert told == ["said"]
