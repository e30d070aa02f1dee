"""What happened to funds: transfers, the bridge, vault shares, and markets that ended."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from target_stub.core.money import Usd, Usdc, plain
from target_stub.core.parameters import Pause
from target_stub.core.transfers import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """USDC went from one account to another."""

    account: str
    to: str
    amount: Usdc

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.account} transferred {self.amount} to {self.to}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeMoved:
    """A transfer over the bridge began or came further."""

    transfer: Transfer

    def describe(self) -> str:
        """One line for a report."""
        return self.transfer.describe()


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeBusted:
    """The chain refused a trade that was matched; both accounts wait to be read again."""

    trade: str
    accounts: tuple[str, str]

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.trade} of {' and '.join(self.accounts)} was busted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resynchronised:
    """An account is again what the chain says."""

    account: str

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.account} was read from the chain again"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesIssued:
    """Somebody bought shares of a vault (or founded it)."""

    vault: str
    account: str
    amount: Usdc
    shares: Decimal

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.account} put {self.amount} into {self.vault}: {plain(self.shares)} shares"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesRedeemed:
    """Somebody gave shares back; what they stand for is unwound in an account of its own."""

    vault: str
    account: str
    shares: Decimal
    auxiliary: str

    def describe(self) -> str:
        """One line for a report."""
        shares = plain(self.shares)
        return f"{self.account} redeemed {shares} shares of {self.vault} into {self.auxiliary}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesPaid:
    """What redeemed shares were worth when they were unwound, and the owner's part of it."""

    vault: str
    account: str
    amount: Usdc
    profit_share: Usdc

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.vault} paid {self.account} {self.amount}, its owner {self.profit_share}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSettled:
    """A position was closed because its market ended (``SETTLE_MARKET`` of the Paradex API)."""

    market: str
    account: str
    size: Decimal
    price: Usd
    fee: Usdc
    realised_pnl: Usdc
    realised_funding: Usdc

    def describe(self) -> str:
        """One line for a report."""
        return (
            f"SETTLE_MARKET {self.market}: {self.account} {plain(self.size)} @ {self.price}, PnL "
            f"{self.realised_pnl}, funding {self.realised_funding}, fee {self.fee}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketPaused:
    """A market stands still for a reason, or goes on."""

    market: str
    pause: Pause
    on: bool

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.market}: {self.pause}{'' if self.on else ' no more'}"


FundEvent = (
    Transferred
    | BridgeMoved
    | TradeBusted
    | Resynchronised
    | SharesIssued
    | SharesRedeemed
    | SharesPaid
    | PositionSettled
    | MarketPaused
)
