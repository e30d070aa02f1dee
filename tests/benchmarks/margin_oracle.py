"""Our margin against paradex-py's: two implementations of one specification, on the same documents.

``python -m tests.benchmarks.margin_oracle --portfolios 10000`` generates portfolios, tells each in
the words of the public interface, lets the library's margin module compute from these words in
binary floating point, and compares. A difference is explained only if undoing its cause makes both
agree; what is left is unexplained, and then the command fails.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations
from typing import Any

from scenarios.client_library import library
from target_stub.api import documents, orders
from target_stub.api.documents import Document
from target_stub.api.messages import View
from target_stub.api.records import OrderRecord, Records
from target_stub.core import Account, State
from target_stub.core.errors import Missing
from target_stub.core.margin import initial_margin, maintenance_margin
from target_stub.core.parameters import OpenSizeRule
from tests.benchmarks.portfolios import ACCOUNT, Portfolio, portfolio
from tests.benchmarks.table import say

#: Two numbers are equal if they agree to so many digits of the largest amount in them, USD.
RELATIVE, ABSOLUTE_USD = 1e-9, 1e-9
#: At how many prices the library looks for a change of sign; health is linear, so any number does.
SCAN_POINTS = 24

LEVERAGE = "the owner asked for less leverage; the library knows the market's own margin only"
GROSS = "open size GROSS, the documentation's worked example; the library has the formula"
USDC = "accrued funding in USDC there, in USD here: it is the documentation's, times USDC price"
NO_INDEX = "a funding index that nobody knows is a PnL of 0 there and an error here"
RANGE = "liquidation beyond 1 % to 500 % of the mark, where the library does not look"
SEARCH = "the library's root search ends within 1e-8 USD of health, ours is exact"
ROUNDED = "our liquidation price has 8 decimals, like every price of the interface"
CAUSES = (LEVERAGE, GROSS, USDC, NO_INDEX, RANGE, SEARCH, ROUNDED)


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of one portfolio, ours and theirs, and why they differ if they do."""

    what: str
    portfolio: int
    ours: float | None
    theirs: float | None
    cause: str | None = ""
    """Empty: equal. None: nobody knows why they differ."""


def told(state: State) -> dict[str, Document]:
    """The account in the words of the interface, as the answers of its routes."""
    view = View(
        chain=state,
        cloud=state,
        records=Records(),
        rows={},
        now_ms=0,
        epoch_ms=0,
        next_seq_no=lambda: 1,
    )
    account = state.accounts[ACCOUNT]
    listed = [
        orders.order(
            OrderRecord(
                order=order, status=account.status(order.id), created_at_ms=0, updated_at_ms=0
            ),
            view,
        )
        for order in account.orders.values()
    ]
    return {
        "markets": _results(
            documents.market(spec, state.spec) for spec in state.rules.markets.values()
        ),
        "summaries": _results(
            documents.summary(symbol, market.known("mark_usd"), _row(state, symbol), state, at_ms=0)
            for symbol, market in state.markets.items()
        ),
        "positions": _results(
            documents.position(account, symbol, state, seq_no=1, at_ms=0)
            for symbol in account.positions
        ),
        "orders": _results(listed),
        "balances": _results([documents.balance(account, at_ms=0)]),
        "info": documents.account_info(account, state),
        "account": documents.account_summary(account, state, seq_no=1, at_ms=0),
    }


def _row(state: State, symbol: str) -> dict[str, Any]:
    market = state.markets[symbol]
    return {name: getattr(market, name) for name in ("mark_usd", "spot_usd", "rate")}


def _results(entries: Any) -> Document:
    return {"results": list(entries)}


def unsigned(positions: Document) -> Document:
    """Positions with the size that the library takes: it refuses the sign that the API tells."""
    return _results(
        {**position, "size": position["size"].lstrip("-")} for position in positions["results"]
    )


