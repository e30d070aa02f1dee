"""Is a run repeatable? Executes a schedule twice and says where the two runs went apart.

A run is judged only if it can be repeated. A difference is an outcome of its own, with what each
of the two runs did and could have done at the first step that differs; the target is not blamed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.engine import Misfit, Run, execute, follow
from harness.history import History


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two runs of one schedule went apart: step, what each did, what each could have done."""

    step: int
    first: str
    second: str
    first_options: tuple[str, ...] = ()
    second_options: tuple[str, ...] = ()


def same_twice(run: Run) -> Difference | None:
    """Execute a run's schedule twice more; the first difference of the three, or nothing."""
    pair = []
    for _ in range(2):
        try:
            pair.append(
                execute(
                    run.scenario,
                    seed=run.schedule.seed,
                    choose=follow(run.schedule),
                    variant=run.schedule.variant,
                    recorded=True,
                )
            )
        except Misfit as misfit:
            expected = next(
                (d.taken for d in run.deviations if d.step == misfit.step), misfit.expected
            )
            return Difference(misfit.step, expected, "(not possible)", (), misfit.offered)
        made = pair[-1].schedule.choices
        for lost in (d for d in run.deviations if d.step not in made):
            could = pair[-1].offered[lost.step - 1 : lost.step]
            return Difference(lost.step, lost.taken, "(not possible)", (), *could)
    return difference(*pair) or _since(run, pair[0])


def _since(run: Run, again: Run) -> Difference | None:
    """What differs from the run that was made first: a target may have remembered that one."""
    ours, theirs = _by_step(run.history), _by_step(again.history)
    for step in sorted({*ours, *theirs}):
        did, does = ours.get(step, ()), theirs.get(step, ())
        if did != does:
            one, other = _first_difference(did, does)
            ran = again.taken[step - 1] if 0 < step <= len(again.taken) else "(the run is over)"
            could = again.offered[step - 1] if 0 < step <= len(again.offered) else ()
            return Difference(step, f"{ran} ({one})", f"{ran} ({other})", could, could)
    if (run.steps, run.ending) != (again.steps, again.ending):
        return Difference(min(run.steps, again.steps), f"{run.ending}", f"{again.ending}")
    return None


def difference(first: Run, second: Run) -> Difference | None:
    """The first step at which two recorded runs differ, in what ran, could run or happened."""
    if first.digest == second.digest:
        return None
    happened = [_by_step(run.history) for run in (first, second)]
    for index in range(max(len(first.taken), len(second.taken)) + 1):
        sides = []
        for run, events in zip((first, second), happened, strict=True):
            label = run.taken[index] if index < len(run.taken) else "(the run is over)"
            offered = run.offered[index] if index < len(run.offered) else ()
            sides.append((label, offered, events.get(index + 1, ())))
        (a, could_a, did_a), (b, could_b, did_b) = sides
        if a != b or could_a != could_b:
            return Difference(index + 1, a, b, could_a, could_b)
        if did_a != did_b:
            one, other = _first_difference(did_a, did_b)
            return Difference(index + 1, f"{a} ({one})", f"{b} ({other})", could_a, could_b)
    return Difference(len(first.taken), f"{first.ending}", f"{second.ending}")


def _by_step(history: History) -> dict[int, tuple[str, ...]]:
    grouped: dict[int, tuple[str, ...]] = {}
    for event in history:
        grouped[event.step] = (*grouped.get(event.step, ()), event.canonical())
    return grouped


def _first_difference(first: Sequence[str], second: Sequence[str]) -> tuple[str, str]:
    for one, other in zip((*first, ""), (*second, ""), strict=False):
        if one != other:
            return one or "nothing more", other or "nothing more"
    return "", ""
