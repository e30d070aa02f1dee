"""Rules about services and their incarnations: what they go on from, and what they may do when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from harness.history import Event, History
from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.rules.view import Parameters, Recovery, Row, Saved, Writers


def recovered_state_is_durable_state(saved: Saved) -> Invariant:
    """I3: what a service knows when it is ready was durable, as a whole, since it booted."""
    booted: dict[str, int] = {}

    def check(event: Event) -> object:
        if event.after == "boot":
            booted[event.lane] = len(saved.versions) - 1
        if event.kind != "phase" or event.after != "ready" or event.lane not in booted:
            return NOTHING_TO_JUDGE
        recovered = saved.recovered(event.lane)
        if recovered is None:
            return NOTHING_TO_JUDGE
        for version in saved.versions[booted[event.lane] :]:
            if all(_contains(row, recovered[market]) for market, row in version.items()):
                return None
        raise Broken(
            f"{event.lane} is ready with values that were not durable together since it booted: "
            + "; ".join(
                f"{market} index {row['funding_index']}, premium {row['premium_usdc']}"
                for market, row in recovered.items()
            )
        )

    return invariant_of(
        check,
        name="recovered_state_is_durable_state",
        describe="A service goes on from what was saved, not from something it made up meanwhile.",
        on=saved.on,
    )


def _contains(row: Row, part: Row) -> bool:
    return all(row[name] == value for name, value in part.items())


def published_is_committed(saved: Saved) -> Invariant:
    """I4: what everybody is told of a market was committed, as one version."""

    def check(event: Event) -> object:
        market = event.resource.rpartition("/")[2]
        told = saved.published(market)
        if any(_contains(version[market], told) for version in reversed(saved.versions)):
            return None
        mark, index = told["mark_usd"], told["funding_index"]
        raise Broken(
            f"The chain was told mark {mark} and index {index} for {market}, which was never "
            "committed.",
            after=index,
        )

    return invariant_of(
        check,
        name="published_is_committed",
        describe="Everybody settles by one set of books: nothing is published that is not saved.",
        on=saved.published_on,
    )


def older_incarnation_never_overwrites(writers: Writers) -> Invariant:
    """I5: once a newer incarnation has taken over, an older one writes no more."""

    def check(event: Event) -> object:
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        held = writers.in_charge()
        writer = int(event.lane.rpartition("#")[2] or 0)
        if held is not None and writer < held:
            raise Broken(
                f"{event.lane} wrote {event.resource} although incarnation {held} had taken over.",
                before=event.before,
                after=event.after,
            )
        return None

    return invariant_of(
        check,
        name="older_incarnation_never_overwrites",
        describe="A service that was replaced must not undo what its successor did with the money.",
        on=writers.on,
    )


def nobody_writes_before_it_is_ready(writers: Writers) -> Invariant:
    """I13: an incarnation writes market rows only once it is ready and has loaded all of them.

    What it says of itself is not enough: the database knows what it has read.
    """
    listed = frozenset(writers.markets)
    loaded: dict[str, set[str]] = {}

    def check(event: Event) -> object:
        market = event.resource.rpartition("/")[2]
        mine = loaded.setdefault(event.lane, set())
        if event.kind == "read" and event.operation in ("scan", "get"):
            mine |= listed if market == "*" else {market}
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        phase = writers.phase_of(event.lane)
        if phase in ("boot", "hydrate") or mine != listed:
            missing = ", ".join(sorted(listed - mine))
            raise Broken(
                f"{event.lane} wrote {market} in phase {phase}"
                + (f" and had yet to load {missing}." if missing else ", before it was ready."),
                before=event.before,
                after=event.after,
            )
        return None

    return invariant_of(
        check,
        name="nobody_writes_before_it_is_ready",
        describe="A service that does not know yet must not decide about money.",
        on=writers.on,
    )


def recovery_completes(recovery: Recovery) -> Invariant:
    """I20: who boots is ready in time, and does not read the same thing again without a bound.

    A read that fails may be tried as often as it takes; one that succeeded and is made again is a
    recovery that begins anew. The time in which the order was unfair does not count: it can hold
    off anybody.
    """

    def check(history: History) -> object:
        booting: dict[str, int] = {}
        reads: Counter[tuple[str, str]] = Counter()
        on, judged, now_ms = tuple(recovery.on), False, 0
        fair_from_ms = history.fair_from_ms
        if fair_from_ms is None:
            fair_from_ms = history[-1].at_ms if len(history) else 0
        for event in history:
            now_ms = event.at_ms
            if event.kind == "phase":
                judged |= event.after == "ready"
                _follow(booting, event, fair_from_ms, recovery.ready_ms_max)
            elif event.kind == "fault":
                booting.pop(event.resource, None)
            elif event.lane in booting and event.resource.startswith(on) and has_succeeded(event):
                reads[event.lane, event.resource] += 1
                if reads[event.lane, event.resource] > recovery.reads_max:
                    raise _begins_anew(event, recovery.reads_max)
        for lane, since_ms in booting.items():
            if now_ms - max(since_ms, fair_from_ms) > recovery.ready_ms_max:
                raise _not_ready(lane, since_ms, now_ms)
        return None if judged else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="recovery_completes",
        describe=(
            "Nobody can close a position at an exchange that does not come back: what recovers is "
            "ready in time, and what is computed again is so a bounded number of times."
        ),
        at_end=True,
    )


def has_succeeded(event: Event) -> bool:
    """Whether this tells of a read that was answered."""
    if event.kind == "read":
        return True
    return event.operation == "answer" and not hasattr(event.value, "error")


def _begins_anew(event: Event, reads_max: int) -> Broken:
    return Broken(
        f"{event.lane} has read {event.resource} more than {reads_max} times and is still not "
        f"ready at {event.at_ms / 1000:g} s.",
        lane=event.lane,
        operation=event.operation,
        resource=event.resource,
        step=event.step,
        at_ms=event.at_ms,
    )


def _follow(booting: dict[str, int], event: Event, fair_from_ms: int, ready_ms_max: int) -> None:
    """Who is coming back, since when; Broken when it took too long."""
    if event.after == "boot":
        booting[event.lane] = event.at_ms
    elif event.after != "hydrate" and event.lane in booting:
        since_ms = booting.pop(event.lane)
        took_ms = event.at_ms - max(since_ms, fair_from_ms)
        if event.after == "ready" and took_ms > ready_ms_max:
            raise _not_ready(event.lane, since_ms, event.at_ms)


def _not_ready(lane: str, since_ms: int, now_ms: int) -> Broken:
    took_s = (now_ms - since_ms) / 1000
    return Broken(
        f"{lane} booted at {since_ms / 1000:g} s and was not ready {took_s:g} s later.",
        lane=lane,
        at_ms=now_ms,
        resource=f"lifecycle/{lane}",
    )


def everybody_works_by_one_set_of_parameters(parameters: Parameters) -> Invariant:
    """I21: whenever somebody acts, all who are alive work by the same version and parameters."""

    def check(event: Event) -> object:
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        known: dict[str, tuple[str, object]] = {}
        in_force: Mapping[str, Row] = parameters.in_force()
        for lane, row in in_force.items():
            for name, value in row.items():
                other, theirs = known.setdefault(name, (lane, value))
                if theirs != value:
                    raise Broken(
                        f"{event.lane} wrote {event.resource} while {name} is {value} for {lane} "
                        f"and {theirs} for {other}.",
                        before=theirs,
                        after=value,
                    )
        return None if len(in_force) > 1 else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="everybody_works_by_one_set_of_parameters",
        describe=(
            "A price, a margin or a funding rate is computed by one set of rules: nobody acts "
            "while two parts of the exchange go by different parameters."
        ),
        on=parameters.on,
    )
