"""What the cloud does when the chain refuses a trade that was matched already.

The trade is busted: its orders get their size back, and both accounts are in RESYNC, in which they
may cancel but not trade. Other trades of theirs are on their way to the chain and may bust in turn;
only when all of them are answered is the account read from the chain again. Paradex documentation,
trade flow and busts.

Between two busts the cloud follows the chain: money, positions and market values are the chain's,
orders are the cloud's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from target_stub.core.book import reaches
from target_stub.core.commands import BustTrade, FollowChain, Resync
from target_stub.core.draft import Draft
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import ModeChanged, OrderAccepted, Resynchronised, TradeBusted
from target_stub.core.liquidation import deleverage
from target_stub.core.margin import assess
from target_stub.core.modes import enforce_band
from target_stub.core.money import exact
from target_stub.core.orders import Instruction, Order, OrderKind
from target_stub.core.reduce_only import reconcile
from target_stub.core.state import known_prices


@dataclass(frozen=True, slots=True)
class InFlight:
    """The trades that were sent to the chain and not answered yet, with the accounts in them."""

    trades: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def sent(self, trade: str, buyer: str, seller: str) -> InFlight:
        """One more trade on its way; ValueError if it is on its way already."""
        if trade in self.trades:
            raise ValueError(f"trade {trade} is in flight already")
        return InFlight({**self.trades, trade: (buyer, seller)})

    def answered(self, trade: str) -> InFlight:
        """The chain has settled or refused a trade; KeyError if nobody waits for that."""
        if trade not in self.trades:
            raise KeyError(trade)
        return InFlight({name: sides for name, sides in self.trades.items() if name != trade})

    def is_clear(self, account: str) -> bool:
        """Whether the chain has answered everything that an account was in."""
        return not any(account in sides for sides in self.trades.values())


@exact
def bust_trade(draft: Draft, command: BustTrade) -> None:
    """Give the orders of a refused trade their size back and put both accounts into RESYNC."""
    for order in command.orders:
        _give_back(draft, order, command)
    sides = (command.trade.buyer, command.trade.seller)
    for account in sides:
        if account not in draft.accounts:
            raise Refusal(Reason.UNKNOWN_ACCOUNT, account)
    draft.resyncing = tuple(sorted({*draft.resyncing, *sides}))
    draft.events.append(TradeBusted(trade=command.trade.id, accounts=sides))


def _give_back(draft: Draft, order: Order, command: BustTrade) -> None:
    """An order that still works gets its size back in its place; an ended one comes back to it.

    Not if it cannot rest, or would meet the other side now: a book is never crossed at rest.
    """
    size = command.trade.size
    working = draft.account(order.account).orders.get(order.id)
    if working is not None and not working.waits:
        draft.put_order(replace(working, remaining=working.remaining + size))
        return
    if order.kind is not OrderKind.LIMIT or order.instruction is Instruction.IOC:
        return
    first = draft.books[order.market].first(order.side.opposite, retail=False)
    if first is None or not reaches(order.side, order.price, first.price):
        back = replace(order, remaining=size)
        draft.rest(back)
        draft.events.append(OrderAccepted(order=back))


def resync(draft: Draft, command: Resync) -> None:
    """Take over balance and positions of one account as the chain has them; it may trade again."""
    account = draft.account(command.account)
    if command.account not in draft.resyncing:
        raise Refusal(Reason.NOT_IN_RESYNC, command.account)
    markets = sorted({*account.positions, *command.positions})
    draft.put_account(
        replace(account, balance_usdc=command.balance.value, positions=dict(command.positions))
    )
    draft.resyncing = tuple(name for name in draft.resyncing if name != command.account)
    draft.events.append(Resynchronised(account=command.account))
    for market in markets:
        reconcile(draft, command.account, market)


def follow_chain(draft: Draft, command: FollowChain) -> None:
    """Take over what the chain says, and cancel what it no longer supports.

    Accounts in RESYNC stay as they are. Afterwards no order does more than its position allows, is
    outside the band of the mode, or stands for an account below its initial margin. What cannot be
    judged, because a price is missing, stays for now.
    """
    for name, told in sorted(command.accounts.items()):
        if name not in draft.resyncing:
            mine = draft.accounts.get(name)
            draft.put_account(replace(told, orders=mine.orders if mine else {}))
    for symbol, market in sorted(command.markets.items()):
        last_usd = draft.market(symbol).last_trade_usd
        draft.put_market(replace(market, last_trade_usd=last_usd))
    draft.usdc_price = command.usdc_price
    if command.mode is not None and command.mode is not draft.mode:
        draft.events.append(ModeChanged(before=draft.mode, mode=command.mode))
        draft.mode, draft.mode_since_ms = command.mode, command.at_ms
    for name in sorted(draft.accounts):
        markets = {order.market for order in draft.account(name).orders.values()}
        for symbol in sorted(markets):
            reconcile(draft, name, symbol)
    prices = known_prices(draft.markets)
    for symbol in sorted(prices):
        if draft.market(symbol).external_rates:
            enforce_band(draft, symbol)
    for name in sorted(draft.accounts):
        account = draft.account(name)
        if draft.usdc_price is None or not account.positions.keys() <= prices.keys():
            continue
        if any(account.working_orders()):
            health = assess(account, prices, draft.usdc_price, draft.state.rules)
            deleverage(draft, account, health)
