"""Smaller schedules worth a try: what a shrinker may run instead of the failing run it has.

Every candidate is derived from one failing run alone and has a name, so that whoever goes on
later knows what has been tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from harness.engine import Run
from harness.findings.finding import Constraint, StepName
from harness.schedule.choices import FAULT, ORPHAN, TIMER, Deviation
from harness.schedule.fragments import by_labels, by_lanes, by_steps, by_steps_then, lane_of
from harness.schedule.orderings import by_constraints, timeless
from harness.schedule.strategies.protocol import spread
from harness.schedule.workload import WITHOUT, Wanted, left_out_of, left_out_text
from harness.steps import Clocked

#: How many guesses of one kind are tried before the systematic part begins.
GUESSES_MAX = 12
#: How many choices are tried at other moments of the plain run, and at how many moments each.
MOVED_MAX, ELSEWHERE_MAX = 3, 24
#: At how many moments of the plain run one fault is tried instead of all choices.
FAULTS_MAX = 100
#: The lane of faults that could strike.
NEMESIS = "nemesis"
#: How far a choice is moved forward in a failing run, in steps: twice as far each time.
FORWARD_MAX = 512


@dataclass(frozen=True, slots=True)
class Candidate:
    """A schedule to try; candidates with one ``name`` are the same."""

    name: str
    clocked: Clocked
    #: What clients leave out, if that is something else than in the run that it is derived from.
    without: str | None = None


def _candidate(kind: str, parts: object, clocked: Clocked) -> Candidate:
    return Candidate(hashlib.sha256(f"{kind} {parts}".encode()).hexdigest()[:8], clocked)


def labelled(deviations: Sequence[Deviation]) -> Candidate:
    """These choices wherever their situation comes up."""
    parts = [(each.taken, each.first, each.kind, each.at_ms) for each in deviations]
    return _candidate("labels", parts, by_labels(deviations))


def numbered(deviations: Sequence[Deviation]) -> Candidate:
    """These choices at their steps."""
    chooser = by_steps(deviations)
    parts = [(each.step, each.choice) for each in deviations]
    return _candidate("steps", parts, lambda now_ms: chooser)


def constrained(
    constraints: Sequence[Constraint], hurry: Mapping[StepName, Sequence[str]] | None = None
) -> Candidate:
    """Whatever keeps these constraints; with ``hurry`` by letting these actors go first."""
    return _candidate("constraints", (constraints, hurry), by_constraints(constraints, hurry=hurry))


def leaving_out(run: Run, operations: Sequence[Wanted]) -> Iterator[Candidate]:
    """The choices of the run, wherever they come up or at their steps, without these operations."""
    before = left_out_of(run.schedule.variant.get(WITHOUT, ""))
    without = left_out_text({*before, *operations})
    for followed in (labelled, numbered):
        yield replace(followed(run.deviations), without=without)


def operations_of(run: Run) -> list[Wanted]:
    """The operations that clients came to in a run and did."""
    left_out = set(left_out_of(run.schedule.variant.get(WITHOUT, "")))
    offered = run.operations.items()
    every = ((client, number) for client, last in offered for number in range(1, last + 1))
    return [each for each in every if each not in left_out]


def is_strike(deviation: Deviation) -> bool:
    """Whether a choice is something that never has to happen."""
    return deviation.kind in (FAULT, ORPHAN)


def fewer_faults(run: Run) -> Iterator[Candidate]:
    """The run without any fault, and without each of them."""
    faults = [each for each in run.deviations if each.kind == FAULT]
    if faults:
        yield labelled([each for each in run.deviations if each.kind != FAULT])
    for fault in faults if len(faults) > 1 else ():
        yield labelled([each for each in run.deviations if each is not fault])


def likely(run: Run) -> Iterator[Candidate]:
    """Guesses that are right surprisingly often, before anything systematic.

    One choice alone; and one thing held back while the lane that broke the rule went on: the
    choices of that lane that were taken over one and the same other thing. Faults of the run
    come along in a second round, for the incarnation that broke the rule may owe them its life.
    """
    broken = run.violations[0]
    faults = [each for each in run.deviations if is_strike(each)]
    held_back: dict[str, list[Deviation]] = {}
    for deviation in reversed(run.deviations):
        if deviation.lane == broken.lane and not is_strike(deviation):
            held_back.setdefault(deviation.first, []).insert(0, deviation)
    own = f"{broken.lane}: "
    windows = sorted(held_back.values(), key=lambda w: not w[0].first.startswith(own))
    windows = windows[:GUESSES_MAX]
    service = broken.lane.partition("#")[0] or broken.lane
    singles = sorted(
        run.deviations,
        key=lambda each: (not is_strike(each), service not in each.taken, -each.step),
    )[:GUESSES_MAX]
    guesses: list[list[Deviation]] = [
        faults,
        *([fault] for fault in faults),
        *windows,
        *([single] for single in singles),
        *([*faults, *window] for window in windows if faults),
        *([*faults, single] for single in singles if faults),
    ]
    yield from (labelled(guess) for guess in guesses if guess)


def one_elsewhere(run: Run, plain: Run) -> Iterator[Candidate]:
    """One choice of the run alone, at other moments of the first-in-first-out run.

    Faults first, then timers and steps of the lane that broke the rule: what matters about
    them is often only that they come while something else is going on.
    """
    broken = run.violations[0]
    ranked = sorted(
        (not is_strike(each), each.kind != TIMER, -each.step, timeless(each.taken))
        for each in run.deviations
        if is_strike(each) or lane_of(each.taken) == broken.lane
    )
    for wanted in list(dict.fromkeys(each[-1] for each in ranked))[:MOVED_MAX]:
        places = [
            Deviation(step, labels.index(label))
            for step, labels in enumerate(plain.offered, 1)
            for label in labels[1:]
            if timeless(label) == wanted
        ]
        for number in range(min(ELSEWHERE_MAX, len(places))):
            yield numbered([places[spread(number, len(places))]])


def one_fault(plain: Run) -> Iterator[Candidate]:
    """One fault alone, of every kind, all over the first-in-first-out run.

    Whoever is struck is as far at all moments between two steps of its own, and a message that is
    lost may as well be lost at once: one of these moments will do.
    """
    places: dict[str, list[Deviation]] = {}
    actors = ["", *(lane_of(label).partition("#")[0] for label in plain.taken)]
    before: Sequence[str] = ()
    for step, (labels, actor) in enumerate(zip(plain.offered, actors, strict=False), 1):
        for choice, label in enumerate(labels):
            moved = label.endswith(f" {actor}") or label not in before
            if choice and moved and lane_of(label) == NEMESIS:
                places.setdefault(label, []).append(Deviation(step, choice))
        before = labels
    longest = max(map(len, places.values()), default=0)
    in_turn = (
        found[spread(number, len(found))]
        for number in range(longest)
        for found in places.values()
        if number < len(found)
    )
    for place in islice(in_turn, FAULTS_MAX):
        yield numbered([place])


def moved_forward(run: Run, recorded: Run) -> Iterator[Candidate]:
    """One choice sooner, and in return without those that came next to it.

    Who went before somebody in several steps may have had to begin only a little sooner. The
    choices before it stay at their steps, those after it go where their situation comes up.
    """
    deviations = run.deviations
    for index, deviation in enumerate(deviations):
        before, after = list(deviations[:index]), list(deviations[index + 1 :])
        wanted = timeless(deviation.taken)
        window = [each for each in after if each.first == deviation.first]
        rests = [[each for each in after if each not in window], after[1:], after]
        back = 1
        places: list[Deviation] = []
        while back < min(deviation.step, FORWARD_MAX):
            step = deviation.step - back
            back *= 2
            offered = [timeless(label) for label in recorded.offered[step - 1]]
            if wanted in offered[1:]:
                places.append(Deviation(step, offered.index(wanted)))
        for rest in rests if window else rests[1:]:
            for place in places if len(rest) < len(after) else ():
                kept = [each for each in before if each.step < place.step]
                yield _moved(kept, place, rest)
        for fewer in (before[:-1],) if before else ():
            for place in places:
                yield _moved([each for each in fewer if each.step < place.step], place, after)


def _moved(kept: list[Deviation], place: Deviation, rest: list[Deviation]) -> Candidate:
    exact = [*kept, place]
    parts = ([(each.step, each.choice) for each in exact], [(e.taken, e.first) for e in rest])
    return _candidate("moved", parts, by_steps_then(exact, rest))


def lanes_of(run: Run, order: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lanes that took these steps, and those of them that are close to what broke."""
    service = run.violations[0].lane.partition("#")[0]
    lanes = list(dict.fromkeys(map(lane_of, order)))
    return lanes, [
        lane for lane in lanes if lane.partition("#")[0] == service or lane.startswith("nemesis")
    ]


def only_lanes(order: Sequence[str], lanes: Sequence[str]) -> Candidate:
    """The order in which these lanes took their steps, and no other."""
    return _candidate("lanes", (lanes, order), by_lanes(order, lanes))
