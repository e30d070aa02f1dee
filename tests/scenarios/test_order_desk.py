"""What matching knows while trades are on their way to the chain, and who may write its journal."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import trio

from harness.schedule.simulation import Simulation
from harness.world.objectstore import ObjectStore
from harness.world.world import World
from target_stub.chain import Chain
from target_stub.cloud.journal import TABLE, Journal, Tail
from target_stub.cloud.market_data import EPOCHS, StaleEpoch
from target_stub.cloud.order_desk import Levels, OrderDesk
from target_stub.cloud.snapshots import Snapshots
from target_stub.core import (
    BTC_USD_PERP,
    JANUARY_2026,
    CancelOrder,
    Command,
    Deposit,
    Event,
    FollowChain,
    PlaceOrder,
    PublishMarket,
    Side,
    Usdc,
    Withdraw,
    digest,
    genesis,
)
from tests.scenarios.test_chain import chain as opened_chain

MARKET = BTC_USD_PERP.symbol
LOT = Decimal("0.1")


class Desk:
    """A desk and the chain that it follows."""

    def __init__(self) -> None:
        self.chain: Chain = opened_chain()
        self.desk = OrderDesk(genesis(JANUARY_2026, [BTC_USD_PERP]))
        self.count = 0
        self.follow()

    def next_id(self) -> str:
        """A name that was not used."""
        self.count += 1
        return f"{self.count}"

    def follow(self, *settled: str) -> FollowChain | None:
        """Take over what the chain says now."""
        head, anew = self.chain.head, self.count == 0
        command = self.desk.follow(head, settled=settled, id=self.next_id(), at_ms=0, anew=anew)
        if command is not None:
            self.desk.apply(command)
        return command

    def order(self, name: str, account: str, side: Side, lots: int) -> tuple[Event, ...]:
        """A limit order at the mark price."""
        return self.desk.apply(
            PlaceOrder(
                id=name,
                at_ms=0,
                account=account,
                market=MARKET,
                side=side,
                size=LOT * lots,
                price=Decimal(93_000),
            )
        )

    def settle(self) -> None:
        """The chain answers the oldest trade."""
        trade = next(iter(self.desk.matched.values())).trade
        self.chain.settle(trade)
        if self.chain.was_refused(trade.id):
            self.desk.apply(self.desk.bust_of(trade.id, id=self.next_id(), at_ms=0))
        else:
            self.follow(trade.id)

    def size(self, account: str) -> Decimal:
        """What matching believes that an account holds."""
        return self.desk.state.account(account).size(MARKET)

    def left(self, account: str) -> dict[str, Decimal]:
        """The open orders of an account and what is left of them."""
        orders = self.desk.state.account(account).orders.values()
        return {order.id: order.remaining for order in orders}


def traded(lots: int = 2) -> Desk:
    """Ann sells five lots in the book and bob has bought some of them; the chain knows nothing."""
    here = Desk()
    here.order("offer", "ann", Side.SELL, 5)
    here.order("buy", "bob", Side.BUY, lots)
    return here


def test_what_is_under_way_stays_believed_while_the_chain_does_other_things() -> None:
    here = traded()
    amount = Usdc(Decimal(5))
    here.chain.submit(Deposit(id="in", at_ms=1, account="bob", amount=amount))
    assert here.follow() is not None
    assert here.size("bob") == 2 * LOT
    before = here.chain.state.account("bob").balance_usdc
    assert here.desk.state.account("bob").balance_usdc == before == Decimal(10_005)
    here.settle()
    assert not here.desk.matched
    assert here.size("bob") == here.chain.state.account("bob").size(MARKET) == 2 * LOT


def test_a_trade_that_the_chain_has_already_settled_does_not_count_twice() -> None:
    here = traded()
    (matched,) = here.desk.matched.values()
    here.chain.settle(matched.trade)
    assert here.follow() is None, "the block comes before the answer"
    assert here.size("bob") == 2 * LOT


def test_a_trade_names_those_of_its_accounts_that_were_under_way() -> None:
    here = traded()
    here.order("more", "bob", Side.BUY, 1)
    first, second = (matched.trade for matched in here.desk.matched.values())
    assert first.after == ()
    assert second.after == (first.id,)
    here.settle()
    here.order("last", "bob", Side.BUY, 1)
    assert [matched.trade.after for matched in here.desk.matched.values()] == [
        (first.id,),
        (second.id,),
    ]


def fallen(*commands: Command) -> Desk:
    """The same, and bob has been paid out before the chain heard of the trade; it is busted."""
    here = traded()
    for command in commands:
        here.desk.apply(command)
    everything = Usdc(Decimal(9_999))
    here.chain.submit(Withdraw(id="out", at_ms=1, account="bob", amount=everything))
    here.settle()
    return here


def test_a_busted_trade_gives_the_orders_their_size_back() -> None:
    here = fallen()
    assert here.left("ann") == {"offer": 5 * LOT}
    assert here.desk.state.resyncing == ("ann", "bob")
    assert here.desk.clear() == ("ann", "bob")
    answer = here.desk.answer("buy") or ()
    assert [type(event).__name__ for event in answer] == ["OrderAccepted", "Filled", "TradeBusted"]


def test_an_order_that_was_cancelled_since_gets_nothing_back() -> None:
    here = fallen(CancelOrder(id="cancel", at_ms=0, account="ann", order_id="offer"))
    assert here.left("ann") == {}


def test_an_account_is_clear_only_when_all_of_its_trades_are_answered() -> None:
    here = traded()
    here.order("more", "bob", Side.BUY, 1)
    here.chain.submit(Withdraw(id="out", at_ms=1, account="bob", amount=Usdc(Decimal(9_999))))
    here.settle()
    assert here.desk.state.resyncing and not here.desk.clear()
    assert here.desk.answer("more") is None
    here.settle()
    assert here.desk.clear() == ("ann", "bob")
    for name in here.desk.clear():
        read = here.desk.resync_of(name, here.chain.head, id=here.next_id(), at_ms=0)
        here.desk.apply(read)
    assert not here.desk.state.resyncing
    assert here.size("bob") == 0
    assert here.desk.state.account("bob").balance_usdc == 1


def test_updates_are_numbered_and_the_same_journal_gives_the_same() -> None:
    journal: list[Command] = []

    class Recording(OrderDesk):
        def apply(self, command: Command) -> tuple[Event, ...]:
            journal.append(command)
            return super().apply(command)

    here = Desk.__new__(Desk)
    here.chain, here.count = opened_chain(), 0
    here.desk = Recording(genesis(JANUARY_2026, [BTC_USD_PERP]))
    here.follow()
    here.order("offer", "ann", Side.SELL, 5)
    here.order("buy", "bob", Side.BUY, 2)
    here.chain.submit(publish(93_100))
    here.settle()
    numbers = [update.seq_no for update in here.desk.updates]
    assert numbers == list(range(1, len(numbers) + 1))
    last = here.desk.updates[-1].what
    assert last == Levels(MARKET, bids=(), asks=((Decimal(93_000), 3 * LOT),))
    other = OrderDesk(genesis(JANUARY_2026, [BTC_USD_PERP]))
    for command in journal:
        other.apply(command)
    assert digest(other.state) == digest(here.desk.state)
    assert (other.updates, other.outcomes) == (here.desk.updates, here.desk.outcomes)


def publish(mark: int) -> PublishMarket:
    """A new mark price."""
    return PublishMarket(
        id=f"mark-{mark}",
        at_ms=2,
        market=MARKET,
        mark_price=Decimal(mark),
        funding_index=Decimal("-2819.53434361"),
        premium=Decimal(0),
    )


# --- the journal --------------------------------------------------------------------------------


@dataclass
class Life:
    """As much of a life as a journal looks at."""

    name: str
    incarnation: int


def in_world(story: Any, *, opened: bool = True) -> Any:
    """Run a story on a database until it ends; its result."""
    with Simulation(seed=1) as simulation:
        world = World(simulation, seed=1)
        database = world.database()
        database.load(EPOCHS, {TABLE: {"incarnation": 0}} if opened else {})
        lane = simulation.spawn("story", story, database)
        while not lane.finished:
            simulation.apply(simulation.options()[0])
        if lane.error is not None:
            raise lane.error
        return lane.result


def entry(name: str) -> Command:
    """Any command."""
    return CancelOrder(id=name, at_ms=0, account="ann", order_id="x")


def test_only_the_newest_incarnation_writes_the_journal() -> None:
    async def story(database: Any) -> list[str]:
        older, newer = (Journal(Life(f"matching#{n}", n), database) for n in (1, 2))  # type: ignore[arg-type]
        await older.take_over()
        await older.append([entry("one"), entry("two")])
        known = await newer.take_over()
        assert [command.id for command in known.commands] == ["one", "two"]
        with pytest.raises(StaleEpoch):
            await older.append([entry("lost")])
        with pytest.raises(StaleEpoch):
            await older.take_over()
        await newer.append([entry("three")])
        third = Journal(Life("matching#3", 3), database)  # type: ignore[arg-type]
        return [command.id for command in (await third.take_over()).commands]

    assert in_world(story) == ["one", "two", "three"]


def test_a_journal_that_was_shortened_goes_on_from_its_snapshot() -> None:
    async def story(database: Any) -> None:
        older, newer = (Journal(Life(f"matching#{n}", n), database) for n in (1, 2))  # type: ignore[arg-type]
        await older.take_over()
        await older.append([entry(f"{number}") for number in range(1, 8)])
        await older.shorten(3)
        await older.shorten(5)
        tail = await newer.take_over()
        assert (tail.begins, newer.length) == (5, 7)
        assert [command.id for command in tail.commands] == ["6", "7"]
        with pytest.raises(StaleEpoch):
            await older.shorten(7)
        await newer.append([entry("8")])
        await newer.shorten(8)
        third = Journal(Life("matching#3", 3), database)  # type: ignore[arg-type]
        assert await third.take_over() == Tail(8, ())
        assert third.length == 8

    in_world(story)


def test_a_snapshot_is_what_a_desk_was_and_one_that_is_missing_is_waited_for() -> None:
    desk = traded().desk
    before = desk.copied()

    async def story(database: Any) -> None:
        storage = ObjectStore(database.simulation, "storage")
        snapshots = Snapshots(storage, every=2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(save, snapshots)
            found = await snapshots.load(4)
        assert trio.current_time() >= 1
        assert found == before
        found.outcomes.clear()
        assert await snapshots.load(4) == before

    async def save(snapshots: Snapshots) -> None:
        await trio.sleep(1)
        await snapshots.save(4, desk.copied())
        desk.apply(entry("after"))

    in_world(story)


def test_who_finds_no_epoch_to_lock_takes_over_nothing() -> None:
    async def story(database: Any) -> None:
        await Journal(Life("matching#1", 1), database).take_over()  # type: ignore[arg-type]

    with pytest.raises(KeyError, match="open the epoch first"):
        in_world(story, opened=False)


def test_a_journal_with_a_gap_is_refused() -> None:
    async def story(database: Any) -> None:
        for key in ("000000002", "000000004"):
            await database.put(TABLE, key, {"command": entry("late"), "written_by": "nobody"})
        await Journal(Life("matching#1", 1), database).take_over()  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="the journal has a gap"):
        in_world(story)
