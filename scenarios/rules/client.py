"""Rules about what a client was told: they compare his testimony with what the exchange did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.customer import ACCEPTED, REFUSED, Testimony
from scenarios.exchange import Exchange
from target_stub.core import Command, Event, Filled, FillType, PlaceOrder
from target_stub.core.events import FillSide, OrderAccepted
from target_stub.core.money import exact, plain

#: Everything that matching did, in order.
Done = Callable[[], Sequence[tuple[Command, tuple[Event, ...]]]]
Document = Mapping[str, Any]


def acknowledgements_are_true(testimony: Testimony, done: Done) -> Invariant:
    """I19: a refused order never takes effect, an accepted one did once, none took effect twice."""

    def check() -> object:
        if not testimony.attempts:
            return NOTHING_TO_JUDGE
        taken: Counter[str] = Counter()
        for command, events in done():
            if isinstance(command, PlaceOrder) and command.account == testimony.account:
                taken[command.client_id or ""] += any(
                    isinstance(event, OrderAccepted) and event.order.id == command.id
                    for event in events
                )
        for attempt in testimony.attempts:
            times, told = taken[attempt.client_id], attempt.outcome
            ended = attempt.answer is not None and attempt.answer["status"] == "CLOSED"
            least = int(told == ACCEPTED and not ended)
            most = int(told != REFUSED)
            if not least <= times <= most:
                raise Broken(
                    f"Order {attempt.client_id} ({attempt.side} {plain(attempt.size)} @ "
                    f"{plain(attempt.price)}) was told to be {told} and taken {times} times.",
                    consequence=f"Its sender heard: {attempt.refusal or attempt.answer}",
                    accounts=(testimony.account,),
                )
        return None

    return invariant_of(
        check,
        name="acknowledgements_are_true",
        describe=(
            "An order that was refused never trades, one that was accepted was taken once; "
            "otherwise its sender trades again what he has traded already."
        ),
        at_end=True,
    )


def sequence_numbers_increase(testimony: Testimony) -> Invariant:
    """What comes later on one channel has a higher number, whoever restarted in between."""

    def check() -> object:
        last: dict[str, int] = {}
        for where, document in testimony.heard:
            if "seq_no" not in document:
                continue
            number, before = document["seq_no"], last.get(where)
            if before is not None and number <= before:
                raise Broken(
                    f"{where} told {number} after {before}; the client takes it for old news "
                    f"and drops it.",
                    accounts=(testimony.account,),
                )
            last[where] = number
        return None if last else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="sequence_numbers_increase",
        describe="Every number of a channel is above the one before it: clients drop the others.",
        at_end=True,
    )


def told_fills_happened(testimony: Testimony, exchange: Exchange) -> Invariant:
    """Every fill that was told is on the chain, and whoever asks is told all that are there."""

    def check() -> object:
        settled: dict[str, tuple[Filled, FillSide]] = {}
        due: list[str] = []
        for block in exchange.chain.blocks:
            for fill, role, side in parts(block.events):
                if side.account == testimony.account:
                    name = f"{block.command.id}-{role}"
                    settled[name] = fill, side
                    due += [name] if block.height <= testimony.asked_at_height else []
        told = [one for where, one in testimony.heard if where.startswith("fills.")]
        for document in (*told, *(testimony.fills or ())):
            check_fill(document, settled, testimony)
        if testimony.fills is None:
            return NOTHING_TO_JUDGE
        listed = {document["id"] for document in testimony.fills}
        for name in due:
            if name not in listed:
                raise Broken(f"Fill {name} was never told.", accounts=(testimony.account,))
        return None if settled else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="told_fills_happened",
        describe="Every fill that a client is told of was settled, with this price, size and fee.",
        at_end=True,
    )


def parts(events: tuple[Event, ...]) -> Iterator[tuple[Filled, str, FillSide]]:
    """Both sides of every trade among some events."""
    for event in events:
        if isinstance(event, Filled) and event.fill_type is FillType.FILL:
            yield event, "maker", event.maker
            yield event, "taker", event.taker


def check_fill(
    document: Document, settled: Mapping[str, tuple[Filled, FillSide]], testimony: Testimony
) -> None:
    """One fill that was told is one that happened."""
    name = document["id"]
    if name not in settled:
        raise Broken(f"Fill {name} was told and never settled.", accounts=(testimony.account,))
    fill, side = settled[name]
    true = (plain(fill.size), plain(fill.price.value), plain(side.fee.value), side.side.upper())
    said = tuple(document[key] for key in ("size", "price", "fee", "side"))
    if said != true:
        raise Broken(f"Fill {name} was told as {said}, it was {true}.")


def positions_add_up_to_fills(testimony: Testimony) -> Invariant:
    """The position that a client is told is the sum of the fills that he is told."""

    @exact
    def held(documents: list[dict[str, Any]]) -> dict[str, Decimal]:
        sizes: dict[str, Decimal] = {}
        for fill in documents:
            sign = 1 if fill["side"] == "BUY" else -1
            sizes[fill["market"]] = sizes.get(fill["market"], Decimal(0)) + sign * Decimal(
                fill["size"]
            )
        return {market: size for market, size in sizes.items() if size}

    def check() -> object:
        if not testimony.fills or testimony.positions is None:
            return NOTHING_TO_JUDGE
        told = {one["market"]: Decimal(one["size"]) for one in testimony.positions}
        bought = held(testimony.fills)
        if told != bought:
            raise Broken(
                f"{testimony.account} was told of fills that come to {bought} and holds {told}.",
                accounts=(testimony.account,),
            )
        return None

    return invariant_of(
        check,
        name="positions_add_up_to_fills",
        describe="A client who adds up his fills arrives at the position that he is told.",
        at_end=True,
    )


def closed_orders_stay_closed(testimony: Testimony) -> Invariant:
    """An order that was told to be closed never turns up as open again."""

    def check() -> object:
        closed: dict[str, str] = {}
        for where, document in testimony.heard:
            if not where.startswith(("orders.", "GET /orders")):
                continue
            name = document["id"]
            if document["status"] == "CLOSED":
                closed[name] = where
            elif name in closed:
                raise Broken(
                    f"{where} tells order {name} as {document['status']} after {closed[name]} "
                    f"told it as closed.",
                    accounts=(testimony.account,),
                )
        return None if closed else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="closed_orders_stay_closed",
        describe="What a client has crossed off his books does not trade behind his back.",
        at_end=True,
    )
