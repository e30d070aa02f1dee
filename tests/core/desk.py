"""A small exchange with round numbers, for the tests of orders, modes and funds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from target_stub.core import (
    BTC_USD_PERP,
    JANUARY_2026,
    LIQUIDATOR_VAULT,
    Event,
    ExchangeSpec,
    MarketSpec,
    PlaceOrder,
    Reason,
    Rejected,
    SeedPosition,
    Session,
    Side,
    Usdc,
)
from target_stub.core.events import OrderCancelled

ROUND = replace(
    BTC_USD_PERP,
    symbol="XYZ-USD-PERP",
    price_tick=Decimal("0.01"),
    order_size_increment=Decimal(1),
    position_limit=Decimal(10_000),
    max_order_size=Decimal(10_000),
    price_bands_width=Decimal("0.5"),
)
XYZ = ROUND.symbol
PEOPLE = ("alice", "bob", "carol", LIQUIDATOR_VAULT)


def opened(
    spec: ExchangeSpec = JANUARY_2026,
    *,
    market: MarketSpec = ROUND,
    mark: int = 100,
    sizes: Mapping[str, int] | None = None,
    balance: int = 1_000_000,
    external_rates: tuple[Decimal, ...] = (),
) -> Session:
    """Everybody has the same balance; ``sizes`` are positions entered at the mark price."""
    session = Session.opened(
        spec,
        [market],
        marks_usd={market.symbol: Decimal(mark)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={name: Usdc.of(balance) for name in PEOPLE},
        positions=[
            SeedPosition(
                account=name,
                market=market.symbol,
                size=Decimal(size),
                entry_price_usdc=Decimal(mark),
                cached_funding_index=Decimal(0),
            )
            for name, size in (sizes or {}).items()
        ],
    )
    if external_rates:
        session.spot(
            market.symbol, Decimal(mark), usdc_price=Decimal(1), external_rates=external_rates
        )
    return session


def place(
    session: Session, order: PlaceOrder, *, command_id: str | None = None
) -> tuple[Event, ...]:
    """Place an order at the time of the session, under an id of its own unless one is given."""
    return session.do(replace(order, id=command_id or order.id, at_ms=session.at_ms))


def orders(session: Session, account: str) -> list[tuple[str, int]]:
    """The open orders of an account: id and what is left of it, oldest first."""
    found = session.state.account(account).orders.values()
    oldest_first = sorted(found, key=lambda order: order.sequence)
    return [(order.id, int(order.remaining)) for order in oldest_first]


def position(session: Session, account: str, market: str = XYZ) -> Decimal:
    """The signed size of an account."""
    return session.state.account(account).size(market)


def refused(events: tuple[Event, ...]) -> Reason | None:
    """Why the last event refused or cancelled something, None if it did neither."""
    last = events[-1]
    return last.reason if isinstance(last, Rejected | OrderCancelled) else None


def limit(command_id: str, account: str, side: Side, size: int, price: str | int) -> PlaceOrder:
    """A limit order, to be changed by ``replace`` where it should be something else."""
    return PlaceOrder(
        id=command_id,
        at_ms=0,
        account=account,
        market=XYZ,
        side=side,
        size=Decimal(size),
        price=Decimal(price),
    )
