"""A target that cannot be repeated is found out, with the step and what each run did there."""

from __future__ import annotations

import trio

from harness.repeat import Difference, same_twice
from harness.scenario import Scenario
from harness.world.world import World
from tests.engine.worlds import preferring, run_of, told


def found(scenario: Scenario) -> Difference:
    """The difference of a run that cannot be repeated."""
    difference = same_twice(run_of(scenario))
    assert difference is not None
    return difference


async def warm_up(world: World) -> None:
    """Three steps in which nothing differs."""
    for number in range(3):
        await trio.lowlevel.checkpoint()
        world.simulation.emit("note", f"calm {number}")


def test_what_can_be_repeated_has_no_difference() -> None:
    async def calm(world: World) -> None:
        await world.client("trader", warm_up, world)

    assert same_twice(run_of(told(calm))) is None
    assert same_twice(run_of(told(calm), preferring("main: calm"))) is None


def test_a_counter_that_outlives_the_run() -> None:
    numbers = iter(range(10**6))

    async def counts(world: World) -> None:
        await warm_up(world)
        await trio.lowlevel.checkpoint()
        world.simulation.emit("write", "book", resource="order", value=next(numbers))

    difference = found(told(counts))
    assert difference.step == 5
    assert difference.first == "main: counts (5|0|main|write|book|order|1||||)"
    assert difference.second == "main: counts (5|0|main|write|book|order|2||||)"
    assert difference.first_options == difference.second_options == ("main: counts",)


def test_a_counter_that_changes_what_can_run() -> None:
    numbers = iter(range(10**6))

    async def grows(world: World) -> None:
        await warm_up(world)
        for number in range(next(numbers)):
            world.start_client(f"client {number}", trio.lowlevel.checkpoint)
        await trio.sleep(1)

    difference = found(told(grows))
    clients = ("client 0: checkpoint", "client 1: checkpoint")
    slept = "clock -> 1000 ms for main: grows"
    assert difference.step == 5
    assert difference.first_options == (*clients[:1], slept)
    assert difference.second_options == (*clients, slept)


def test_objects_in_a_set_are_in_the_order_of_their_addresses() -> None:
    kept: list[object] = []

    class Order:
        """An order that is told apart by its address only."""

        def __init__(self, number: int) -> None:
            self.number = number

    async def fills(world: World) -> None:
        await warm_up(world)
        # The objects of earlier runs stay, so that these ones are never at the same addresses.
        orders = [Order(number) for number in range(40)]
        kept.extend(orders)
        for order in sorted(orders, key=lambda order: id(order) * 2654435761 % 2**32):
            await trio.lowlevel.checkpoint()
            world.simulation.emit("write", f"fill {order.number}")

    difference = found(told(fills))
    assert difference.step >= 5
    assert difference.first.startswith("main: fills (") and "|fill " in difference.first
    assert difference.first != difference.second


def test_an_address_in_a_label() -> None:
    kept: list[object] = []

    async def labels(world: World) -> None:
        await warm_up(world)
        kept.append(object())
        await world.client(f"trader {id(kept[-1])}", trio.lowlevel.checkpoint)

    difference = found(told(labels))
    assert difference.step == 5
    assert difference.first != difference.second
    assert difference.first.startswith("trader ") and difference.first.endswith(": checkpoint")


def test_a_run_that_is_over_sooner() -> None:
    numbers = iter(range(10**6))

    async def shortens(world: World) -> None:
        for _ in range(9 - next(numbers)):
            await trio.lowlevel.checkpoint()

    difference = found(told(shortens))
    assert difference.step == 9
    assert difference.first == "main: shortens"
    assert difference.second == "(the run is over)"


def test_a_choice_that_is_not_possible_any_more() -> None:
    numbers = iter(range(10**6))

    async def shrinks(world: World) -> None:
        if next(numbers) < 1:
            world.start_client("other", trio.lowlevel.checkpoint)
        await trio.sleep(1)

    run = run_of(told(shrinks), preferring("for main: shrinks"))
    (deviation,) = run.deviations
    difference = same_twice(run)
    assert difference is not None
    assert difference.step == deviation.step
    assert difference.first == deviation.taken == "clock -> 1000 ms for main: shrinks"
    assert difference.second == "(not possible)"


def test_what_only_the_very_first_run_did_is_a_difference_too() -> None:
    cache: list[int] = []

    async def remembers(world: World) -> None:
        await warm_up(world)
        await trio.lowlevel.checkpoint()
        world.simulation.emit("read", "cached" if cache else "fetched")
        cache.append(1)

    difference = found(told(remembers))
    assert difference.step == 5
    assert "|fetched|" in difference.first and "|cached|" in difference.second
