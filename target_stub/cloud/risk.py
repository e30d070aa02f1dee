"""Risk and liquidation: every five seconds, every account, against the chain's own marks.

The chain refuses to liquidate an account that its own values do not show as due, which is no
protection when those values are wrong. With the double-check guard the liquidator keeps prices of
its own, from the oracle and from the values it last believed, and acts only where both agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import trio

from target_stub.cloud.oracle_feed import TOPIC as ORACLE
from target_stub.cloud.oracle_feed import Quote, sleep_until_multiple
from target_stub.cloud.retry import retrying
from target_stub.core import LIQUIDATOR_VAULT, Liquidate, MarketPrice, Prices, State, is_due
from target_stub.core.funding import step_bound
from target_stub.guards import DOUBLE_CHECK
from target_stub.ports import Life, Network

#: Health checks run half an interval after the funding ticks, so that they see published values.
OFFSET_MS = 2_500


class Risk:
    """One incarnation of the liquidator; ``believed`` are the values of the double-check."""

    def __init__(
        self, life: Life, *, network: Network, guards: frozenset[str] = frozenset()
    ) -> None:
        self.life = life
        self.network = network
        self.guards = guards
        self.quotes: dict[str, Quote] = {}
        self.believed: dict[str, tuple[MarketPrice, int]] = {}
        self.doubted = 0

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
        self.believe(state)
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
            own = self.believe(state)
            due = [
                name
                for name in due
                if set(state.accounts[name].positions) <= set(own)
                and is_due(state.accounts[name], {**prices, **own}, usdc_price, state.rules)
            ]
        now_ms = round(trio.current_time() * 1000)
        for name in due:
            command = Liquidate(id=f"liquidate-{name}-{now_ms}", at_ms=now_ms, account=name)
            async for attempt in retrying():
                with attempt:
                    await self.network.call("chain", "submit", command)

    def believe(self, state: State) -> Prices:
        """Take over the chain's values that are plausible; the others stay as they were believed.

        Plausible is an index that moved no more than funding can move it since it was last
        believed, and a positive mark within the band round the oracle's own spot price.
        """
        for symbol, market in state.markets.items():
            quote = self.quotes.get(symbol)
            at_ms = market.funding_at_ms
            if market.mark_usd is None or market.funding_index is None or at_ms is None:
                continue
            price = MarketPrice(market.mark_usd, market.funding_index)
            known = self.believed.get(symbol)
            if known is None or self.plausible(state, symbol, known, price, at_ms, quote):
                self.believed[symbol] = (price, at_ms)
            else:
                self.doubted += 1
        return {symbol: price for symbol, (price, _) in self.believed.items()}

    def plausible(
        self,
        state: State,
        symbol: str,
        known: tuple[MarketPrice, int],
        price: MarketPrice,
        at_ms: int,
        quote: Quote | None,
    ) -> bool:
        """Whether one market's values can follow the ones last believed."""
        spec = state.markets[symbol].spec
        (before, before_ms) = known
        spot_usd = quote.spot_usd if quote else before.mark_usd
        usdc_price = quote.usdc_price if quote else Decimal(1)
        bound = step_bound(
            spec, spot_usd=spot_usd, usdc_price=usdc_price, elapsed_ms=max(0, at_ms - before_ms)
        )
        in_band = abs(price.mark_usd - spot_usd) <= spec.price_bands_width * spot_usd
        step = abs(price.funding_index - before.funding_index)
        return price.mark_usd > 0 and in_band and step <= bound.value
