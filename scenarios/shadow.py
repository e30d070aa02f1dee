"""The shadow: the same chain fed the same commands, except for market values nothing can explain.

It is the judge's own opinion of what is true. A liquidation that the shadow would not have made is
an unjustified one, and a value that cannot follow the shadow's last clean one is a wrong value,
wherever it turns up.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from scenarios.rules.view import Wronged
from target_stub.chain import Block
from target_stub.cloud.market_data import Implausible, check_plausible
from target_stub.cloud.oracle_feed import Prices
from target_stub.core import Liquidate, Liquidated, PublishMarket, Rejected, State, apply
from target_stub.core.margin import account_value
from target_stub.core.mark import external_fair_price
from target_stub.ports import Row


class Shadow:
    """A clean copy of the exchange; ``rows`` are the last clean values of every market.

    With a ``fair_width`` a mark price further than that fraction from the external fair price is
    nothing that a clean exchange would have used.
    """

    def __init__(
        self,
        state: State,
        rows: Mapping[str, Row],
        prices: Prices,
        *,
        fair_width: Decimal | None = None,
    ) -> None:
        self.state = state
        self.fair_width = fair_width
        self.rows: dict[str, Row] = dict(rows)
        self.prices = prices
        self.judged = 0

    def follow(self, block: Block) -> None:
        """Do what the chain did, unless clean values forbid it; liquidations are judged apart."""
        command = block.command
        if any(isinstance(event, Rejected) for event in block.events):
            return
        if isinstance(command, PublishMarket):
            row = self.row_of(command)
            if not self.explains(command.market, row):
                return
            self.rows[command.market] = row
        if not isinstance(command, Liquidate):
            self.state, _ = apply(self.state, command)

    def row_of(self, command: PublishMarket) -> Row:
        """Published values as a row, with the prices of their time."""
        quote = next(q for q in self.prices(command.at_ms) if q.market == command.market)
        return {
            "spot_usd": quote.spot_usd,
            "usdc_price": quote.usdc_price,
            "mark_usd": command.mark_price,
            "funding_index": command.funding_index,
            "funding_at_ms": command.at_ms,
        }

    def explains(self, symbol: str, row: Row) -> bool:
        """Whether a row can follow the last clean one of that market.

        Two incarnations may both write for one tick, and the older one last, so the time between
        counts as one tick at least.
        """
        if self.fair_width is not None and not self.is_fair(symbol, row, self.fair_width):
            return False
        before, at_ms = self.rows[symbol], row["funding_at_ms"]
        earliest_ms = at_ms - self.state.spec.funding_tick_ms
        earlier = {**before, "funding_at_ms": min(before["funding_at_ms"], earliest_ms)}
        try:
            check_plausible(self.state.markets[symbol].spec, earlier, row)
        except Implausible:
            return False
        return True

    def is_fair(self, symbol: str, row: Row, width: Decimal) -> bool:
        """Whether the mark of a row is within a width of what the outside says at its time."""
        quote = next(q for q in self.prices(row["funding_at_ms"]) if q.market == symbol)
        fair_usd = external_fair_price(quote.spot_usd, quote.external_rates)
        return bool(abs(row["mark_usd"] - fair_usd) <= width * fair_usd)

    def would_liquidate(self, account: str, at_ms: int) -> State | None:
        """The shadow after it liquidated an account, or nothing if the account is not due."""
        self.judged += 1
        command = Liquidate(id=f"judge-{self.judged}-{account}", at_ms=at_ms, account=account)
        state, events = apply(self.state, command)
        return None if any(isinstance(event, Rejected) for event in events) else state

    def judge(self, event: Liquidated, *, step: int, at_ms: int) -> Wronged | None:
        """Do the same if it is justified; otherwise, what was done to the account."""
        state = self.would_liquidate(event.account, at_ms)
        if state is not None:
            self.state = state
            return None
        loss = self.value_usdc(event.account) - self.left_usdc(event)
        return Wronged(account=event.account, loss_usdc=loss, step=step, at_ms=at_ms)

    def value_usdc(self, account: str) -> Decimal:
        """What an account is worth at clean values."""
        usdc_price = self.state.known_usdc_price()
        value = account_value(self.state.accounts[account], self.state.known_prices(), usdc_price)
        return value.value / usdc_price

    def left_usdc(self, event: Liquidated) -> Decimal:
        """What the chain's own, possibly wrong values leave of an account, at least 0."""
        usdc_price = self.state.known_usdc_price()
        return max(Decimal(0), event.account_value.value / usdc_price - event.penalty.value)
