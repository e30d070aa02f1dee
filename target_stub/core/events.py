"""What happened: the only output of a command besides the new state.

Events hold enough to explain a run in money words without looking at the states around it. They
are facts and are never interpreted by the core again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from target_stub.core.errors import Reason
from target_stub.core.fees import Standing
from target_stub.core.fund_events import (
    BridgeMoved,
    FundEvent,
    MarketPaused,
    PositionSettled,
    Resynchronised,
    SharesIssued,
    SharesPaid,
    SharesRedeemed,
    TradeBusted,
    Transferred,
)
from target_stub.core.money import EXACT, Usd, Usdc, plain
from target_stub.core.orders import Order, Side
from target_stub.core.parameters import Mode


class FillType(StrEnum):
    """Why a position changed hands (``fill_type`` of the Paradex API)."""

    FILL = "FILL"
    LIQUIDATION = "LIQUIDATION"
    """From a liquidated account to the vault, at the mark price and without a fee."""
    UNWIND_TRANSFER = "UNWIND_TRANSFER"
    """A trade by which the vault closes what it took over (our reading of the name)."""
    RPI = "RPI"
    """A trade of a retail taker with an order that only retail takers meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCreated:
    """An account was opened."""

    account: str

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.account} opened an account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited:
    """USDC came in."""

    account: str
    amount: Usdc

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.account} deposited {self.amount}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """USDC went out; ``socialised`` stayed with the insurance fund to cover bankruptcies."""

    account: str
    requested: Usdc
    paid: Usdc
    socialised: Usdc

    def describe(self) -> str:
        """One line for a report."""
        loss = f", {self.socialised} kept for socialised losses" if self.socialised else ""
        return f"{self.account} withdrew {self.requested} and got {self.paid}{loss}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingSet:
    """Volume, discounts and leverage of an account are others than before."""

    account: str
    standing: Standing

    def describe(self) -> str:
        """One line for a report."""
        leverage = "".join(f", {plain(x)}x in {m}" for m, x in self.standing.leverage.items())
        return (
            f"{self.account}: 14-day volume {plain(self.standing.volume_usd)} USD, discount "
            f"{plain(self.standing.discount)}{leverage}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted:
    """An order was taken, to trade, to rest or to wait for its trigger."""

    order: Order

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.order.account} placed {self.order.describe()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    """What was left of an order will not trade."""

    order: Order
    reason: Reason

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.order.account}: cancelled {self.order.describe()} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSide:
    """One account's part of a fill. ``position`` is its signed size afterwards."""

    account: str
    order_id: str | None
    side: Side
    fee: Usdc
    realised_pnl: Usdc
    realised_funding: Usdc
    position: Decimal

    def describe(self) -> str:
        """The part of one account, for the line of the fill."""
        return (
            f"{self.account} now {plain(self.position)}, PnL {self.realised_pnl}, "
            f"funding {self.realised_funding}, fee {self.fee}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A quantity changed hands at a price."""

    market: str
    fill_type: FillType
    price: Usd
    size: Decimal
    maker: FillSide
    taker: FillSide

    def describe(self) -> str:
        """One line for a report."""
        verb = "bought" if self.taker.side is Side.BUY else "sold"
        return (
            f"{self.fill_type} {self.market}: {self.taker.account} {verb} {plain(self.size)} @ "
            f"{self.price} ({self.taker.describe()}; {self.maker.describe()})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleUpdated:
    """The oracle prices of a market changed."""

    market: str
    spot_before: Decimal | None
    spot_usd: Decimal
    usdc_price: Decimal

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.market} spot {_change(self.spot_before, self.spot_usd)} USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingAdvanced:
    """The exchange's own tick: index, mark price and premium before and after."""

    market: str
    index_before: Decimal
    index: Decimal
    mark_before: Decimal | None
    mark: Decimal
    premium_before: Decimal | None
    premium: Decimal
    elapsed_ms: int

    def describe(self) -> str:
        """One line for a report."""
        return (
            f"{self.market} funding index {_change(self.index_before, self.index)}, "
            f"mark {_change(self.mark_before, self.mark)} USD, premium {plain(self.premium)} USDC"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketPublished:
    """Values computed elsewhere took effect."""

    market: str
    index_before: Decimal | None
    index: Decimal
    mark_before: Decimal | None
    mark: Decimal
    premium_before: Decimal | None
    premium: Decimal

    def describe(self) -> str:
        """One line for a report."""
        return (
            f"{self.market} published: funding index {_change(self.index_before, self.index)}, "
            f"mark {_change(self.mark_before, self.mark)} USD"
        )


_NO_DEBT = Usdc(Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidated:
    """A share of every position of an account went to the liquidator vault."""

    account: str
    share: Decimal
    penalty: Usdc
    account_value: Usd
    mmr: Usd
    moved: Mapping[str, Decimal]
    """Signed size that left the account, by market."""
    deficit: Usdc = _NO_DEBT
    """What the account still owed and the fund took over."""

    def describe(self) -> str:
        """One line for a report."""
        deficit = f", the fund took its debt of {self.deficit}" if self.deficit else ""
        moved = ", ".join(f"{plain(size)} {market}" for market, size in self.moved.items())
        return (
            f"{self.account} liquidated by {plain(EXACT.multiply(self.share, 100))} %: value "
            f"{self.account_value}, maintenance margin {self.mmr}, penalty {self.penalty}, "
            f"moved {moved}{deficit}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChanged:
    """The exchange accepts something else than before."""

    before: Mode
    mode: Mode

    def describe(self) -> str:
        """One line for a report."""
        return f"mode {self.before} -> {self.mode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggered:
    """A TP/SL order fired."""

    order: Order
    mark: Decimal

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.order.account}: {self.order.describe()} fired at mark {plain(self.mark)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A command was refused and changed nothing but the list of known ids."""

    command_id: str
    reason: Reason
    detail: str = ""

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.command_id} refused: {self.reason}{f' ({self.detail})' * bool(self.detail)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A command came a second time and did nothing."""

    command_id: str

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.command_id} was applied before"


Event = (
    AccountCreated
    | Deposited
    | Withdrawn
    | StandingSet
    | OrderAccepted
    | OrderCancelled
    | Filled
    | OracleUpdated
    | FundingAdvanced
    | MarketPublished
    | Liquidated
    | ModeChanged
    | Triggered
    | Rejected
    | Duplicate
    | FundEvent
)

__all__ = [
    "AccountCreated",
    "BridgeMoved",
    "Deposited",
    "Duplicate",
    "Event",
    "FillSide",
    "FillType",
    "Filled",
    "FundEvent",
    "FundingAdvanced",
    "Liquidated",
    "MarketPaused",
    "MarketPublished",
    "ModeChanged",
    "OracleUpdated",
    "OrderAccepted",
    "OrderCancelled",
    "PositionSettled",
    "Rejected",
    "Resynchronised",
    "SharesIssued",
    "SharesPaid",
    "SharesRedeemed",
    "StandingSet",
    "TradeBusted",
    "Transferred",
    "Triggered",
    "Withdrawn",
]


def _change(before: Decimal | None, after: Decimal) -> str:
    return f"{'unknown' if before is None else plain(before)} -> {plain(after)}"
