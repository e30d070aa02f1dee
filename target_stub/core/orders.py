"""Orders, positions and accounts: what one participant owns and wants.

All of it is immutable. An account is the only owner of its orders; the book keeps no more than an
index of who stands where in the queue, so the two can always be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from target_stub.core.fees import STANDARD, Standing, TraderProfile
from target_stub.core.money import EXACT
from target_stub.core.parameters import SelfTradePrevention


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The side that this one trades with."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderKind(StrEnum):
    """Whether an order names its price."""

    LIMIT = "limit"
    MARKET = "market"


class Instruction(StrEnum):
    """How long an order lives and whether it may take liquidity."""

    GTC = "gtc"
    IOC = "ioc"
    POST_ONLY = "post_only"
    RPI = "rpi"
    """Retail price improvement: post-only, met by retail takers alone, last at its price."""

    @property
    def only_makes(self) -> bool:
        """Whether an order with this instruction may never take liquidity."""
        return self in (Instruction.POST_ONLY, Instruction.RPI)


class OrderStatus(StrEnum):
    """Where an order stands (``status`` of the Paradex API)."""

    UNTRIGGERED = "UNTRIGGERED"
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Trigger(StrEnum):
    """What an order waits for: every trigger looks at the mark price."""

    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    STOP = "stop"
    """A stop order of its own: it may open or enlarge a position when it fires."""

    @property
    def protects(self) -> bool:
        """Whether this is one half of a TP/SL pair, which only ever closes."""
        return self is not Trigger.STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An open order, or a stop or TP/SL order that waits for its trigger."""

    id: str
    account: str
    market: str
    side: Side
    size: Decimal
    remaining: Decimal
    price: Decimal | None
    kind: OrderKind
    instruction: Instruction
    reduce_only: bool
    sequence: int
    client_id: str | None = None
    trigger: Trigger | None = None
    trigger_price: Decimal | None = None
    pair: str | None = None
    """TP/SL orders of one account with the same pair name: one of them cancels the other."""
    self_trade_prevention: SelfTradePrevention | None = None
    """None: what the exchange does unless it is told otherwise."""
    profile: TraderProfile = TraderProfile.PRO
    parent: str | None = None
    """A TP/SL order of this working order: it protects what of the parent is filled, no more."""

    @property
    def waits(self) -> bool:
        """Whether this is a stop or TP/SL order whose trigger has not fired."""
        return self.trigger is not None

    @property
    def protects(self) -> bool:
        """Whether this is a TP/SL order whose trigger has not fired."""
        return self.trigger is not None and self.trigger.protects

    @property
    def filled(self) -> Decimal:
        """How much of the order has traded, in base units."""
        return EXACT.subtract(self.size, self.remaining)

    def describe(self) -> str:
        """The order in the words of a trader."""
        price = "market" if self.price is None else f"{self.price}"
        waiting = f", {self.trigger} at {self.trigger_price}" if self.trigger else ""
        return f"{self.side} {self.remaining} {self.market} @ {price}{waiting}"


@dataclass(frozen=True, slots=True)
class Position:
    """Signed size, signed cost in USDC, and the funding index at which it last settled."""

    size: Decimal
    cost_usdc: Decimal
    cached_funding_index: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """One participant: USDC balance, positions by market, orders by id."""

    id: str
    balance_usdc: Decimal
    positions: Mapping[str, Position] = field(default_factory=dict)
    orders: Mapping[str, Order] = field(default_factory=dict)
    standing: Standing = STANDARD
    """What the exchange agreed with this participant: leverage and discounts."""

    def size(self, market: str) -> Decimal:
        """The signed position in a market; no position is a size of zero by definition."""
        position = self.positions.get(market)
        return Decimal(0) if position is None else position.size

    def working_orders(self, market: str | None = None) -> Iterator[Order]:
        """Orders that stand in a book, oldest first."""
        for order in self.orders.values():
            if order.trigger is None and (market is None or order.market == market):
                yield order

    def waiting_orders(self, market: str | None = None) -> Iterator[Order]:
        """Stop and TP/SL orders that have not fired, oldest first."""
        for order in self.orders.values():
            if order.trigger is not None and (market is None or order.market == market):
                yield order

    def status(self, order_id: str) -> OrderStatus:
        """Where an order of this account stands; an order that is not kept any more is closed."""
        order = self.orders.get(order_id)
        if order is None:
            return OrderStatus.CLOSED
        return OrderStatus.UNTRIGGERED if order.waits else OrderStatus.OPEN
