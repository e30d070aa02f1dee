"""The people of the whole exchange: customers who draw what they do, and three who have a plan.

The careful one protects a position and then sells a part of it. The spendthrift buys and withdraws
his money at the same moment; whoever of matching and the chain hears of it first believes him.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import trio

from harness.history import derive_seed
from scenarios.exchange import Exchange
from scenarios.january import MARKETS
from scenarios.people import Population, population
from target_stub.cloud.customer import Customer, now_ms
from target_stub.cloud.trader import Instrument
from target_stub.core import OrderKind, PlaceOrder, SeedPosition, Side, Trigger, Usdc

#: Two markets; the price of the first falls at four seconds.
LISTED = MARKETS[:2]
PAIRS, CUSTOMERS = 3, 3
#: What four of the traders hold, long or short, in steps of the size of their market.
HELD_STEPS = 100
#: In seconds of virtual time: customers act about so often, until then.
EVERY_S, UNTIL_S = 0.8, 11.0
#: When the careful one, who is long in the first market, protects his position, and when he sells
#: a part of it; the fall takes the rest.
PROTECTS_AT_S, SELLS_AT_S = 0.6, 1.4
#: When the spendthrift buys and withdraws at once, in the second market.
SPENDS_AT_S = 6.2
#: How long before that somebody else makes the offer or the bid that is then met.
EARLIER_S = 0.3
#: What the careful one, the spendthrift and those who trade with them are called.
ROLES = ("careful", "bidder", "spendthrift", "offerer")


def people_of(seed: int) -> Population:
    """A few pairs of positions, the two thin ones, and traders some of whom hold something too."""
    listings = tuple(listing for _, _, listing in LISTED)
    everybody = population(seed, 2 * PAIRS, listings)
    held = [
        SeedPosition(
            account=name,
            market=listing.market,
            size=sign * listing.size_step * HELD_STEPS,
            entry_price_usdc=listing.entry_price_usdc,
            cached_funding_index=listing.funding_index,
        )
        for names, listing in zip(
            (everybody.traders[:2], everybody.traders[2:4]), listings, strict=True
        )
        for name, sign in zip(names, (1, -1), strict=True)
    ]
    return replace(everybody, positions=(*everybody.positions, *held))


def instruments() -> tuple[Instrument, ...]:
    """What customers trade: their price is that after the fall, their tick a hundred real ones."""
    return tuple(
        Instrument(
            market=market.symbol,
            price_usd=(path.start_usd * (1 - path.fall)).quantize(path.tick_usd),
            tick_usd=path.tick_usd * 100,
            size=listing.size_step * 20,
        )
        for market, path, listing in LISTED
    )


def make_customer(exchange: Exchange, name: str, accounts: tuple[str, ...]) -> Customer:
    """One customer with accounts of its own."""
    world = exchange.world
    customer = exchange.bug.variant(Customer)(
        name,
        network=exchange.network,
        accounts=accounts,
        instruments=instruments(),
        random=Random(derive_seed(world.seed, name)),
        every_s=EVERY_S,
        until_s=UNTIL_S,
        does=world.does,
    )
    exchange.traders.append(customer)
    return customer


def make_customers(exchange: Exchange) -> list[Customer]:
    """Those who draw what they do; each has one account that holds something, and another one."""
    traders = exchange.people.traders
    return [
        make_customer(exchange, f"customer{number}", (traders[1 + number], traders[4 + number]))
        for number in range(CUSTOMERS)
    ]


def make_roles(exchange: Exchange) -> Mapping[str, Customer]:
    """Those who have a plan, by their role."""
    careful, *_, spendthrift = exchange.people.traders
    accounts = (careful, exchange.people.traders[4], spendthrift, exchange.people.traders[5])
    return {
        role: make_customer(exchange, role, (account,))
        for role, account in zip(ROLES, accounts, strict=True)
    }


async def place(customer: Customer, what: str, market: int, **options: Any) -> None:
    """Place an order of a plan, unless this schedule leaves it out."""
    if not customer.does(customer.name):
        return
    (account,) = customer.accounts
    await customer.submit(
        PlaceOrder(
            id=f"{customer.name}-{what}",
            at_ms=now_ms(),
            account=account,
            market=customer.instruments[market].market,
            **options,
        )
    )


async def be_careful(careful: Customer, bidder: Customer) -> None:
    """Protect a long position by a TP/SL pair, and sell a part of it to whoever bids."""
    (_, path, listing), size = LISTED[0], careful.instruments[0].size
    price_usd = path.start_usd
    await trio.sleep_until(PROTECTS_AT_S)
    for trigger, at_usd in (
        (Trigger.TAKE_PROFIT, price_usd * Decimal("1.1")),
        (Trigger.STOP_LOSS, price_usd * Decimal("0.995")),
    ):
        await place(
            careful,
            trigger,
            0,
            side=Side.SELL,
            size=listing.size_step * HELD_STEPS,
            kind=OrderKind.MARKET,
            trigger=trigger,
            trigger_price=at_usd,
            pair="careful",
        )
    await trio.sleep_until(SELLS_AT_S - EARLIER_S)
    await place(bidder, "bid", 0, side=Side.BUY, size=size, price=price_usd)
    await trio.sleep_until(SELLS_AT_S)
    await place(careful, "sale", 0, side=Side.SELL, size=size, price=price_usd)


async def spend_twice(spendthrift: Customer, offerer: Customer, exchange: Exchange) -> None:
    """Buy and withdraw everything at once: the chain may refuse a trade that was matched."""
    (_, path, _), size = LISTED[1], spendthrift.instruments[1].size
    (account,) = spendthrift.accounts
    await trio.sleep_until(SPENDS_AT_S - EARLIER_S)
    await place(offerer, "offer", 1, side=Side.SELL, size=size * 3, price=path.start_usd)
    await trio.sleep_until(SPENDS_AT_S)
    everything = Usdc(exchange.chain.state.account(account).balance_usdc - 1)
    async with trio.open_nursery() as nursery:
        if spendthrift.does(spendthrift.name):
            nursery.start_soon(spendthrift.withdraw, account, everything)
        for number in (1, 2):
            await place(
                spendthrift, f"buy{number}", 1, side=Side.BUY, size=size, price=path.start_usd
            )