class Library:
    """The library's margin module on the documents of one portfolio."""

    def __init__(self, said: dict[str, Document]) -> None:
        self.margin = library("margin")
        self.said = said
        self.inputs = self.margin.MarginInputs.from_api_responses(
            positions_resp=unsigned(said["positions"]),
            orders_resp=said["orders"],
            balances_resp=said["balances"],
            markets_summary_resp=said["summaries"],
            markets_resp=said["markets"],
            account_info_resp=said["info"],
        )

    def compute(self, **changed: Any) -> dict[str, float]:
        """The library's own ``compute``, with some of its inputs changed."""
        result: dict[str, float] = self.margin.compute(
            **{**self.inputs.compute_kwargs(), **changed}
        )
        return result

    def liquidation_price(self, position: Document, **search: float) -> float | None:
        """Where the library finds the liquidation price of a position, the others unchanged."""
        symbol, data = position["market"], self.inputs.market_data
        mark, size = data[symbol]["mark_price"], float(position["size"])
        own = [one for one in self.inputs.positions if one["market"] == symbol]
        others = [one for one in self.inputs.positions if one["market"] != symbol]
        rest = self.compute(positions=others, orders=[])["MMR"]
        value = float(self.said["account"]["account_value"])

        def mmr_at(price: float) -> float:
            moved = {**data, symbol: {**data[symbol], "mark_price": price}}
            return rest + self.compute(positions=own, orders=[], market_data=moved)["MMR"]

        found = self.margin.find_liquidation_price(
            mark,
            lambda price: value + size * (price - mark),
            mmr_at,
            scan_points=SCAN_POINTS,
            **search,
        )
        nearest: float | None = found["nearest"]
        return nearest


def equal(ours: float, theirs: float, scale: float) -> bool:
    """Whether two amounts agree as far as binary floating point can."""
    return abs(ours - theirs) <= max(ABSOLUTE_USD, RELATIVE * abs(scale))


def compare(one: Portfolio) -> Iterator[Compared]:
    """Every number of one portfolio that both sides know."""
    if one.unknown_index is not None:
        yield _unknown_index(one)
        return
    said = told(one.state)
    theirs = Library(said)
    usdc_price = float(one.state.known_usdc_price())
    full = theirs.compute()
    yield _margin(one, "initial margin", full["IMR"], _initial)
    yield _margin(
        one, "initial margin of positions", theirs.compute(orders=[])["IMR"], _position_initial
    )
    yield _margin(one, "maintenance margin", full["MMR"], _maintenance)
    yield _value(one, said, usdc_price)
    for position in said["positions"]["results"]:
        yield _funding(one, theirs, position, usdc_price)
        yield _liquidation(one, theirs, position)


Ours = Callable[[State, Account], Decimal]


def _initial(state: State, account: Account) -> Decimal:
    return initial_margin(account, state.known_prices(), state.rules).value


def _position_initial(state: State, account: Account) -> Decimal:
    return initial_margin(account, state.known_prices(), state.rules, with_orders=False).value


def _maintenance(state: State, account: Account) -> Decimal:
    return maintenance_margin(account, state.known_prices(), state.rules).value


#: What undoes a cause: the same portfolio as the library understands it.
def _market_leverage(state: State) -> State:
    account = state.accounts[ACCOUNT]
    plain = replace(account, standing=replace(account.standing, leverage={}))
    return replace(state, accounts={**state.accounts, ACCOUNT: plain})


def _netted(state: State) -> State:
    spec = replace(state.spec, open_size_rule=OpenSizeRule.NETTED)
    return replace(state, rules=replace(state.rules, exchange=spec))


_UNDOING = {LEVERAGE: _market_leverage, GROSS: _netted}


def _margin(one: Portfolio, what: str, theirs: float, ours: Ours) -> Compared:
    first = float(ours(one.state, one.account))
    for count in range(len(_UNDOING) + 1):
        for causes in combinations(_UNDOING, count):
            state = one.state
            for cause in causes:
                state = _UNDOING[cause](state)
            if equal(float(ours(state, state.accounts[ACCOUNT])), theirs, theirs):
                return Compared(what, one.number, first, theirs, " and ".join(causes))
    return Compared(what, one.number, first, theirs, None)


def _value(one: Portfolio, said: dict[str, Document], usdc_price: float) -> Compared:
    """Account value from the fields of the interface: the library leaves that to its caller."""
    ours = float(said["account"]["account_value"])
    (balance,) = said["balances"]["results"]
    theirs = scale = float(balance["size"]) * usdc_price
    for position in said["positions"]["results"]:
        mark = float(one.state.markets[position["market"]].known("mark_usd"))
        worth, cost = float(position["size"]) * mark, float(position["cost"]) * usdc_price
        theirs += worth - cost + float(position["unrealized_funding_pnl"])
        scale += abs(worth) + abs(cost) + abs(float(position["unrealized_funding_pnl"]))
    cause = "" if equal(ours, theirs, scale) else None
    return Compared("account value", one.number, ours, theirs, cause)


