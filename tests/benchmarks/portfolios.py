"""Generated portfolios for the margin oracle: many markets, odd sizes, orders, funding, leverage.

A portfolio is one account in a state of the exchange that nothing but margin will ever look at, so
it is put together directly instead of being traded into existence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random

from harness.history import derive_seed
from target_stub.core import (
    Account,
    FeeSchedule,
    Instruction,
    Market,
    MarketSpec,
    Order,
    OrderKind,
    Position,
    Side,
    Standing,
    State,
    Trigger,
    genesis,
)
from target_stub.core.fees import FEES_APRIL_2026
from target_stub.core.money import EXACT
from target_stub.core.parameters import PUBLISHED_MARKETS, ExchangeSpec, OpenSizeRule

ACCOUNT = "somebody"
USDC_PRICES = ("1", "0.9998", "1.0003", "0.97", "0.5")
TAKER_FEES = ("0", "0.0002", "0.00045", "0.01")


def _invented(number: int) -> MarketSpec:
    """A market that Paradex does not list: other increments, other fractions."""
    return replace(
        PUBLISHED_MARKETS[number % 3],
        symbol=f"T{number}-USD-PERP",
        imf_base=Decimal(("0.01", "0.05", "0.1", "0.333", "1")[number % 5]),
        mmf_factor=Decimal(("0.5", "0.7", "0.25", "1")[number % 4]),
        price_tick=Decimal(("0.1", "0.0001", "1", "0.00000001")[number % 4]),
        order_size_increment=Decimal(("1", "0.00000001", "100", "0.01")[number % 4]),
        position_limit=Decimal(("1000000", "5", "100000000", "12345.67")[number % 4]),
    )


MARKETS = (*PUBLISHED_MARKETS, *(_invented(number) for number in range(9)))
#: Where the price of a market lies, in ticks.
_PRICE_TICKS = {market.symbol: 1_000 + 7_919 * n**3 for n, market in enumerate(MARKETS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """One account in one state; ``fees`` and ``leverage`` as the exchange agreed with it."""

    number: int
    state: State
    unknown_index: str | None
    """A market whose funding index nobody knows, if there is one."""

    @property
    def account(self) -> Account:
        """The account that is judged."""
        return self.state.accounts[ACCOUNT]


def portfolio(seed: int, number: int) -> Portfolio:
    """The portfolio of a number: the same in every process."""
    random = Random(derive_seed(seed, "portfolio", number))
    listed = random.sample(MARKETS, random.randrange(1, 8))
    schedule: FeeSchedule | None = FEES_APRIL_2026 if random.random() < 0.2 else None
    spec = ExchangeSpec(
        taker_fee=Decimal(random.choice(TAKER_FEES)),
        fees=schedule,
        open_size_rule=OpenSizeRule.GROSS if random.random() < 0.1 else OpenSizeRule.NETTED,
    )
    state = genesis(spec, listed)
    markets = {market.symbol: _known(random, market) for market in listed}
    held = {
        market.symbol: _position(random, markets[market.symbol])
        for market in listed
        if random.random() < 0.7
    }
    orders = {}
    for index in range(random.choice((0, 0, 1, 2, 5, 12))):
        symbol = random.choice(listed).symbol
        order = _order(random, markets[symbol], held.get(symbol), index)
        orders[order.id] = order
    account = Account(ACCOUNT, _balance(random, held), held, orders, _standing(random, listed))
    unknown = random.choice(list(held)) if held and random.random() < 0.02 else None
    if unknown:
        markets[unknown] = replace(markets[unknown], funding_index=None)
    usdc_price = Decimal(random.choice(USDC_PRICES))
    return Portfolio(
        number=number,
        state=replace(
            state,
            markets=markets,
            usdc_price=usdc_price,
            accounts={**state.accounts, ACCOUNT: account},
        ),
        unknown_index=unknown,
    )


def _known(random: Random, spec: MarketSpec) -> Market:
    ticks = max(1, round(_PRICE_TICKS[spec.symbol] * (0.2 + random.random())))
    mark_usd = EXACT.multiply(Decimal(ticks), spec.price_tick)
    index = random.choice(("0", "1001.5", "-2819.53434361", "0.00000001", "-97.31851203"))
    return Market(
        spec=spec,
        spot_usd=mark_usd,
        usdc_price=Decimal(1),
        mark_usd=mark_usd,
        funding_index=Decimal(index),
        premium_usdc=Decimal(0),
        rate=Decimal(0),
        funding_at_ms=0,
    )


def _position(random: Random, market: Market) -> Position:
    spec, mark_usd = market.spec, market.known("mark_usd")
    steps_max = int(spec.position_limit / spec.order_size_increment)
    steps = random.choice((1, 2, random.randrange(1, 1_000), steps_max, random.randrange(1, 10**6)))
    size = EXACT.multiply(Decimal(min(steps, steps_max)), spec.order_size_increment)
    size = size * random.choice((1, -1))
    entry_ticks = max(1, round(int(mark_usd / spec.price_tick) * (0.7 + 0.6 * random.random())))
    cost = EXACT.multiply(size, EXACT.multiply(Decimal(entry_ticks), spec.price_tick))
    index = market.known("funding_index")
    cached = random.choice((index, Decimal(0), EXACT.subtract(index, Decimal("1.5"))))
    return Position(size, cost, cached)


def _order(random: Random, market: Market, held: Position | None, number: int) -> Order:
    spec, mark_usd = market.spec, market.known("mark_usd")
    size = EXACT.multiply(Decimal(random.choice((1, 3, 250, 40_000))), spec.order_size_increment)
    if held is not None and random.random() < 0.6:
        size = EXACT.multiply(abs(held.size), Decimal(random.choice((1, 2, 3))))
    left = EXACT.divide_int(size, 2 * spec.order_size_increment) * spec.order_size_increment
    ticks = max(1, round(int(mark_usd / spec.price_tick) * (0.9 + 0.2 * random.random())))
    waits = random.random() < 0.15
    return Order(
        id=f"order-{number}",
        account=ACCOUNT,
        market=spec.symbol,
        side=random.choice((Side.BUY, Side.SELL)),
        size=size,
        remaining=left if left and random.random() < 0.3 else size,
        price=EXACT.multiply(Decimal(ticks), spec.price_tick),
        kind=OrderKind.LIMIT,
        instruction=random.choice((Instruction.GTC, Instruction.POST_ONLY)),
        reduce_only=random.random() < 0.1,
        sequence=number,
        trigger=Trigger.STOP if waits else None,
        trigger_price=mark_usd if waits else None,
    )


def _balance(random: Random, held: dict[str, Position]) -> Decimal:
    gross = sum((abs(position.cost_usdc) for position in held.values()), Decimal(0))
    share = Decimal(random.choice(("0", "0.01", "0.05", "0.3", "2", "-0.02")))
    return (gross * share + Decimal(random.randrange(0, 10**10)) / 10**8).quantize(Decimal("1e-8"))


def _standing(random: Random, listed: list[MarketSpec]) -> Standing:
    discount = Decimal(random.choice(("0", "0", "0.15", "0.4")))
    leverage = {}
    if random.random() < 0.15:
        leverage = {market.symbol: Decimal(random.choice((1, 2, 3, 7))) for market in listed[:2]}
    return Standing(
        volume_usd=Decimal(random.choice((0, 3_000_000))), discount=discount, leverage=leverage
    )
