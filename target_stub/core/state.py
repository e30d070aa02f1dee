"""The whole exchange as one immutable value.

A state is never changed; a command makes a new one that shares everything it did not touch, so
keeping a reference is a snapshot. Values of a market are None until somebody has computed them,
and the reading functions raise ``Missing`` rather than hand out a zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import sha256

from target_stub.core.book import Book
from target_stub.core.errors import InconsistentSeed, Missing
from target_stub.core.impact import VenueQuote
from target_stub.core.margin import MarketPrice, Prices, Rules
from target_stub.core.mark import NO_AVERAGES, Averages
from target_stub.core.money import ZERO, Usdc, exact, is_multiple
from target_stub.core.orders import Account, Position
from target_stub.core.parameters import (
    LIQUIDATOR_VAULT,
    ExchangeSpec,
    MarketSpec,
    Mode,
    Pause,
)
from target_stub.core.transfers import Transfer
from target_stub.core.vaults import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What is known about one market; None means nobody knows yet."""

    spec: MarketSpec
    spot_usd: Decimal | None = None
    usdc_price: Decimal | None = None
    oracle_at_ms: int | None = None
    external_rates: tuple[Decimal, ...] = ()
    mark_usd: Decimal | None = None
    funding_index: Decimal | None = None
    premium_usdc: Decimal | None = None
    rate: Decimal | None = None
    funding_at_ms: int | None = None
    averages: Averages = NO_AVERAGES
    last_trade_usd: Decimal | None = None
    liquidity: Decimal | None = None
    """How much the own book counts in the fair basis, 0 to 1; None before the averages began."""
    own_basis: Decimal | None = None
    """The slow average of the market's own basis: one vote in the external fair price."""
    venue_quotes: tuple[VenueQuote, ...] = ()
    pauses: tuple[Pause, ...] = ()
    """Why the market stands still, in the order of the reasons; empty while it does not."""

    def known(self, field_name: str) -> Decimal:
        """A decimal field by name; raises Missing while it is None."""
        value = getattr(self, field_name)
        if value is None:
            raise Missing(self.spec.symbol, field_name)
        if not isinstance(value, Decimal):
            raise TypeError(f"{field_name} of a market is not an amount")
        return value

    @property
    def price(self) -> MarketPrice:
        """Mark and funding index together; raises Missing while either is None."""
        if self.mark_usd is None or self.funding_index is None:
            raise Missing(
                self.spec.symbol, "mark price" if self.mark_usd is None else "funding index"
            )
        return MarketPrice(self.mark_usd, self.funding_index)


