"""What an account is worth and what it must hold: the cross margin of Paradex.

Every function takes the account and the prices to judge it by, so that an independent judge can
ask the same question with other inputs than the exchange used. Nothing is rounded here except
where money would leave the account; a missing price raises and is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from target_stub.core.errors import Missing
from target_stub.core.money import (
    ONE,
    RATE_DECIMALS,
    ZERO,
    Usd,
    Usdc,
    divide_down8,
    divide_half_even8,
    divide_up,
    exact,
)
from target_stub.core.orders import Account, Order, Position, Side
from target_stub.core.parameters import ExchangeSpec, MarketSpec, OpenSizeRule


class MarketPrice(NamedTuple):
    """What a position is valued with: mark price in USD, funding index in USDC per unit."""

    mark_usd: Decimal
    funding_index: Decimal


Prices = Mapping[str, MarketPrice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The margin rules that apply: those of every market and those of the exchange."""

    markets: Mapping[str, MarketSpec]
    exchange: ExchangeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One assessment of an account; only ``initial_usd`` counts its open orders."""

    balance_usdc: Decimal
    usdc_price: Decimal
    account_value_usd: Decimal
    initial_usd: Decimal
    maintenance_usd: Decimal
    has_positions: bool

    @property
    def margin_ratio(self) -> Decimal | None:
        """MMR / account value; None for a value of zero or less, where a ratio would mislead."""
        return margin_ratio(Usd(self.account_value_usd), Usd(self.maintenance_usd))

    @property
    def is_due(self) -> bool:
        """Whether this account must be liquidated."""
        return self.has_positions and is_below_maintenance(
            self.account_value_usd, self.maintenance_usd
        )

    @property
    def is_below_initial(self) -> bool:
        """Whether orders of this account must be cancelled (order-level deleveraging)."""
        return self.account_value_usd < self.initial_usd

    @property
    def free_collateral(self) -> Usd:
        """min(account value - IMR, collateral)."""
        return free_collateral(
            Usd(self.account_value_usd),
            Usd(self.initial_usd),
            Usdc(self.balance_usdc),
            self.usdc_price,
        )

    @property
    def withdrawable(self) -> Usdc:
        """What may leave the account, before socialised losses."""
        return withdrawable(self.free_collateral, Usdc(self.balance_usdc), self.usdc_price)


def _price(prices: Prices, market: str) -> MarketPrice:
    try:
        return prices[market]
    except KeyError:
        raise Missing(market, "mark price and funding index") from None


def _equity_usd(positions: Mapping[str, Position], prices: Prices, usdc_price: Decimal) -> Decimal:
    # Callers run under EXACT; this is the hot loop of the health check.
    at_mark_usd = ZERO
    owed_usdc = ZERO
    for market, position in positions.items():
        mark_usd, index = prices.get(market) or _price(prices, market)
        at_mark_usd += position.size * mark_usd
        owed_usdc += position.cost_usdc + position.size * (index - position.cached_funding_index)
    return at_mark_usd - owed_usdc * usdc_price


@exact
def unrealised_pnl(account: Account, prices: Prices, usdc_price: Decimal) -> Usd:
    """Sum of size x mark - cost x USDC price + accrued funding, in USD."""
    return Usd(_equity_usd(account.positions, prices, usdc_price))


@exact
def account_value(account: Account, prices: Prices, usdc_price: Decimal) -> Usd:
    """Collateral plus unrealised PnL, in USD."""
    equity_usd = _equity_usd(account.positions, prices, usdc_price)
    return Usd(account.balance_usdc * usdc_price + equity_usd)


@exact
def maintenance_margin(account: Account, prices: Prices, rules: Rules) -> Usd:
    """Sum of |size| x mark x (IMF x MMF factor + taker fee); orders do not count."""
    total_usd = ZERO
    fee = fee_provision(account, rules)
    for market, position in account.positions.items():
        spec = rules.markets[market]
        fraction = spec.imf_base * spec.mmf_factor + fee
        total_usd += abs(position.size) * _price(prices, market).mark_usd * fraction
    return Usd(total_usd)


def fee_provision(account: Account, rules: Rules) -> Decimal:
    """The fraction of notional that margin sets aside for taker fees."""
    fees = rules.exchange.fees
    return rules.exchange.taker_fee if fees is None else fees.provision_rate(account.standing)


def initial_fraction(account: Account, spec: MarketSpec) -> Decimal:
    """The IMF of one market: its own, or 1 / leverage where the owner asked for less leverage.

    At 18 decimals, upwards. Maintenance margin does not follow: it is the market's own.
    """
    leverage = account.standing.leverage.get(spec.symbol)
    if leverage is None:
        return spec.imf_base
    return max(spec.imf_base, divide_up(ONE, leverage, RATE_DECIMALS))


@exact
def open_size(position: Decimal, orders: Iterable[Order], rule: OpenSizeRule) -> Decimal:
    """The largest position that the open orders of one market can lead to, in base units."""
    buys = sells = ZERO
    for order in orders:
        if order.side is Side.BUY:
            buys += order.remaining
        else:
            sells += order.remaining
    if rule is OpenSizeRule.GROSS:
        return max(buys + max(ZERO, position), sells + max(ZERO, -position))
    return max(ZERO, buys + position, sells - position)


@exact
def open_loss(orders: Iterable[Order], mark_usd: Decimal) -> Usd:
    """What aggressive orders would lose against the mark the moment they fill, in USD."""
    loss_usd = ZERO
    for order in orders:
        if order.price is not None:
            away_usd = (order.price - mark_usd) * order.side.sign
            loss_usd += max(ZERO, away_usd) * order.remaining
    return Usd(loss_usd)


@exact
def initial_margin(
    account: Account, prices: Prices, rules: Rules, *, with_orders: bool = True
) -> Usd:
    """Net initial margin, fee provision and open loss over all markets, in USD.

    The chain's position IMR leaves the orders out (``with_orders=False``).
    """
    by_market: dict[str, list[Order]] = {market: [] for market in account.positions}
    if with_orders:
        for order in account.working_orders():
            by_market.setdefault(order.market, []).append(order)
    total_usd = ZERO
    fee = fee_provision(account, rules)
    for market, orders in by_market.items():
        fraction = initial_fraction(account, rules.markets[market])
        mark_usd = _price(prices, market).mark_usd
        size = open_size(account.size(market), orders, rules.exchange.open_size_rule)
        total_usd += size * mark_usd * (fraction + fee)
        total_usd += open_loss(orders, mark_usd).value
    return Usd(total_usd)


@exact
def assess(account: Account, prices: Prices, usdc_price: Decimal, rules: Rules) -> Health:
    """Everything about the health of one account at the given prices."""
    equity_usd = _equity_usd(account.positions, prices, usdc_price)
    initial = initial_margin(account, prices, rules, with_orders=True)
    maintenance = maintenance_margin(account, prices, rules)
    return Health(
        balance_usdc=account.balance_usdc,
        usdc_price=usdc_price,
        account_value_usd=account.balance_usdc * usdc_price + equity_usd,
        initial_usd=initial.value,
        maintenance_usd=maintenance.value,
        has_positions=bool(account.positions),
    )


@exact
def is_due(account: Account, prices: Prices, usdc_price: Decimal, rules: Rules) -> bool:
    """Whether the account must be liquidated at these prices; the quick form of ``assess``."""
    if not account.positions:
        return False
    equity_usd = _equity_usd(account.positions, prices, usdc_price)
    maintenance_usd = maintenance_margin(account, prices, rules).value
    return is_below_maintenance(account.balance_usdc * usdc_price + equity_usd, maintenance_usd)


def is_below_maintenance(account_value_usd: Decimal, maintenance_usd: Decimal) -> bool:
    """Ratio above 100 %, or nothing left at all.

    Account value is tested by itself: MMR / value is negative for a bankrupt account, so 'ratio
    not above 100 %' alone would call it healthy.
    """
    return account_value_usd <= 0 or maintenance_usd > account_value_usd


def margin_ratio(value: Usd, maintenance: Usd) -> Decimal | None:
    """MMR / account value at 8 decimals; None if the value is zero or less."""
    if value.value <= 0:
        return None
    return divide_half_even8(maintenance.value, value.value)


def free_collateral(value: Usd, initial: Usd, balance: Usdc, usdc_price: Decimal) -> Usd:
    """min(account value - IMR, collateral), in USD.

    The source writes the USDC balance itself as the second term; taken in USD here, so that both
    terms have one unit.
    """
    return min(value - initial, balance.to_usd(usdc_price))


def withdrawable(free: Usd, balance: Usdc, usdc_price: Decimal) -> Usdc:
    """min(USDC balance, max(0, free collateral / USDC price)), towards minus infinity."""
    free_usdc = divide_down8(free.value, usdc_price)
    return Usdc(min(balance.value, max(ZERO, free_usdc)))


def accepts_order(before: Health, after: Health) -> bool:
    """An order is accepted if value >= IMR including it, or if it does not raise the IMR."""
    return after.account_value_usd >= after.initial_usd or after.initial_usd <= before.initial_usd


@exact
def within_position_limit(
    spec: MarketSpec, *, side: Side, size: Decimal, position: Decimal, same_side: Decimal
) -> bool:
    """Limit >= order + open orders of the same side + side x position."""
    return size + same_side + side.sign * position <= spec.position_limit


@exact
def orders_to_deleverage(position: Decimal, orders: Iterable[Order]) -> tuple[Order, ...]:
    """Which orders of one market go when an account is below its initial margin.

    Every order that does not offset the position; of those that do, the most passive first, until
    the rest fits into the position. Paradex documentation, deleveraging.
    """
    offsetting: list[Order] = []
    doomed: list[Order] = []
    for order in orders:
        (offsetting if order.side.sign * position < 0 else doomed).append(order)
    left = sum((order.remaining for order in offsetting), ZERO)
    passive_first = sorted(
        offsetting, key=lambda order: ((order.price or ZERO) * order.side.sign, -order.sequence)
    )
    for order in passive_first:
        if left <= abs(position):
            break
        doomed.append(order)
        left -= order.remaining
    return tuple(doomed)
