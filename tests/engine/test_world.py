"""What a story is handed besides services: seeded data, clients, watchers, a network's faults."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from harness.history import Event
from harness.schedule.choices import Chooser, Option
from harness.world.world import World
from tests.engine.worlds import run_of, told
from tests.schedule.processes import printed_by


async def draws(world: World) -> None:
    """Data of every kind that a world makes, for two purposes each."""
    world.note(
        "drawn",
        lambda: " ".join(
            [
                *(str(world.random(purpose).random()) for purpose in ("amounts", "prices")),
                *(world.faker(purpose).name() for purpose in ("people", "firms")),
                str(world.random("amounts").sample(range(99), 5)),
            ]
        ),
    )


def drawn(seed: int) -> str:
    """What one run draws."""
    return run_of(told(draws), seed=seed).notes[0]


def test_data_follow_the_seed_and_differ_by_purpose() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)

    async def by_purpose(world: World) -> None:
        assert world.random("a") is world.random("a")
        assert world.random("a").random() != world.random("b").random()
        assert world.faker("a").name() != world.faker("b").name()

    assert not run_of(told(by_purpose)).violated


def test_one_more_draw_for_one_purpose_leaves_the_others_alone() -> None:
    values: list[float] = []

    async def story(world: World) -> None:
        for _ in range(len(values)):
            world.random("extra").random()
            world.faker("extra").name()
        values.append(world.random("amounts").random())

    for _ in range(3):
        run_of(told(story))
    assert len(set(values)) == 1


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_draws_the_same(hash_seed: str) -> None:
    program = (
        "from tests.engine.test_world import drawn\n"
        "from tests.engine.test_conformity import digest_of_seed\n"
        "print(drawn(5), drawn(6), [digest_of_seed(seed) for seed in range(4)])\n"
    )
    printed = printed_by(program, hash_seed=hash_seed)
    from tests.engine.test_conformity import digest_of_seed

    digests = [digest_of_seed(seed) for seed in range(4)]
    assert printed == f"{drawn(5)} {drawn(6)} {digests}\n"


def test_a_client_hands_over_its_result_or_its_error() -> None:
    async def doubles(number: int) -> int:
        await trio.sleep(1)
        if number < 0:
            raise ValueError("too small")
        return number * 2

    async def story(world: World) -> None:
        assert await world.client("one", doubles, 4) == 8
        lane = world.start_client("two", doubles, 5)
        assert await world.finished(lane) == 10
        with pytest.raises(ValueError, match="too small"):
            await world.client("three", doubles, -1)

    (violation,) = run_of(told(story)).violations
    assert violation.message.startswith("three failed at tests/engine/test_world.py:")
    assert violation.message.endswith(": ValueError: too small")


def test_watchers_hear_before_the_rules_judge() -> None:
    heard: list[str] = []

    async def story(world: World) -> None:
        balance = {"ann": 0}

        def book(event: Event) -> None:
            heard.append(event.resource)
            balance["ann"] = int(str(event.after))

        world.watch("books/", book)

        @world.invariant(on=("books/",))
        def the_watcher_was_first() -> None:
            assert balance["ann"] == len(heard)

        for number in (1, 2):
            world.simulation.emit("write", "put", resource="books/ann", after=number)
            world.simulation.emit("write", "put", resource="elsewhere", after=9)
            await trio.lowlevel.checkpoint()

    run = run_of(told(story))
    assert heard == ["books/ann", "books/ann"]
    assert run.held == ("the_watcher_was_first",)


def test_faults_of_the_network_need_no_restart_to_be_declared() -> None:
    async def story(world: World) -> None:
        network = world.network()
        network.allow(drop=True)

        async def calls() -> str:
            try:
                await network.call("ledger", "deposit", 10, timeout_s=5)
            except TimeoutError:
                return "silence"
            return "answered"

        async def answers() -> None:
            async for request in network.listen("ledger"):
                await request.reply("ok")

        world.start_client("ledger", answers)
        outcome = await world.client("trader", calls)
        world.note("outcome", lambda: outcome)

    assert run_of(told(story)).notes == ("answered",)
    for label in ("ledger.deposit", "ledger.deposit to trader"):
        dropping = run_of(told(story), preferring_a_drop(label))
        assert dropping.notes == ("silence",)
        assert dropping.faults == 1 and dropping.ended_at_ms == 5000


def preferring_a_drop(ending: str) -> Chooser:
    """Drop one message."""

    def choose(options: Sequence[Option], step: int) -> int:
        found = (
            index
            for index, option in enumerate(options)
            if option.label.startswith("nemesis: drop") and option.label.endswith(ending)
        )
        return next(found, 0)

    return choose
