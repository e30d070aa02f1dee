"""Everything about the exchange that is a choice and not a law.

Where the published sources disagree or leave a question open, the choice is a parameter here with
a documented default, so that a test can say which variant it means. Nothing in this file may be
read as a default for a *value* (a price, an index): values are known or missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from target_stub.core.fees import FEES_APRIL_2026, FeeSchedule

LIQUIDATOR_VAULT = "liquidator-vault"
"""The account that takes over liquidated positions and their penalties (the insurance fund)."""


class Mode(StrEnum):
    """The four system states of the Paradex API (``/system/state``)."""

    OK = "ok"
    MAINTENANCE = "maintenance"
    CANCEL_ONLY = "cancel_only"
    POST_ONLY = "post_only"


class FundingProfile(StrEnum):
    """Which edition of the funding rules holds; Paradex changed them around the incident."""

    JANUARY_2026 = "2026-01"
    """5 s tick, fair basis, clamp and cap, no gap rule: in force on 19 January 2026."""
    APRIL_2026 = "2026-04"
    """1 s tick, funding multiplier, smoothed rate, a gap of more than 30 s accrues nothing."""
    JUNE_2026 = "2026-06"
    """As in April, but the rate comes from the impact premium over several venues."""

    @property
    def is_smoothed(self) -> bool:
        """Whether the published rate is an average and a gap accrues nothing."""
        return self is not FundingProfile.JANUARY_2026


class MarkRule(StrEnum):
    """Which edition of the fair basis the mark price is made with."""

    MEDIANS = "medians"
    """median(median(bid, ask, last), mid, median of the venues): in force in January 2026."""
    LIQUIDITY_WEIGHTED = "liquidity-weighted"
    """The same median, weighted against the venues by how liquid the own book is: April 2026."""


class Pause(StrEnum):
    """Why one market stands still: its funding accrues nothing, and nothing trades if halted."""

    HALTED = "market halted"
    ORACLE = "oracle in maintenance"
    USDC = "USDC price invalid"


class OpenSizeRule(StrEnum):
    """How orders against a position count towards the size that needs initial margin."""

    NETTED = "netted"
    """max(buys + position, sells - position): the formula of the cross margin page."""
    GROSS = "gross"
    """max(buys + long position, sells + short position): the worked example of the risk checks."""


class LossDenominator(StrEnum):
    """What the bankruptcy is divided by in the socialised loss factor."""

    TOTAL_PLUS_BANKRUPTCY = "total-plus-bankruptcy"
    """The formula of the socialised losses page."""
    TOTAL = "total"
    """What the worked example on the same page computes (25 % where the formula gives 20 %)."""


class SelfTradePrevention(StrEnum):
    """What expires when an order would trade with another order of its own account."""

    EXPIRE_TAKER = "expire_taker"
    EXPIRE_MAKER = "expire_maker"
    EXPIRE_BOTH = "expire_both"


class FundingRealisation(StrEnum):
    """How much accrued funding becomes cash when a position changes."""

    FULL = "full"
    """All of it, on every change: Paradex documentation, funding."""
    PROPORTIONAL = "proportional"
    """A reduction realises only its own part: Paradex release note v1.95.6, May 2025."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSpec:
    """The rules of one market. Rates are fractions (0.02 is 2 %), prices USD, sizes base units."""

    symbol: str
    imf_base: Decimal
    mmf_factor: Decimal
    funding_period_hours: int
    max_funding_rate: Decimal
    clamp_rate: Decimal = Decimal("0.0005")
    interest_rate: Decimal = Decimal("0.0001")
    funding_multiplier: Decimal = Decimal(1)
    price_bands_width: Decimal
    price_tick: Decimal
    order_size_increment: Decimal
    min_notional_usd: Decimal = Decimal(10)
    position_limit: Decimal
    max_order_size: Decimal
    max_open_orders: int = 100
    ewma_weight: Decimal
    max_top_of_book_spread: Decimal = Decimal("0.01")
    """A book with a wider spread than this fraction of its middle counts as illiquid."""
    impact_notional_usd: Decimal = Decimal(1_000)
    """What an impact price has to absorb: 5,000 USD in BTC and ETH, 1,000 elsewhere."""

    def __post_init__(self) -> None:
        for name in ("imf_base", "mmf_factor", "max_funding_rate", "price_bands_width"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{self.symbol}: {name} must be above 0 and at most 1")
        for name in ("price_tick", "order_size_increment", "position_limit", "max_order_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{self.symbol}: {name} must be positive")
        if self.funding_period_hours <= 0 or not 0 < self.ewma_weight <= 1:
            raise ValueError(f"{self.symbol}: impossible funding period or EWMA weight")

    @property
    def funding_period_ms(self) -> int:
        """The funding period in milliseconds."""
        return self.funding_period_hours * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopening:
    """How an exchange comes back: cancel-only, post-only, open, each for a while at least.

    Paradex documentation, maintenance and releases, February 2026: about 2 minutes each.
    """

    cancel_only_ms: int = 120_000
    post_only_ms: int = 120_000
    fresh_ms: int = 30_000
    """How old the values of a market may be when trading opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSpec:
    """The rules that hold for the whole exchange, each with the variant that is the default."""

    funding_profile: FundingProfile = FundingProfile.JANUARY_2026
    mark_rule: MarkRule = MarkRule.MEDIANS
    funding_realisation: FundingRealisation = FundingRealisation.FULL
    settle_funding_on_withdrawal: bool = False
    """Only the April 2026 page lists a withdrawal among the moments that settle funding."""
    funding_gap_ms_max: int = 30_000
    """Above this the April 2026 profile accrues nothing; the January 2026 page has no such rule."""
    funding_half_life_ms: int = 1_800_000
    funding_half_life_post_only_ms: int = 30_000
    index_decimals: int = 8
    """The API prints funding indices with 8 decimals; how many the engine keeps is not stated."""

    open_size_rule: OpenSizeRule = OpenSizeRule.NETTED
    taker_fee: Decimal = Decimal(0)
    """Fraction of notional. Retail paid 0 / 0 and Pro 0.0002 / 0.00003 in January 2026."""
    maker_fee: Decimal = Decimal(0)
    fees: FeeSchedule | None = None
    """If set, replaces the two rates above by those of the profile of each order."""
    settlement_fee: Decimal = Decimal("0.00015")
    """Of notional, when a market is delisted: 0.015 %, trader profiles page."""

    liquidation_fee: Decimal = Decimal("0.7")
    """70 % in the text of the liquidations page; its table uses 50 %, the API shows 20 %."""
    liquidation_share_increment: Decimal = Decimal("0.2")
    """20 % in the text; the API's ``partial_liquidation_share_increment`` example is 0.05."""
    liquidation_target_ratio: Decimal = Decimal("0.9")
    """The margin ratio must fall below this: liquidations page."""
    partial_liquidation_buffer: Decimal | None = None
    """If set, replaces the target ratio: value at least (1 + buffer) x MMR (API example 0.2)."""
    penalty_within_account_value: bool = False
    """Whether a penalty may not exceed what the account is still worth; the text does not say."""

    fund_takes_deficits: bool = False
    """Whether the fund takes a bankrupt account over with its debt, as the worked example does."""
    fund_counts_by_value: bool = False
    """Whether the fund covers bankruptcies with its account value, as the worked example has it,
    or with its USDC balance, as the formula on the same page says."""
    loss_denominator: LossDenominator = LossDenominator.TOTAL_PLUS_BANKRUPTCY
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.EXPIRE_TAKER
    sell_vwap_below_bid: bool = True
    """The slippage page writes bid x (1 + slippage) for sells, which looks like a wrong sign."""
    sibling_waits_for_full_fill: bool = False
    """Since v1.136.3 a limit TP/SL cancels its sibling only once it is filled completely."""

    reopening: Reopening | None = None
    """If set, the mode loosens one stage at a time and only when the markets are ready."""
    withdrawals_paused_in: tuple[Mode, ...] = ()
    withdrawal_gate_ms: int = 0
    """How long after an outage nothing may be withdrawn; dYdX v4 waits 50 blocks."""
    liquidation_grace_ms: int = 0
    """How long after an outage nobody is liquidated; Venus gave 12 hours in May 2022."""

    health_check_seconds: int = 5
    liquidations_paused_in: tuple[Mode, ...] = ()
    """Before 6 February 2026 the documentation names no mode that pauses liquidations."""
    triggers_paused_in: tuple[Mode, ...] = ()
    post_only_band: Decimal | None = None
    """Half width round the external fair price in post-only mode; 0.0005 since v1.131.1."""

    @property
    def funding_tick_ms(self) -> int:
        """How often the funding index advances."""
        return 1_000 if self.funding_profile.is_smoothed else 5_000


_PAUSES = (Mode.MAINTENANCE, Mode.CANCEL_ONLY, Mode.POST_ONLY)

JANUARY_2026 = ExchangeSpec()
"""The rules on the day of the incident."""

AFTER_INCIDENT = ExchangeSpec(
    funding_profile=FundingProfile.APRIL_2026,
    settle_funding_on_withdrawal=True,
    liquidations_paused_in=_PAUSES,
    triggers_paused_in=_PAUSES,
    post_only_band=Decimal("0.0005"),
)
"""The rules with what Paradex changed in February and April 2026."""

APRIL_2026 = replace(
    AFTER_INCIDENT,
    mark_rule=MarkRule.LIQUIDITY_WEIGHTED,
    fees=FEES_APRIL_2026,
    reopening=Reopening(),
    sibling_waits_for_full_fill=True,
)
"""The rules of 23 April 2026, with the liquidity weight and the fees of that month."""

JUNE_2026 = replace(APRIL_2026, funding_profile=FundingProfile.JUNE_2026)
"""The rules of 17 June 2026: funding from the impact premium over venues."""

BTC_USD_PERP = MarketSpec(
    symbol="BTC-USD-PERP",
    imf_base=Decimal("0.02"),
    mmf_factor=Decimal("0.5"),
    funding_period_hours=8,
    max_funding_rate=Decimal("0.02"),
    price_bands_width=Decimal("0.05"),
    price_tick=Decimal("0.1"),
    order_size_increment=Decimal("0.00001"),
    position_limit=Decimal(300),
    max_order_size=Decimal(100),
    max_open_orders=150,
    ewma_weight=Decimal("0.2"),
    impact_notional_usd=Decimal(5_000),
)
"""Market page; rates as of January 2026, limits and increments as of mid 2026."""

ETH_USD_PERP = MarketSpec(
    symbol="ETH-USD-PERP",
    imf_base=Decimal("0.02"),
    mmf_factor=Decimal("0.5"),
    funding_period_hours=8,
    max_funding_rate=Decimal("0.02"),
    price_bands_width=Decimal("0.05"),
    price_tick=Decimal("0.01"),
    order_size_increment=Decimal("0.0001"),
    position_limit=Decimal(9000),
    max_order_size=Decimal(1000),
    max_open_orders=150,
    ewma_weight=Decimal("0.2"),
    impact_notional_usd=Decimal(5_000),
)
"""Market page; limits and increments as of mid 2026."""

PAXG_USD_PERP = MarketSpec(
    symbol="PAXG-USD-PERP",
    imf_base=Decimal("0.02"),
    mmf_factor=Decimal("0.5"),
    funding_period_hours=4,
    max_funding_rate=Decimal("0.025"),
    price_bands_width=Decimal("0.2"),
    price_tick=Decimal("0.01"),
    order_size_increment=Decimal("0.001"),
    position_limit=Decimal(1480),
    max_order_size=Decimal(300),
    max_open_orders=75,
    ewma_weight=Decimal("0.15"),
)
"""Market page before 28 January 2026, when period and cap became 8 h and 5 %."""

PUBLISHED_MARKETS = (BTC_USD_PERP, ETH_USD_PERP, PAXG_USD_PERP)
