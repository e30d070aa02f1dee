"""Fees by trader profile, volume and discounts, and what an exchange agreed with one participant.

A fee is charged on trade notional: base rate x (1 - sum of all discounts), never below the floor
of the profile. An order is retail or pro by how it was submitted, not by who owns the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from target_stub.core.money import ONE, ZERO, exact


class TraderProfile(StrEnum):
    """How an order was submitted: through the interactive interface, or through the API."""

    RETAIL = "retail"
    PRO = "pro"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What counts for the fees and the leverage of one account, as it was computed elsewhere."""

    volume_usd: Decimal = ZERO
    """Trade notional of the last 14 days, of the main account with all its subaccounts."""
    discount: Decimal = ZERO
    """Additive discounts that hold for every trade (staking, paying in the token): a fraction."""
    leverage: Mapping[str, Decimal] = field(default_factory=dict)
    """By market, where the owner asked for less than the market allows: IMF = 1 / leverage."""

    def __post_init__(self) -> None:
        if not 0 <= self.discount < 1 or self.volume_usd < 0:
            raise ValueError(f"impossible discount {self.discount} or volume {self.volume_usd}")
        if any(leverage < 1 for leverage in self.leverage.values()):
            raise ValueError("leverage is at least 1")


STANDARD = Standing()
"""No volume, no discount, the leverage of the market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFees:
    """The rates of one profile, as fractions of notional."""

    maker: Decimal
    takers: tuple[tuple[Decimal, Decimal], ...]
    """(14-day volume in USD from which it holds, taker rate), in rising order of volume."""
    floor: Decimal = ZERO
    against_retail_discount: Decimal = ZERO
    """A further discount of the taker when the maker is retail (FastFills)."""
    submission_delay_ms: int = 0
    cancellation_delay_ms: int = 0

    def __post_init__(self) -> None:
        volumes = [volume for volume, _ in self.takers]
        if not volumes or volumes[0] != 0 or volumes != sorted(volumes):
            raise ValueError("taker rates start at a volume of 0 and rise from there")

    def base_taker(self, volume_usd: Decimal) -> Decimal:
        """The taker rate of a 14-day volume, before discounts."""
        return [rate for volume, rate in self.takers if volume <= volume_usd][-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeSchedule:
    """The rates of both profiles at one date."""

    retail: ProfileFees
    pro: ProfileFees

    def of(self, profile: TraderProfile) -> ProfileFees:
        """The rates of one profile."""
        return self.retail if profile is TraderProfile.RETAIL else self.pro

    def maker_rate(self, profile: TraderProfile) -> Decimal:
        """What a maker pays; discounts are on taker fees."""
        return self.of(profile).maker

    @exact
    def taker_rate(
        self, profile: TraderProfile, standing: Standing, *, maker: TraderProfile
    ) -> Decimal:
        """What a taker pays against a maker of some profile.

        base x (1 - discounts), discounts added up, at least the floor unless the base is below it.
        Paradex documentation, trading fees, as of April 2026.
        """
        fees = self.of(profile)
        base = fees.base_taker(standing.volume_usd)
        discount = standing.discount
        if maker is TraderProfile.RETAIL:
            discount += fees.against_retail_discount
        return max(min(base, fees.floor), base * max(ZERO, ONE - discount))

    def provision_rate(self, standing: Standing) -> Decimal:
        """The taker rate that margin sets aside: the highest that the account can be charged."""
        against_pro = TraderProfile.PRO
        return max(self.taker_rate(profile, standing, maker=against_pro) for profile in _PROFILES)


_PROFILES = tuple(TraderProfile)


def _tiers(*tiers: tuple[int, str]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(volume), Decimal(rate)) for volume, rate in tiers)


FEES_JANUARY_2026 = FeeSchedule(
    retail=ProfileFees(
        maker=ZERO,
        takers=_tiers((0, "0")),
        submission_delay_ms=500,
        cancellation_delay_ms=300,
    ),
    pro=ProfileFees(
        maker=Decimal("0.00003"),
        takers=_tiers((0, "0.0002")),
        against_retail_discount=Decimal("0.75"),
    ),
)
"""Paradex documentation, trader profiles, as of January 2026: retail free, pro 0.003 / 0.02 %."""

FEES_APRIL_2026 = FeeSchedule(
    retail=ProfileFees(
        maker=ZERO,
        takers=_tiers(
            (0, "0.00024"),
            (100_000, "0.0002"),
            (500_000, "0.00018"),
            (1_000_000, "0.00016"),
            (5_000_000, "0.00014"),
            (10_000_000, "0.00012"),
            (50_000_000, "0.0001"),
        ),
        submission_delay_ms=300,
        cancellation_delay_ms=300,
    ),
    pro=ProfileFees(
        maker=ZERO,
        takers=_tiers(
            (0, "0.00045"),
            (1_000_000, "0.00042"),
            (5_000_000, "0.00039"),
            (10_000_000, "0.00037"),
            (25_000_000, "0.00035"),
        ),
        floor=Decimal("0.000175"),
        against_retail_discount=Decimal("0.3"),
    ),
)
"""Paradex documentation, trading fees, as of 22 April 2026, without its special pro tier."""

FEES_JULY_2026 = FeeSchedule(
    retail=ProfileFees(
        maker=ZERO, takers=_tiers((0, "0")), submission_delay_ms=300, cancellation_delay_ms=300
    ),
    pro=ProfileFees(
        maker=Decimal("0.00003"),
        takers=FEES_APRIL_2026.pro.takers,
        floor=Decimal("0.000175"),
        against_retail_discount=Decimal("0.3"),
    ),
)
"""Since 3 July 2026: retail free again, pro makers pay 0.003 %."""
