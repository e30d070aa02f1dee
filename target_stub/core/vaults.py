"""Vaults: accounts whose value belongs to the holders of their shares.

Shares are bought and given back at the value of the account, always rounded so that whoever stays
never pays. Who leaves takes a part of every position into an account of its own, which is unwound
in the market, so that the cost of leaving is nobody else's. Paradex documentation, vaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from target_stub.core.money import ZERO, Usdc, exact


@dataclass(frozen=True, slots=True)
class Holding:
    """The shares of one holder, what was paid for them, and when last."""

    shares: Decimal
    cost_usdc: Decimal
    since_ms: int


@dataclass(frozen=True, slots=True)
class Redemption:
    """Shares that were given back and are being unwound in an auxiliary account."""

    holder: str
    cost_usdc: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """Who owns an account in which shares, by which rules; its id is that of the account."""

    id: str
    owner: str
    profit_share: Decimal
    """The owner's part of everybody else's profit: 0 to 20 %."""
    lockup_ms: int
    """How long after a deposit shares stay: 1 to 4 days."""
    value_max: Usdc | None = None
    holdings: Mapping[str, Holding] = field(default_factory=dict)
    redemptions: Mapping[str, Redemption] = field(default_factory=dict)
    """By auxiliary account."""

    @property
    def supply(self) -> Decimal:
        """How many shares there are."""
        return _sum(self.holdings)

    def with_holding(self, holder: str, holding: Holding) -> Vault:
        """The vault after one holder's shares changed; a holder without shares is none."""
        others = {name: kept for name, kept in self.holdings.items() if name != holder}
        return replace(self, holdings={**others, holder: holding} if holding.shares else others)


@exact
def _sum(holdings: Mapping[str, Holding]) -> Decimal:
    return sum((holding.shares for holding in holdings.values()), ZERO)
