"""Trades that the chain refuses: orders get their size back, accounts are read from it again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from target_stub.core import (
    Account,
    BustTrade,
    CancelOrder,
    Event,
    Filled,
    FollowChain,
    InFlight,
    Instruction,
    Mode,
    Order,
    OrderKind,
    PlaceOrder,
    Reason,
    Rejected,
    Resync,
    Session,
    SettleTrade,
    Side,
    State,
    Trigger,
    Usdc,
    Withdraw,
)
from target_stub.core.audit import crossed_books
from target_stub.core.events import (
    ModeChanged,
    OrderCancelled,
    Resynchronised,
    TradeBusted,
    Triggered,
)
from tests.core.desk import PEOPLE, XYZ, limit, opened, orders, place, position, refused


@dataclass
class TwoLayers:
    """The cloud matches at once; the chain settles or refuses what arrives, one after the other."""

    cloud: Session
    chain: Session
    in_flight: InFlight = field(default_factory=InFlight)
    queue: list[tuple[SettleTrade, tuple[Order, ...]]] = field(default_factory=list)
    busted: int = 0

    def order(self, command: PlaceOrder) -> None:
        """Match in the cloud and send every trade on its way."""
        before = self.cloud.state
        for number, event in enumerate(place(self.cloud, command)):
            if isinstance(event, Filled):
                self.send(before, command, number, event)

    def send(self, before: State, command: PlaceOrder, number: int, event: Filled) -> None:
        """One trade leaves for the chain."""
        taker, maker = event.taker, event.maker
        buyer, seller = (taker, maker) if taker.side is Side.BUY else (maker, taker)
        trade = SettleTrade(
            id=f"{command.id}-{number}",
            at_ms=0,
            market=XYZ,
            price=event.price.value,
            size=event.size,
            buyer=buyer.account,
            seller=seller.account,
            taker_side=taker.side,
        )
        self.in_flight = self.in_flight.sent(trade.id, buyer.account, seller.account)
        resting = before.account(maker.account).orders[maker.order_id or ""]
        self.queue.append((trade, (resting,)))

    def deliver(self) -> None:
        """The chain answers the oldest trade, and who is clear is read from it again."""
        if not self.queue:
            return
        trade, makers = self.queue.pop(0)
        events = self.chain.do(trade)
        self.in_flight = self.in_flight.answered(trade.id)
        if any(isinstance(event, Rejected) for event in events):
            self.busted += 1
            bust = BustTrade(id=f"bust-{trade.id}", at_ms=0, trade=trade, orders=makers)
            self.cloud.must(bust)
        for account in self.cloud.state.resyncing:
            if self.in_flight.is_clear(account):
                self.read(account)

    def read(self, account: str) -> None:
        """Take over what the chain says of one account."""
        told = self.chain.state.account(account)
        self.cloud.must(
            Resync(
                id=self.cloud.next_id(),
                at_ms=0,
                account=account,
                balance=Usdc(told.balance_usdc),
                positions=told.positions,
            )
        )


def layers(balance: int = 1_000) -> TwoLayers:
    """Both begin equal."""
    return TwoLayers(opened(balance=balance), opened(balance=balance))


def poor(both: TwoLayers, account: str) -> None:
    """The chain pays an account out and the cloud does not know yet."""
    everything = Usdc(both.chain.state.account(account).balance_usdc)
    both.chain.must(Withdraw(id="out", at_ms=0, account=account, amount=everything))


def test_a_bust_gives_the_resting_order_its_size_and_its_place_back() -> None:
    both = layers()
    both.order(limit("ask", "bob", Side.SELL, 10, 100))
    both.order(limit("later", "carol", Side.SELL, 10, 100))
    poor(both, "alice")
    both.order(limit("bid", "alice", Side.BUY, 4, 100))
    assert orders(both.cloud, "bob") == [("ask", 6)]
    both.deliver()
    assert both.cloud.of(TradeBusted)[0].accounts == ("alice", "bob")
    assert orders(both.cloud, "bob") == [("ask", 10)]
    assert both.cloud.state.books[XYZ].asks[0].order_id == "ask"
    assert position(both.cloud, "alice") == position(both.cloud, "bob") == 0
    assert both.cloud.state.account("alice").balance_usdc == 0


def test_an_order_that_was_filled_by_the_busted_trade_comes_back() -> None:
    both = layers()
    both.order(limit("ask", "bob", Side.SELL, 4, 100))
    both.order(limit("later", "carol", Side.SELL, 10, 100))
    poor(both, "alice")
    both.order(limit("bid", "alice", Side.BUY, 4, 100))
    assert orders(both.cloud, "bob") == []
    both.deliver()
    assert orders(both.cloud, "bob") == [("ask", 4)]
    assert both.cloud.state.books[XYZ].asks[0].order_id == "ask", "before whoever came later"


@pytest.mark.parametrize("kind", ["crossing", "market", "ioc"])
def test_an_order_that_cannot_rest_does_not_come_back(kind: str) -> None:
    both = layers()
    both.order(limit("ask", "bob", Side.SELL, 4, 100))
    resting = both.cloud.state.account("bob").orders["ask"]
    poor(both, "alice")
    both.order(limit("bid", "alice", Side.BUY, 4, 100))
    if kind == "crossing":
        both.order(limit("higher", "carol", Side.BUY, 1, 101))
    elif kind == "market":
        resting = replace(resting, kind=OrderKind.MARKET, price=None)
    else:
        resting = replace(resting, instruction=Instruction.IOC)
    both.queue[0] = (both.queue[0][0], (resting,))
    both.deliver()
    assert orders(both.cloud, "bob") == []
    assert not crossed_books(both.cloud.state)


def test_an_account_in_resync_may_cancel_but_not_trade() -> None:
    both = layers()
    both.order(limit("old", "alice", Side.BUY, 1, 90))
    stop = limit("stop", "alice", Side.BUY, 1, 101)
    waiting_stop = replace(stop, trigger=Trigger.STOP, trigger_price=Decimal(100))
    both.order(waiting_stop)
    both.order(limit("ask", "bob", Side.SELL, 4, 100))
    poor(both, "alice")
    both.order(limit("bid", "alice", Side.BUY, 3, 100))
    both.order(limit("more", "alice", Side.BUY, 1, 100))
    both.deliver()
    waiting = list(both.cloud.state.resyncing)
    assert waiting == ["alice", "bob"], "another trade is in flight"
    both.cloud.check_triggers()
    late = limit("late", "alice", Side.BUY, 1, 99)
    assert refused(place(both.cloud, late)) is Reason.RESYNC
    both.cloud.must(CancelOrder(id="c", at_ms=0, account="alice", order_id="old"))
    assert not both.cloud.of(Triggered)
    both.deliver()
    assert not both.cloud.state.resyncing
    assert len(both.cloud.of(Resynchronised)) == 2
    assert both.busted == 2, "the trade that was under way busts in turn"


def test_resync_is_refused_for_an_account_that_is_not_in_it() -> None:
    session = opened()
    wild = Resync(id="r", at_ms=0, account="alice", balance=Usdc.of(1), positions={})
    assert refused(session.do(wild)) is Reason.NOT_IN_RESYNC
    assert session.state.account("alice").balance_usdc == 1_000_000


def test_a_reduce_only_trade_that_does_not_reduce_is_busted() -> None:
    """Reduce-only conflicts are the third of the published reasons for busts."""
    chain = opened(sizes={"alice": 5, "bob": -5})
    trade = SettleTrade(
        id="t",
        at_ms=0,
        market=XYZ,
        price=Decimal(100),
        size=Decimal(6),
        buyer="bob",
        seller="alice",
        taker_side=Side.SELL,
        reduce_only=("alice",),
    )
    assert refused(chain.do(trade)) is Reason.NOT_REDUCING, "it would flip the position"
    assert refused(chain.do(replace(trade, id="u", size=Decimal(5)))) is None
    assert refused(chain.do(replace(trade, id="v", size=Decimal(1)))) is Reason.NOT_REDUCING


def test_in_flight_trades_are_answered_once() -> None:
    flying = InFlight().sent("t", "alice", "bob")
    assert not flying.is_clear("bob")
    assert flying.is_clear("carol")
    with pytest.raises(ValueError, match="in flight already"):
        flying.sent("t", "alice", "bob")
    landed = flying.answered("t")
    assert landed.is_clear("bob")
    with pytest.raises(KeyError):
        landed.answered("t")


def random_day(seed: int) -> TwoLayers:
    """Orders, late deliveries, and on the chain withdrawals and marks that the cloud missed."""
    random_source = random.Random(seed)
    both = layers(balance=100)
    for number in range(120):
        account = random_source.choice(PEOPLE[:3])
        act = random_source.random()
        if act < 0.6:
            side = random_source.choice(tuple(Side))
            price, size = random_source.randint(98, 102), random_source.randint(1, 30)
            both.order(limit(f"o{number}", account, side, size, price))
        elif act < 0.9:
            both.deliver()
        elif act < 0.95:
            amount = Usdc.of(random_source.randint(1, 60))
            # The cloud is not told, so it goes on matching what the chain will refuse.
            both.chain.do(Withdraw(id=f"w{number}", at_ms=0, account=account, amount=amount))
        else:
            mark_usd = Decimal(random_source.randint(98, 102))
            both.chain.publish(XYZ, mark_usd=mark_usd, index=Decimal(0))
        assert not crossed_books(both.cloud.state)
    while both.queue:
        both.deliver()
    return both


def test_when_everything_is_answered_the_cloud_is_what_the_chain_is() -> None:
    busted = settled = 0
    for seed in range(25):
        both = random_day(seed)
        assert not both.cloud.state.resyncing
        for name in PEOPLE:
            mine, truth = both.cloud.state.account(name), both.chain.state.account(name)
            assert mine.positions == truth.positions, f"seed {seed}: {name}"
        busted += both.busted
        settled += len(both.chain.of(Filled))
    assert busted > 30, f"{busted} busts put nothing to the test"
    assert settled > 100


def test_nobody_trades_with_an_account_in_resync() -> None:
    both = layers()
    both.order(limit("ask", "bob", Side.SELL, 10, 100))
    both.order(limit("second", "bob", Side.SELL, 1, 101))
    poor(both, "alice")
    both.order(limit("bid", "alice", Side.BUY, 3, 100))
    both.order(limit("more", "alice", Side.BUY, 1, 100))
    both.deliver()
    assert both.cloud.state.resyncing == ("alice", "bob")
    fills = len(both.cloud.of(Filled))
    both.order(limit("taker", "carol", Side.BUY, 2, 100))
    assert len(both.cloud.of(Filled)) == fills
    assert orders(both.cloud, "bob") == [("second", 1)], "what would have crossed is called off"
    (called_off,) = both.cloud.of(OrderCancelled)
    assert called_off.reason is Reason.RESYNC
    assert orders(both.cloud, "carol") == [("taker", 2)]


def follow(session: Session, **options: Any) -> tuple[Event, ...]:
    """Let the cloud hear of the chain, which says nothing new unless told otherwise."""
    said: Any = {"height": 1, "accounts": {}, "markets": {}, **options}
    usdc_price = session.state.usdc_price
    return session.must(FollowChain(id=session.next_id(), at_ms=0, usdc_price=usdc_price, **said))


def test_the_cloud_takes_money_and_positions_from_the_chain_and_keeps_its_orders() -> None:
    cloud = opened(sizes={"alice": 5, "bob": -5})
    place(cloud, limit("ask", "alice", Side.SELL, 3, 110))
    told = replace(cloud.state.account("alice"), balance_usdc=Decimal(777), positions={}, orders={})
    follow(cloud, accounts={"alice": told, "dave": Account("dave", Decimal(9))})
    assert cloud.state.account("alice").balance_usdc == Decimal(777)
    assert cloud.state.account("dave").balance_usdc == 9
    assert position(cloud, "alice") == 0
    assert orders(cloud, "alice") == [("ask", 3)]


def test_orders_go_that_the_account_on_the_chain_does_not_support() -> None:
    cloud = opened(sizes={"alice": 5, "bob": -5})
    place(cloud, replace(limit("close", "alice", Side.SELL, 5, 110), reduce_only=True))
    place(cloud, limit("dear", "bob", Side.BUY, 2, 90))
    alice, bob = (cloud.state.account(name) for name in ("alice", "bob"))
    follow(
        cloud,
        accounts={
            "alice": replace(alice, positions={}),
            "bob": replace(bob, balance_usdc=Decimal(-500), positions={}),
        },
    )
    reasons = {event.order.id: event.reason for event in cloud.of(OrderCancelled)}
    assert reasons == {"close": Reason.NOT_REDUCING, "dear": Reason.DELEVERAGED}


def test_an_account_in_resync_is_not_followed_and_the_mode_is() -> None:
    both = layers()
    both.order(limit("ask", "bob", Side.SELL, 3, 100))
    poor(both, "alice")
    both.order(limit("bid", "alice", Side.BUY, 1, 100))
    both.order(limit("more", "alice", Side.BUY, 1, 100))
    both.deliver()
    believed = both.cloud.state.account("alice").balance_usdc
    told = replace(both.chain.state.account("alice"), orders={})
    assert told.balance_usdc != believed
    (changed,) = follow(both.cloud, accounts={"alice": told}, mode=Mode.POST_ONLY)
    assert both.cloud.state.account("alice").balance_usdc == believed
    assert isinstance(changed, ModeChanged)
    assert both.cloud.state.mode is Mode.POST_ONLY
    assert not follow(both.cloud, mode=None)
