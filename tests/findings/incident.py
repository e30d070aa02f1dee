"""A finding of the size of a real one: hundreds of events, whole rows, and all that followed."""

from __future__ import annotations

from dataclasses import replace

from harness.findings.finding import Change, Counterfactual, Finding, Violation
from harness.history import Event, Site
from harness.schedule.choices import FAULT, Deviation
from tests.findings.sample import sample

MARKETS = ("BTC-USD-PERP", "ETH-USD-PERP", "PAXG-USD-PERP")
INDICES = ("-2819.52949889", "-97.31834481", "-141.60229063")
TRADERS = 4
LIQUIDATED = 41
STEPS = 1400

_MARKET_DATA = "target_stub/cloud/market_data.py"
_ROW = "spot_usd={spot}, averages=Averages(bid=None, ask=None), funding_index={index}, rate=0.0003"


def _row(spot: int, index: str) -> str:
    return _ROW.format(spot=spot, index=index)


def _put_all(step: int, at_ms: int, lane: str, spot: int, after: str) -> list[Event]:
    site = Site(_MARKET_DATA, 159, "MarketData.persist")
    return [
        Event(
            step,
            at_ms,
            lane,
            "write",
            "put all",
            f"database/markets/{market}",
            before=_row(spot, index),
            after=_row(spot + 1, after or index),
            peer="database",
            site=site,
        )
        for market, index in zip(MARKETS, INDICES, strict=True)
    ]


def _published(step: int) -> list[Event]:
    """Each market: the chain is asked, does it, and answers."""
    events = []
    for number, (market, index) in enumerate(zip(MARKETS, INDICES, strict=True)):
        now = step + 10 * number
        place = f"chain/markets/{market}"
        events += [
            Event(now - 1, 10788, "chain#1", "receive", "request", peer="publisher#1"),
            Event(
                now,
                10788,
                "chain#1",
                "write",
                f"publish {market}",
                place,
                "mark 91957",
                index,
                "0E-8",
                "chain",
            ),
        ]
    return events


def _liquidated(step: int) -> list[Event]:
    events = []
    for number in range(LIQUIDATED):
        now, name = step + 8 * number, f"account-{number:02}"
        events += [
            Event(now - 1, 12500, "chain#1", "receive", "request", peer="risk#1"),
            Event(
                now,
                12500,
                "chain#1",
                "write",
                f"liquidate {name}",
                f"chain/liquidations/{name}",
                "100 % for 526.01 USDC",
                peer="chain",
            ),
        ]
    return events


def _noise() -> list[Event]:
    """Traders who have nothing to do with it, and every so often a quote."""
    order = "PlaceOrder(id='order', at_ms=635, account='perez', side='buy', size='0.02')"
    events = [
        Event(
            step, 10 * step, f"trader{step % TRADERS}", "send", "call", "orders", order, peer="mode"
        )
        for step in range(50, STEPS, 3)
    ]
    quotes = [
        Event(step, 10 * step, "oracle#1", "send", "publish", "oracle", order * 4, peer="network")
        for step in range(60, STEPS, 40)
    ]
    return events + quotes


def _history() -> tuple[Event, ...]:
    def phase(step: int, lane: str, operation: str, peer: str = "") -> Event:
        return Event(step, 0, lane, "phase", operation, lane if not peer else "", peer=peer)

    events = [
        *(phase(1, lane, "boot") for lane in ("chain#1", "risk#1", "publisher#1", "market_data#1")),
        phase(5, "market_data#1", "ready"),
        *_put_all(244, 5000, "market_data#1", 93000, ""),
        phase(411, "operator", "maintenance: away", peer="database"),
        Event(
            438,
            8820,
            "nemesis",
            "fault",
            "crash",
            "market_data#1",
            after="down",
            peer="market_data#1",
        ),
        phase(450, "market_data#2", "boot"),
        phase(460, "market_data#2", "hydrate"),
        phase(567, "operator", "maintenance: over", peer="database"),
        phase(568, "market_data#3", "boot"),
        *_put_all(589, 10788, "market_data#2", 91884, "0E-8"),
        *_published(595),
        phase(627, "market_data#2", "ready"),
        phase(640, "market_data#2", "stopped"),
        *_liquidated(742),
        *_noise(),
    ]
    return tuple(sorted(events, key=lambda event: event.step))


def _violations() -> tuple[Violation, ...]:
    """What the rules say of it: for each market in the store, then on the chain, then the money."""
    first = [_index_broken("database/markets", n, 589) for n in range(3)]
    chain = [_index_broken("chain/markets", n, 595 + 10 * n) for n in range(3)]
    others = [
        Violation(
            name,
            f"{name} does not hold for {market}",
            589,
            resource=f"database/markets/{market}",
            lane="market_data#2",
            operation="put all",
        )
        for market in MARKETS
        for name in ("nothing_reverts_to_a_default", "nobody_writes_before_it_is_ready")
    ]
    money = Violation(
        "liquidations_are_justified",
        "41 accounts were liquidated that were not below their maintenance margin; 59,794.10 USDC "
        "were taken from them.",
        742,
        12500,
        consequence="Worst: account-07 lost 3,255.69 USDC.",
        resource="chain/liquidations",
        lane="risk",
        operation="liquidate",
        accounts=tuple(f"account-{number:02}" for number in range(LIQUIDATED)),
        loss_usdc="59794.10",
    )
    return (first[0], *others, *first[1:], *chain, money)


def _index_broken(place: str, number: int, step: int) -> Violation:
    market, index = MARKETS[number], INDICES[number]
    return Violation(
        invariant="funding_index_step_is_bounded",
        message=f"The {market} funding index jumped from {index} to 0",
        step=step,
        at_ms=10788,
        describe="an index moves by what the rate allows; everything beyond is taken from somebody",
        consequence="Left alone, longs owe 84,126.30 USDC of funding that nobody earned.",
        resource=f"{place}/{market}",
        before=index,
        after="0.00000000",
        lane="market_data#2",
        operation="put all",
        site=f"{_MARKET_DATA}:159 MarketData.persist",
        phase="hydrate",
        changes=(Change(244, "-2819.53434361", index), Change(step, index, "0.00000000")),
    )


def incident() -> Finding:
    """The race of 19 January 2026 as it is really found."""
    taken, first = "nemesis: crash restart of market_data", "trader2: run"
    return replace(
        sample(),
        token="paradex-2026-01-19@1:438=8",
        violations=_violations(),
        deviations=(Deviation(438, 8, taken, first, "nemesis", FAULT, 8820),),
        counterfactuals=(Counterfactual(438, taken, first, holds=True),),
        steps=STEPS,
        history=_history(),
        held=(
            "recovered_state_is_durable_state",
            "published_is_committed",
            "positions_sum_to_zero",
            "cash_is_conserved",
            "effects_happen_once",
        ),
    )
