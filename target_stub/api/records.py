"""What the interface remembers so that it can tell it: orders, fills, busts, funding.

It is folded from two logs, the journal of matching and the blocks of the chain, and from nothing
else, so whoever reads both again knows the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from target_stub.chain import Block
from target_stub.core import (
    Duplicate,
    Event,
    Filled,
    Liquidated,
    Order,
    OrderStatus,
    Rejected,
    SettleTrade,
)
from target_stub.core.errors import Reason
from target_stub.core.events import (
    BridgeMoved,
    FillSide,
    MarketPublished,
    OrderAccepted,
    OrderCancelled,
    TradeBusted,
    Triggered,
)
from target_stub.core.money import EXACT
from target_stub.core.transfers import Transfer

#: How the interface names what the core says of a cancelled order; the others keep their words.
CANCEL_REASONS = {
    Reason.ON_REQUEST: "USER_CANCELED",
    Reason.INITIAL_MARGIN: "NOT_ENOUGH_MARGIN",
    Reason.POST_ONLY_WOULD_TRADE: "POST_ONLY_WOULD_CROSS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """One order as it was last heard of; ``spent_usd`` is price x size over its fills."""

    order: Order
    status: OrderStatus
    created_at_ms: int
    updated_at_ms: int
    spent_usd: Decimal = Decimal(0)
    cancel_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRecord:
    """A quantity that changed hands on the chain, in one trade or one liquidation."""

    id: str
    at_ms: int
    height: int
    fill: Filled

    def sides(self) -> tuple[tuple[str, FillSide], tuple[str, FillSide]]:
        """Both parts, as the interface calls them."""
        return ("MAKER", self.fill.maker), ("TAKER", self.fill.taker)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that happened at a time, to somebody, under an id."""

    id: str
    at_ms: int
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRecord:
    """Index and premium of one market as they were published."""

    at_ms: int
    published: MarketPublished


@dataclass(slots=True)
class Records:
    """Everything that was read so far; what the chain told begins anew when it is rolled back."""

    orders: dict[str, OrderRecord] = field(default_factory=dict)
    fills: list[FillRecord] = field(default_factory=list)
    busts: list[Told] = field(default_factory=list)
    liquidations: list[Told] = field(default_factory=list)
    fundings: list[FundingRecord] = field(default_factory=list)
    transfers: dict[str, tuple[int, Transfer]] = field(default_factory=dict)
    parties: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    """Maker's and taker's order by trade, as far as matching said."""
    changed_at_height: dict[str, int] = field(default_factory=dict)
    """At which height of the chain an account changed last."""

    # --- matching's log ---------------------------------------------------------------------

    def follow_matching(self, command_id: str, at_ms: int, events: Iterable[Event]) -> list[str]:
        """Take over what one command did; gives the ids of the orders that it changed."""
        changed: list[str] = []
        for number, event in enumerate(events):
            match event:
                case OrderAccepted(order=order):
                    self._open(order, at_ms)
                    changed.append(order.id)
                case Triggered(order=order):
                    self._open(order, at_ms)
                    changed.append(order.id)
                case OrderCancelled(order=order, reason=reason):
                    self._close(order, at_ms, CANCEL_REASONS.get(reason, str(reason)))
                    changed.append(order.id)
                case Filled(maker=maker, taker=taker):
                    self.parties[f"trade-{command_id}-{number}"] = maker.order_id, taker.order_id
                    changed += self._fill(event, at_ms)
                case TradeBusted(trade=trade, accounts=accounts):
                    self.busts += [Told(id=trade, at_ms=at_ms, account=name) for name in accounts]
                case _:
                    pass
        return list(dict.fromkeys(changed))

    def _open(self, order: Order, at_ms: int) -> None:
        before = self.orders.get(order.id)
        status = OrderStatus.UNTRIGGERED if order.waits else OrderStatus.OPEN
        if before is None:
            self.orders[order.id] = OrderRecord(
                order=order, status=status, created_at_ms=at_ms, updated_at_ms=at_ms
            )
        else:
            self.orders[order.id] = replace(
                before, order=order, status=status, updated_at_ms=at_ms, cancel_reason=""
            )

    def _close(self, order: Order, at_ms: int, why: str) -> None:
        before = self.orders.get(order.id)
        if before is None:
            before = OrderRecord(
                order=order, status=OrderStatus.CLOSED, created_at_ms=at_ms, updated_at_ms=at_ms
            )
        self.orders[order.id] = replace(
            before,
            order=order,
            status=OrderStatus.CLOSED,
            updated_at_ms=at_ms,
            cancel_reason=why,
        )

    def _fill(self, fill: Filled, at_ms: int) -> list[str]:
        changed = []
        for side in (fill.maker, fill.taker):
            record = self.orders.get(side.order_id or "")
            if record is None:
                continue
            left = EXACT.subtract(record.order.remaining, fill.size)
            spent = EXACT.add(record.spent_usd, EXACT.multiply(fill.price.value, fill.size))
            self.orders[record.order.id] = replace(
                record,
                order=replace(record.order, remaining=left),
                status=record.status if left else OrderStatus.CLOSED,
                spent_usd=spent,
                updated_at_ms=at_ms,
            )
            changed.append(record.order.id)
        return changed

    # --- the chain's log --------------------------------------------------------------------

    def forget_chain(self) -> None:
        """Begin the chain's log anew: it was rolled back, and what it told is not so any more."""
        for told in (self.fills, self.busts, self.liquidations, self.fundings):
            told.clear()
        self.transfers.clear()
        self.changed_at_height.clear()

    def follow_chain(self, block: Block) -> list[str]:
        """Take over one block; gives the accounts that it changed."""
        command, at_ms, changed = block.command, block.command.at_ms, []
        if any(isinstance(event, Duplicate) for event in block.events):
            return []
        for number, event in enumerate(block.events):
            match event:
                case Rejected() if isinstance(command, SettleTrade):
                    sides = (command.buyer, command.seller)
                    self.busts += [Told(id=command.id, at_ms=at_ms, account=name) for name in sides]
                case Filled(maker=maker, taker=taker):
                    name = command.id if number == 0 else f"{command.id}-{number}"
                    self.fills.append(
                        FillRecord(id=name, at_ms=at_ms, height=block.height, fill=event)
                    )
                    changed += [maker.account, taker.account]
                case Liquidated(account=account):
                    self.liquidations.append(Told(id=command.id, at_ms=at_ms, account=account))
                case MarketPublished():
                    self.fundings.append(FundingRecord(at_ms=at_ms, published=event))
                case BridgeMoved(transfer=moved):
                    self.transfers[moved.id] = at_ms, moved
                    changed.append(moved.account)
                case _:
                    changed += [
                        getattr(event, name) for name in ("account", "to") if hasattr(event, name)
                    ]
        for account in changed:
            self.changed_at_height[account] = block.height
        return list(dict.fromkeys(changed))

    # --- questions --------------------------------------------------------------------------

    def of_client(self, account: str, client_id: str) -> OrderRecord | None:
        """The newest order of an account with a client id."""
        for record in reversed(list(self.orders.values())):
            if record.order.account == account and record.order.client_id == client_id:
                return record
        return None
