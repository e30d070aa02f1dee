"""What can be asked of the exchange.

Every command carries an id, which makes it idempotent, and the time at which it was decided, which
is the only clock the core has. A command holds what its sender knew and nothing the exchange has
to look up.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from target_stub.core.money import Usdc
from target_stub.core.orders import Instruction, OrderKind, Side, Trigger
from target_stub.core.parameters import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    id: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAccount(_Command):
    """Open an account with a balance of zero."""

    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit(_Command):
    """Pay USDC in."""

    account: str
    amount: Usdc


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw(_Command):
    """Pay USDC out, at most what is withdrawable, less the account's share of a socialised loss."""

    account: str
    amount: Usdc


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder(_Command):
    """Place an order; its id is the id of the command. A trigger makes it a TP/SL order."""

    account: str
    market: str
    side: Side
    size: Decimal
    price: Decimal | None = None
    kind: OrderKind = OrderKind.LIMIT
    instruction: Instruction = Instruction.GTC
    reduce_only: bool = False
    client_id: str | None = None
    slippage: Decimal | None = None
    """Market orders: how far the average price may be from the best price, as a fraction."""
    trigger: Trigger | None = None
    trigger_price: Decimal | None = None
    pair: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder(_Command):
    """Cancel one order of the account."""

    account: str
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAll(_Command):
    """Cancel every open order of one account, or of everybody (``account=None``)."""

    account: str | None = None
    except_tpsl: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleUpdate(_Command):
    """New oracle prices of one market; external rates as already normalised basis fractions."""

    market: str
    spot_usd: Decimal
    usdc_price: Decimal
    external_rates: tuple[Decimal, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingTick(_Command):
    """Advance the index with the premium so far, then compute a new mark price and premium."""

    market: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishMarket(_Command):
    """Take over values that were computed elsewhere; this is what the chain gets from the cloud.

    The core takes them as they come, a zero included: judging them is the business of whoever
    stands before it.
    """

    market: str
    mark_price: Decimal
    funding_index: Decimal
    premium: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleTrade(_Command):
    """Settle a trade that was matched elsewhere; refused (a bust) if a side lacks the margin."""

    market: str
    price: Decimal
    size: Decimal
    buyer: str
    seller: str
    taker_side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck(_Command):
    """Deleverage and liquidate every account that is due at the current marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidate(_Command):
    """Liquidate one account; refused unless the exchange's own values say it is due."""

    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMode(_Command):
    """Change what the exchange accepts."""

    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerCheck(_Command):
    """Fire every TP/SL order whose trigger the mark price has reached."""


Command = (
    CreateAccount
    | Deposit
    | Withdraw
    | PlaceOrder
    | CancelOrder
    | CancelAll
    | OracleUpdate
    | FundingTick
    | PublishMarket
    | SettleTrade
    | HealthCheck
    | Liquidate
    | SetMode
    | TriggerCheck
)
