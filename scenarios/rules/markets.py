"""Rules about market values, wherever they are written: index, mark price and time.

Conservation cannot see a wrong funding index, because signed positions sum to zero under any index
at all. These rules look across time instead, and at an opinion from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from harness.findings.finding import Change
from harness.history import Event
from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.rules.money import plain, usdc
from scenarios.rules.view import Reference, Value, Values


class _Last:
    """The values before: what every place said last, by its resource."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.known = dict(values.opening())

    def step(self, event: Event) -> tuple[Value, Value] | None:
        """The values before and after a write; nothing if it is no write, or the first."""
        if event.kind != "write":
            return None
        after = self.values.after(event)
        before = self.known.get(event.resource)
        self.known[event.resource] = after
        return None if before is None else (before, after)


def funding_index_step_is_bounded(values: Values) -> Invariant:
    """I1: a funding index moves by no more than the capped rate allows for the time that passed.

    |step| <= cap of the rate x spot / USDC price x elapsed / period; the elapsed time counts as
    one tick at least, because two incarnations may write for the same tick.
    """
    last = _Last(values)
    changes: dict[str, list[Change]] = {}

    def check(event: Event) -> object:
        step = last.step(event)
        if step is None:
            return NOTHING_TO_JUDGE
        before, after = step
        seen = changes.setdefault(event.resource, [])
        seen.append(Change(event.step, plain(before.index), plain(after.index)))
        elapsed_ms = max(abs(after.at_ms - before.at_ms), values.tick_ms)
        bound = values.step_max(before, after, elapsed_ms)
        moved = after.index - before.index
        if abs(moved) <= bound:
            return None
        raise Broken(
            f"The {after.market} funding index jumped from {plain(before.index)} to "
            f"{plain(after.index)} ({after.place}). In {elapsed_ms / 1000:g} s funding can move it "
            f"by {plain(bound)} at most.",
            before=plain(before.index),
            after=plain(after.index),
            changes=seen[-2:],
            consequence=_consequence(values.sizes(after.market), moved),
        )

    return invariant_of(
        check,
        name="funding_index_step_is_bounded",
        describe=(
            "A funding index moves by no more than the capped funding rate allows for the time "
            "that passed; everything beyond is money taken from one side and given to the other."
        ),
        on=values.on,
    )


def _consequence(sizes: Sequence[Decimal], step: Decimal) -> str:
    longs = sum((size for size in sizes if size > 0), Decimal(0))
    payer, receiver = ("longs", "shorts") if step > 0 else ("shorts", "longs")
    return (
        f"Left alone, {payer} owe {usdc(abs(step) * longs)} of funding that nobody earned, and "
        f"{receiver} are credited with it: {len(sizes)} positions."
    )


def nothing_reverts_to_a_default(values: Values) -> Invariant:
    """I2: no price, index or time of a market becomes 0 or nothing without saying so."""
    last = _Last(values)

    def check(event: Event) -> object:
        step = last.step(event)
        if step is None or not step[1].never_zero:
            return NOTHING_TO_JUDGE
        before, after = step
        for name, value in after.never_zero.items():
            known = before.never_zero.get(name)
            if known and not value:
                raise Broken(
                    f"{name} of {after.market} went from {known} to {_shown(value)}: a "
                    "missing value was taken for a number.",
                    before=known,
                    after=_shown(value),
                )
        return None

    return invariant_of(
        check,
        name="nothing_reverts_to_a_default",
        describe="Missing is not zero: a price or an index of 0 is a fortune for one side.",
        on=values.on,
    )


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def marks_are_near_an_outside_price(values: Values, reference: Reference) -> Invariant:
    """I12: a mark price is positive, finite and within a band round what others quote."""

    def check(event: Event) -> object:
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        value = values.after(event)
        low, high = reference.band(value.market, value.at_ms)
        if value.mark.is_finite() and value.mark > 0 and low <= value.mark <= high:
            return None
        raise Broken(
            f"The {value.market} mark price is {plain(value.mark)} ({value.place}); the outside "
            f"world explains {plain(low)} to {plain(high)}.",
            after=plain(value.mark),
            consequence="Margins, triggers and liquidations are computed from it.",
        )

    return invariant_of(
        check,
        name="marks_are_near_an_outside_price",
        describe=(
            "Nobody's margin is computed from a price that only this exchange has seen: every mark "
            "is positive, finite and near what independent sources quoted at that time."
        ),
        on=values.on,
    )


def market_time_never_runs_back(values: Values) -> Invariant:
    """I14: the time of a market's values never runs back, and no funding accrues over a gap."""
    last = _Last(values)

    def check(event: Event) -> object:
        step = last.step(event)
        if step is None or not step[1].is_ordered:
            return NOTHING_TO_JUDGE
        before, after = step
        elapsed_ms = after.at_ms - before.at_ms
        if elapsed_ms < 0:
            raise Broken(
                f"The time of {after.market} ran back by {-elapsed_ms / 1000:g} s "
                f"({after.place}): from {before.at_ms} to {after.at_ms} ms.",
                before=before.at_ms,
                after=after.at_ms,
                consequence="The funding of that time is paid a second time.",
            )
        if elapsed_ms > _at_most(values.gap_ms_max) and after.index != before.index:
            raise Broken(
                f"{after.market} was not updated for {elapsed_ms / 1000:g} s, and its index moved "
                f"by {plain(after.index - before.index)} over that gap.",
                before=plain(before.index),
                after=plain(after.index),
            )
        return None

    return invariant_of(
        check,
        name="market_time_never_runs_back",
        describe=(
            "Funding is paid for time that passed, once: a clock that jumps back charges a time "
            "again, and an outage that is too long is nobody's to pay for."
        ),
        on=values.on,
    )


def _at_most(gap_ms: int | None) -> float:
    return float("inf") if gap_ms is None else gap_ms