def _funding(one: Portfolio, theirs: Library, position: Document, usdc_price: float) -> Compared:
    index = float(one.state.markets[position["market"]].known("funding_index"))
    cached = float(position["cached_funding_index"])
    size = abs(float(position["size"]))
    pnl = theirs.margin.funding_pnl_from_index(cached, index, side=position["side"], size=size)
    ours, scale = float(position["unrealized_funding_pnl"]), size * (abs(index) + abs(cached))
    cause: str | None = None
    if equal(ours, pnl, scale):
        cause = ""
    elif equal(ours, pnl * usdc_price, scale):
        cause = USDC
    return Compared("accrued funding", one.number, ours, pnl, cause)


def _liquidation(one: Portfolio, theirs: Library, position: Document) -> Compared:
    mark = float(one.state.markets[position["market"]].known("mark_usd"))
    ours = float(position["liquidation_price"]) if position["liquidation_price"] else None
    found = theirs.liquidation_price(position)
    cause: str | None = None
    if ours is None:
        cause = "" if found is None else None
    elif found is not None:
        cause = _same_price(one, theirs, position, (ours, found))
    elif not 0.01 * mark < ours < 5 * mark:
        wider = theirs.liquidation_price(
            position, lo_factor=ours / mark / 2, hi_factor=ours / mark * 2
        )
        if wider is not None and _same_price(one, theirs, position, (ours, wider)) is not None:
            cause = RANGE
    return Compared("liquidation price", one.number, ours, found, cause)


def _same_price(
    one: Portfolio, theirs: Library, position: Document, prices: tuple[float, float]
) -> str | None:
    ours, found = prices
    spec = one.state.rules.markets[position["market"]]
    fee = float(theirs.inputs.market_data[position["market"]]["fee_rate"])
    size, sign = abs(float(position["size"])), 1 if position["side"] == "LONG" else -1
    slope = size * abs(1 - sign * (float(spec.imf_base * spec.mmf_factor) + fee))
    amounts = [abs(float(other["cost_usd"])) for other in theirs.said["positions"]["results"]]
    off_usd = abs(ours - found) * slope
    if abs(ours - found) <= RELATIVE * found:
        return ""
    if abs(ours - found) <= 0.5e-8 + RELATIVE * found:
        return ROUNDED
    return SEARCH if off_usd <= 2e-8 + 1e-12 * sum(amounts) else None


def _unknown_index(one: Portfolio) -> Compared:
    """Ours refuses to tell what nobody knows; the library takes it for nothing."""
    assert one.unknown_index is not None
    size = float(abs(one.account.positions[one.unknown_index].size))
    theirs = library("margin").funding_pnl_from_index(1.0, None, side="LONG", size=size)
    try:
        told(one.state)
    except Missing:
        return Compared("accrued funding", one.number, None, theirs, NO_INDEX)
    return Compared("accrued funding", one.number, 0.0, theirs, None)


def run(*, seed: int, portfolios: int) -> tuple[Compared, ...]:
    """Compare so many portfolios."""
    return tuple(
        compared for number in range(portfolios) for compared in compare(portfolio(seed, number))
    )


def main(arguments: list[str] | None = None) -> int:
    """Print what was compared, what was equal, and the differences by cause."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.margin_oracle")
    parser.add_argument("--portfolios", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    found = run(seed=options.seed, portfolios=options.portfolios)
    say(f"{'number':<28}{'compared':>10}{'equal':>10}{'explained':>11}{'unexplained':>13}")
    for name in dict.fromkeys(one.what for one in found):
        mine = [one for one in found if one.what == name]
        same = sum(one.cause == "" for one in mine)
        unknown = sum(one.cause is None for one in mine)
        explained = len(mine) - same - unknown
        say(f"{name:<28}{len(mine):>10}{same:>10}{explained:>11}{unknown:>13}")
    say("differences by cause")
    for cause, count in Counter(one.cause for one in found if one.cause).most_common():
        say(f"{count:>7}  {cause}")
    unexplained = [one for one in found if one.cause is None]
    say(f"{options.portfolios} portfolios, {len(found)} numbers, unexplained {len(unexplained)}")
    for one in unexplained[:10]:
        say(str(one))
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
