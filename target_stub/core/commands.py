"""What can be asked of the exchange.

Every command carries an id, which makes it idempotent, and the time at which it was decided, which
is the only clock the core has. A command holds what its sender knew and nothing the exchange has
to look up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from target_stub.core.fees import Standing, TraderProfile
from target_stub.core.impact import OwnBook, VenueQuote
from target_stub.core.money import Usdc
from target_stub.core.orders import Account, Instruction, Order, OrderKind, Position, Side, Trigger
from target_stub.core.parameters import Mode, Pause, SelfTradePrevention
from target_stub.core.state import Market
from target_stub.core.transfers import TransferStatus


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
    """Place an order; its id is the id of the command. A trigger makes it a stop or TP/SL order."""

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
    self_trade_prevention: SelfTradePrevention | None = None
    profile: TraderProfile = TraderProfile.PRO
    take_profit_at: Decimal | None = None
    """Mark price of a take-profit order that belongs to this order and follows its size."""
    stop_loss_at: Decimal | None = None
    signed_at_ms: int | None = None
    """When the sender signed; None if nobody asks."""
    receive_window_ms: int = 300_000
    """How long after signing the order may still be received; at least 10 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifyOrder(_Command):
    """Change an open order under its id; what is None stays. It goes to the end of the queue."""

    account: str
    order_id: str
    size: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStanding(_Command):
    """Set volume, discounts and leverage of one account; refused if its margin does not allow."""

    account: str
    standing: Standing


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
    venue_quotes: tuple[VenueQuote, ...] | None = None
    """Impact prices on other venues; a venue that is missing here is left out of the premium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginAverages(_Command):
    """Start the averages of a market from nothing, knowingly; refused if it has some."""

    market: str
    liquidity: Decimal = Decimal(0)
    """The liquidity weight to start from, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseMarket(_Command):
    """Let one market stand still for a reason, or end that (``on=False``)."""

    market: str
    pause: Pause
    on: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingTick(_Command):
    """Advance the index with the premium so far, then compute a new mark price and premium."""

    market: str
    book: OwnBook | None = None
    """What matching says of the book, where that is not in the state that ticks."""


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
    liquidity: Decimal | None = None
    own_basis: Decimal | None = None
    """The two of the April 2026 rules; None leaves them as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleTrade(_Command):
    """Settle a trade that was matched elsewhere; refused (a bust) if a side lacks the margin."""

    market: str
    price: Decimal
    size: Decimal
    buyer: str
    seller: str
    taker_side: Side
    reduce_only: tuple[str, ...] = ()
    """Accounts whose order was reduce-only: the trade is refused if it does not reduce."""
    maker_profile: TraderProfile = TraderProfile.PRO
    taker_profile: TraderProfile = TraderProfile.PRO
    after: tuple[str, ...] = ()
    """Trades of the same accounts that were under way when this one was matched."""


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
    sequence: int | None = None
    """The number of the decision; refused if a later one was taken. None: nobody counts."""
    is_decided: bool = False
    """Whether this tells of a decision that holds already: who follows it checks no stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerCheck(_Command):
    """Fire every TP/SL order whose trigger the mark price has reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwind(_Command):
    """Close a share of a position that nobody wants to keep, by a market order."""

    account: str
    market: str
    share: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleMarket(_Command):
    """Close every position of a market at its mark price and halt it: it is delisted."""

    market: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferUsdc(_Command):
    """Move USDC from one account to another."""

    account: str
    to: str
    amount: Usdc


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeDeposit(_Command):
    """Credit what arrived under a transaction of the outside."""

    account: str
    amount: Usdc
    transaction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestWithdrawal(_Command):
    """Take USDC out over the bridge; the transfer bears the id of this command."""

    account: str
    amount: Usdc


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvanceWithdrawal(_Command):
    """A withdrawal over the bridge has come further, or has failed and comes back."""

    transfer: str
    status: TransferStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVault(_Command):
    """Found a vault with a first deposit of its owner."""

    vault: str
    account: str
    amount: Usdc
    profit_share: Decimal
    lockup_ms: int
    value_max: Usdc | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultDeposit(_Command):
    """Buy shares of a vault."""

    vault: str
    account: str
    amount: Usdc


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemShares(_Command):
    """Give shares of a vault back; what they stand for is unwound first."""

    vault: str
    account: str
    shares: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PayRedemption(_Command):
    """Pay what redeemed shares were worth, once their auxiliary account has no positions."""

    vault: str
    auxiliary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BustTrade(_Command):
    """The chain has refused a trade that was matched here."""

    trade: SettleTrade
    orders: tuple[Order, ...] = ()
    """The orders in it as they were before it, without those that were cancelled since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync(_Command):
    """What the chain says about an account after a bust."""

    account: str
    balance: Usdc
    positions: Mapping[str, Position]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowChain(_Command):
    """What the chain says at a height, with the trades on top that it has not answered yet."""

    height: int
    accounts: Mapping[str, Account]
    """Those whose balance, positions or standing are others than here; orders are not the chain's.
    """
    markets: Mapping[str, Market]
    """Those whose values are others than here."""
    usdc_price: Decimal | None
    mode: Mode | None = None
    """None: the mode is what it was."""
    settled: tuple[str, ...] = ()
    """Trades that the chain has settled since."""


OrderCommand = (
    PlaceOrder
    | CancelOrder
    | CancelAll
    | ModifyOrder
    | SettleTrade
    | BustTrade
    | Resync
    | FollowChain
    | Liquidate
    | Unwind
)
"""What moves orders and positions."""

FundCommand = (
    CreateAccount
    | SetStanding
    | Deposit
    | Withdraw
    | TransferUsdc
    | BridgeDeposit
    | RequestWithdrawal
    | AdvanceWithdrawal
    | CreateVault
    | VaultDeposit
    | RedeemShares
    | PayRedemption
)
"""What moves money, and who has an account."""

MarketCommand = (
    OracleUpdate
    | BeginAverages
    | PauseMarket
    | FundingTick
    | PublishMarket
    | SettleMarket
    | HealthCheck
    | SetMode
    | TriggerCheck
)
"""What concerns everybody in a market."""

Command = MarketCommand | OrderCommand | FundCommand
