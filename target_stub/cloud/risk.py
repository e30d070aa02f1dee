"""Risk and liquidation: every five seconds, every account, against the chain's own marks.

The chain refuses to liquidate an account that its own values do not show as due, which is no
protection when those values are wrong. With the double-check guard the liquidator keeps prices of
its own, from the oracle and from the values it last believed, and acts only where both agree. What
it believes outlives it in cloud storage, so that a first read after a restart is doubted too.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import trio

from target_stub.cloud.oracle_feed import TOPIC as ORACLE
from target_stub.cloud.oracle_feed import Quote, sleep_until_multiple
from target_stub.cloud.retry import retrying
from target_stub.core import (
    LIQUIDATOR_VAULT,
    Liquidate,
    MarketPrice,
    MarketSpec,
    Prices,
    State,
    is_due,
)
from target_stub.core.funding import step_bound
from target_stub.guards import DOUBLE_CHECK, NO_GUARDS, Guards, Refusal
from target_stub.ports import Life, Network, ObjectStore

#: Health checks run half an interval after the funding ticks, so that they see published values.
OFFSET_MS = 2_500
#: The object that holds what the liquidator last believed.
BELIEVED = "risk/believed"
#: By market: mark price and index, and since when, in milliseconds.
Believed = dict[str, tuple[MarketPrice, int]]


class Risk:
    """One incarnation of the liquidator; ``believed`` are the values of the double-check."""

    def __init__(
        self, life: Life, *, network: Network, storage: ObjectStore, guards: Guards = NO_GUARDS
    ) -> None:
        self.life = life
        self.network = network
        self.storage = storage
        self.guards = guards
        self.quotes: dict[str, Quote] = {}
        self.believed: Believed = {}

    async def run(self) -> None:
        """Check the health of all accounts until asked to stop."""
        quotes = self.network.subscribe(ORACLE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow_oracle, quotes)
            nursery.start_soon(self.check_for_ever)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def follow_oracle(self, quotes: Any) -> None:
        """Remember the newest quote of every market."""
        async for batch in quotes:
            self.quotes.update({quote.market: quote for quote in batch})

    async def check_for_ever(self) -> None:
        """One health check after the other."""
        state = await self.read_chain()
        if DOUBLE_CHECK in self.guards:
            await self.recall()
        while True:
            every_ms = state.spec.health_check_seconds * 1000
            await sleep_until_multiple(every_ms, offset_ms=OFFSET_MS % every_ms)
            state = await self.read_chain()
            await self.check(state)

    async def read_chain(self) -> State:
        """The chain's state now."""
        async for attempt in retrying():
            with attempt:
                state = await self.network.call("chain", "state", None)
        if not isinstance(state, State):
            raise TypeError(f"the chain answered {state!r}")
        return state

    async def check(self, state: State) -> None:
        """Liquidate every account that is due, in the order of their names."""
        prices = state.known_prices()
        usdc_price = state.known_usdc_price()
        due = [
            name
            for name, account in sorted(state.accounts.items())
            if name != LIQUIDATOR_VAULT
            and account.positions
            and is_due(account, prices, usdc_price, state.rules)
        ]
        if DOUBLE_CHECK in self.guards:
            due = await self.confirmed(state, due)
        now_ms = round(trio.current_time() * 1000)
        for name in due:
            command = Liquidate(id=f"liquidate-{name}-{now_ms}", at_ms=now_ms, account=name)
            async for attempt in retrying():
                with attempt:
                    await self.network.call("chain", "submit", command)

    async def recall(self) -> None:
        """Believe what the incarnation before this one believed."""
        async for attempt in retrying():
            with attempt:
                found = await self.storage.get(BELIEVED)
                self.believed = dict(found[0]) if found else {}

    async def confirmed(self, state: State, due: Sequence[str]) -> list[str]:
        """Those who are due at the liquidator's own values, too; these are remembered first."""
        own = self.believe(state)
        async for attempt in retrying():
            with attempt:
                await self.storage.put(BELIEVED, dict(self.believed))
        usdc_price = state.known_usdc_price()
        confirmed = [
            name
            for name in due
            if set(state.accounts[name].positions) <= set(own)
            and is_due(state.accounts[name], own, usdc_price, state.rules)
        ]
        doubted = tuple(name for name in due if name not in confirmed)
        if doubted:
            why = f"{len(doubted)} of {len(due)} are not due at the liquidator's own values"
            self.guards.tell(Refusal(guard=DOUBLE_CHECK, why=why, accounts=doubted))
        return confirmed

    def believe(self, state: State) -> Prices:
        """Take over the chain's values that are plausible; the others stay as they were believed.

        Plausible is an index that moved no more than funding can move it since it was last
        believed, and a positive mark within the band round the oracle's own spot price.
        """
        for symbol, market in state.markets.items():
            if market.funding_at_ms is None:
                continue
            told = (market.price, market.funding_at_ms)
            known = self.believed.get(symbol)
            if known is None or self.plausible(market.spec, known, told):
                self.believed[symbol] = told
        return {symbol: price for symbol, (price, _) in self.believed.items()}

    def plausible(
        self, spec: MarketSpec, known: tuple[MarketPrice, int], told: tuple[MarketPrice, int]
    ) -> bool:
        """Whether one market's values can follow the ones last believed."""
        quote = self.quotes.get(spec.symbol)
        (before, before_ms), (price, at_ms) = known, told
        spot_usd = quote.spot_usd if quote else before.mark_usd
        usdc_price = quote.usdc_price if quote else Decimal(1)
        bound = step_bound(
            spec, spot_usd=spot_usd, usdc_price=usdc_price, elapsed_ms=max(0, at_ms - before_ms)
        )
        in_band = abs(price.mark_usd - spot_usd) <= spec.price_bands_width * spot_usd
        step = abs(price.funding_index - before.funding_index)
        return price.mark_usd > 0 and in_band and step <= bound.value
