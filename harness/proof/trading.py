"""Does the proof rest on the truth? Steps that it takes for independent are made to trade places.

A target that shares memory in a way that nobody declared would make a proof worthless. So now and
then two neighbours of a run that touch nothing in common are swapped, and the run is made again:
everybody must do the same as before, and everything must be possible as before.
"""

from __future__ import annotations

from random import Random

from harness.errors import UntrustworthyError
from harness.history import derive_seed
from harness.proof.errands import CHOSEN, Errand, Step, not_deterministic, observe, watched
from harness.proof.explorer import Explorer
from harness.proof.happening import Event
from harness.proof.vocabulary import Vocabulary

#: In each of the first runs so many pairs trade places, later one pair in one of so many runs.
FIRST_RUNS, FIRST_PAIRS, EVERY = 20, 6, 20


def check_trades(explorer: Explorer, number: int) -> int:
    """Swap neighbours in the last run, which had this number; how many pairs were swapped.

    Raises :class:`UntrustworthyError` that names both when their order does make a difference.
    """
    wanted = FIRST_PAIRS if number <= FIRST_RUNS else int(number % EVERY == 0)
    events = explorer.latest
    pairs = [index for index in range(len(events) - 2) if wanted and _can_trade(events, index)]
    chosen = Random(derive_seed("trade", number)).sample(pairs, min(wanted, len(pairs)))
    for at in chosen:
        _trade(explorer, at)
    return len(chosen)


def _trade(explorer: Explorer, at: int) -> None:
    """Make the last run again with the steps at an index and after it in the other order."""
    events = explorer.latest
    order = [*range(at), at + 1, at, *range(at + 2, len(events))]
    prefix = tuple(event.step.choice for event in events[:at])
    guide = tuple(events[index].step.process for index in order[at:])
    made = observe(
        explorer.subject, Errand(0, prefix, (), guide), explorer.vocabulary, past_violations=True
    )
    for position, index in enumerate(order[at:]):
        wanted = events[index].step
        step = made.steps[position] if position < len(made.steps) else None
        swapped = position < 2
        difference = _difference(wanted, step, explorer.vocabulary, swapped=swapped)
        if difference:
            _check_repeatable(explorer, at)
            one, other = _told(explorer, at)
            raise UntrustworthyError(
                f"the proof took these two for independent, but their order makes a difference:\n"
                f"  step {at + 1}: {one}\n  step {at + 2}: {other}\n"
                f"at step {at + position + 1} {difference}\n"
                "Do lanes share memory that nobody declares, or does a step declare too little?\n"
                "Put what they share behind a port of the world, or into one lane.\n"
                "If they share nothing, the proof is at fault and this bound cannot be trusted\n"
                "for this target: search it with run or fuzz, and report the two steps."
            )
    if made.violations:
        one, other = _told(explorer, at)
        raise UntrustworthyError(
            f"two steps that the proof took for independent break {made.violations[0]} when they "
            f"trade places: {one}, {other}"
        )


def _check_repeatable(explorer: Explorer, at: int) -> None:
    """Before the order is blamed: does the same happen in the old order?"""
    events = explorer.latest
    prefix = tuple(event.step.choice for event in events[:at])
    guide = tuple(event.step.process for event in events[at:])
    errand = Errand(0, prefix, (), guide)
    made = observe(explorer.subject, errand, explorer.vocabulary, past_violations=True)
    if [(step.process, step.touched) for step in made.steps] != [
        (event.step.process, event.step.touched) for event in events[at:]
    ]:
        raise UntrustworthyError(not_deterministic())


def _told(explorer: Explorer, at: int) -> list[str]:
    """The steps at an index and after it of the last run, in the words of the target."""
    names, told = explorer.vocabulary, list[str]()
    with watched(explorer.subject) as witness:
        for event in explorer.latest[: at + 2]:
            option = witness.options()[event.step.choice]
            purpose = option.purpose()
            touched = ", ".join(f"{how} {place}" for place, how in names.touches[event.touched])
            told.append(f"{option.label}{purpose and f', {purpose}'} ({touched})")
            witness.apply(option)
    return told[-2:]


def _can_trade(events: list[Event], index: int) -> bool:
    one, other, after = events[index], events[index + 1], events[index + 2]
    if CHOSEN in (one.step.kind, other.step.kind, after.step.kind):
        return False
    return not other.past >> index & 1 and other.step.process in one.before


def _difference(wanted: Step, step: Step | None, names: Vocabulary, *, swapped: bool) -> str:
    """What somebody did differently, in words; nothing if he did the same."""
    if step is None:
        return "the run is over"
    if step.process != wanted.process:
        return "somebody else goes on"
    if step.touched != wanted.touched:
        before = set(names.touches[wanted.touched])
        changed = sorted(before ^ set(names.touches[step.touched]))
        return f"a step touches something else: {changed}"
    if not swapped and {who for who, _ in step.could} != {who for who, _ in wanted.could}:
        return "something else is possible"
    return ""