@dataclass(frozen=True, slots=True)
class AppliedIds:
    """The command ids that were applied: a persistent set that is cheap to extend.

    Blocks double in size, so adding costs logarithmic time on average instead of a copy of
    everything. The checksum adds up the sha256 of the ids and so does not depend on their order.
    """

    blocks: tuple[frozenset[str], ...] = ()
    count: int = 0
    checksum: int = 0

    def __contains__(self, command_id: str) -> bool:
        return any(command_id in block for block in self.blocks)

    def added(self, command_id: str) -> AppliedIds:
        """The set with one more id."""
        blocks, newest = self.blocks, frozenset((command_id,))
        while blocks and len(blocks[-1]) <= len(newest):
            newest |= blocks[-1]
            blocks = blocks[:-1]
        number = int.from_bytes(sha256(command_id.encode()).digest(), "big")
        return AppliedIds((*blocks, newest), self.count + 1, (self.checksum + number) % 2**256)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the exchange knows and owes after ``sequence`` commands."""

    rules: Rules
    markets: Mapping[str, Market]
    accounts: Mapping[str, Account]
    books: Mapping[str, Book]
    mode: Mode
    usdc_price: Decimal | None = None
    fees_usdc: Decimal = ZERO
    remainder_usdc: Decimal = ZERO
    """What rounding kept back, exactly; it belongs to the protocol and never shrinks."""
    net_deposits_usdc: Decimal = ZERO
    applied: AppliedIds = field(default_factory=AppliedIds)
    sequence: int = 0
    orders_placed: int = 0
    at_ms: int | None = None
    mode_sequence: int = 0
    """The number of the last decision about the mode; 0 where nobody counts."""
    mode_since_ms: int | None = None
    """When the mode changed last; None if it never did."""
    outage_ended_at_ms: int | None = None
    """When trading opened again or funding went on after a gap; None if it never stopped."""
    transfers: Mapping[str, Transfer] = field(default_factory=dict)
    """Everything that crossed the bridge or is on its way, by its name outside."""
    vaults: Mapping[str, Vault] = field(default_factory=dict)
    resyncing: tuple[str, ...] = ()
    """Accounts that wait to be read from the chain again after a bust, by id."""

    @property
    def spec(self) -> ExchangeSpec:
        """The rules of the exchange as a whole."""
        return self.rules.exchange

    def account(self, account: str) -> Account:
        """One account; KeyError if nobody opened it."""
        return self.accounts[account]

    def market(self, symbol: str) -> Market:
        """One market; KeyError if it is not listed."""
        return self.markets[symbol]

    def known_usdc_price(self) -> Decimal:
        """USD per USDC; raises Missing before the first oracle update."""
        if self.usdc_price is None:
            raise Missing("USDC", "price")
        return self.usdc_price

    def known_prices(self) -> Prices:
        """Mark and index of every market that has both; a market without is simply absent."""
        return known_prices(self.markets)


def known_prices(markets: Mapping[str, Market]) -> Prices:
    """Mark and index of every market that has both."""
    return {
        symbol: MarketPrice(market.mark_usd, market.funding_index)
        for symbol, market in markets.items()
        if market.mark_usd is not None and market.funding_index is not None
    }


def genesis(spec: ExchangeSpec, markets: Iterable[MarketSpec], mode: Mode = Mode.OK) -> State:
    """An empty exchange: markets listed, nothing known about them, only the vault account open."""
    specs = {market.symbol: market for market in markets}
    return State(
        rules=Rules(markets=specs, exchange=spec),
        markets={symbol: Market(spec=market) for symbol, market in specs.items()},
        accounts={LIQUIDATOR_VAULT: Account(LIQUIDATOR_VAULT, ZERO)},
        books={symbol: Book() for symbol in specs},
        mode=mode,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPosition:
    """A position that exists from the start, entered at a price in USDC per unit."""

    account: str
    market: str
    size: Decimal
    entry_price_usdc: Decimal
    cached_funding_index: Decimal


@exact
def seeded(
    state: State, balances: Mapping[str, Usdc], positions: Iterable[SeedPosition] = ()
) -> State:
    """A populated exchange without its past: balances and positions in one step.

    Raises InconsistentSeed unless the sizes of every market sum to zero, every size is a multiple
    of the increment and nobody is named twice. Net deposits become what must have been paid in
    for these balances and entry prices to be true.
    """
    vault = Account(LIQUIDATOR_VAULT, ZERO)
    if dict(state.accounts) != {LIQUIDATOR_VAULT: vault}:
        raise InconsistentSeed("only an exchange without accounts can be seeded")
    accounts = {name: Account(name, amount.value) for name, amount in balances.items()}
    held: dict[str, dict[str, Position]] = {}
    totals = dict.fromkeys(state.markets, ZERO)
    paid_in_usdc = sum((account.balance_usdc for account in accounts.values()), ZERO)
    for seed in positions:
        if seed.account not in accounts:
            raise InconsistentSeed(f"{seed.account} has a position but no balance")
        if seed.market not in state.markets:
            raise InconsistentSeed(f"{seed.market} is not listed")
        spec = state.markets[seed.market].spec
        if not seed.size or not is_multiple(seed.size, spec.order_size_increment):
            raise InconsistentSeed(f"{seed.account}: {seed.size} is no size in {seed.market}")
        mine = held.setdefault(seed.account, {})
        if seed.market in mine:
            raise InconsistentSeed(f"{seed.account} has two positions in {seed.market}")
        cost_usdc = seed.size * seed.entry_price_usdc
        if not is_multiple(cost_usdc, Decimal("1e-8")):
            raise InconsistentSeed(f"{seed.account}: the cost {cost_usdc} needs over 8 decimals")
        mine[seed.market] = Position(seed.size, cost_usdc, seed.cached_funding_index)
        totals[seed.market] += seed.size
        paid_in_usdc += seed.size * seed.cached_funding_index - cost_usdc
    for symbol, total in totals.items():
        if total:
            raise InconsistentSeed(f"positions in {symbol} sum to {total}, not to zero")
    filled = {
        name: Account(name, a.balance_usdc, held.get(name, {})) for name, a in accounts.items()
    }
    return replace(
        state,
        accounts={**state.accounts, **filled},
        net_deposits_usdc=state.net_deposits_usdc + paid_in_usdc,
    )
