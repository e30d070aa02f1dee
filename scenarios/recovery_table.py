"""What the drill decides, and how it holds: both ways out in money, and random schedules.

``python -m scenarios.recovery_table`` prints the two ways out of the incident that the drill
starts from. With ``--schedules 2000`` it also runs the drill in so many random orders, with up
to three crashes each, and prints how many of them held.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from harness.engine import Run, campaign, execute
from harness.history import derive_seed
from harness.schedule.choices import ORPHAN, Chooser, Option
from harness.schedule.strategies.protocol import Seen, split_kinds
from harness.schedule.strategies.walks import uniform
from scenarios.recovery_drill import recovery_drill
from scenarios.rules.money import usdc
from target_stub.cloud.compensation import Outcome, Plan
from target_stub.cloud.recovery import AUDIT

COLUMNS = ("", "refunded", "taken back", "cannot be taken back", "most for one account")
#: At most so many crashes are drawn for a schedule; one that falls after its end does not happen.
CRASHES_MAX = 3


def plan_of(run: Run) -> Plan:
    """What the audit of a run decided; LookupError if it never came to that."""
    for event in run.history:
        if event.resource == f"storage/{AUDIT}" and isinstance(event.after, Plan):
            return event.after
    raise LookupError(f"no audit in {run.token}")


def markdown(plan: Plan) -> str:
    """Both ways out as a table, and what each leaves wrong."""
    outcomes = (plan.rollback, plan.compensation)
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {' | '.join(_cells(outcome))} |" for outcome in outcomes]
    for outcome in outcomes:
        lines += ["", f"What *{outcome.name}* leaves:", ""]
        lines += [f"- {text}" for text in outcome.leaves]
    return "\n".join(lines)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    kept = sum(outcome.kept_usdc.values())
    worst = outcome.worst
    return (
        outcome.name,
        f"{len(outcome.refunds)} accounts, {usdc(outcome.refunded_usdc)}",
        f"{len(outcome.reclaims)} accounts, {usdc(outcome.reclaimed_usdc)}",
        f"{len(outcome.kept_usdc)} accounts, {usdc(kept)}",
        usdc(worst.amount_usdc) if worst else "none",
    )


def crashing(rng: Random, seen: Seen, walk: Chooser) -> Chooser:
    """A walk in which one to three services crash, at steps drawn evenly over a run."""
    crashes = rng.randrange(1, CRASHES_MAX + 1)
    strikes = sorted(rng.randrange(1, seen.steps + 1) for _ in range(crashes))

    def choose(options: Sequence[Option], step: int) -> int:
        optional = split_kinds(options)[2]
        faults = [index for index in optional if options[index].kind != ORPHAN]
        if faults and strikes and step >= strikes[0]:
            del strikes[0]
            return faults[int(rng.random() * len(faults))]
        index = walk(options, step)
        return 0 if index in faults else index

    return choose


def schedules(count: int, *, seed: int) -> Iterator[Run]:
    """So many random schedules of the drill, each with crashes; the first is without."""
    calm = execute(recovery_drill, seed=seed, profiled=True)
    seen = Seen().after([calm.lesson(0, "fifo")])
    with campaign():
        for number in range(count):
            rng = Random(derive_seed(seed, "recovery", number))
            walk = uniform(number, rng, seen)
            assert walk is not None
            run = execute(recovery_drill, seed=seed, choose=crashing(rng, seen, walk))
            seen = seen.after([run.lesson(number + 1, "random")])
            yield run


def campaign_lines(count: int, *, seed: int) -> Iterator[str]:
    """How many schedules held, by crashes, and every one that did not."""
    held: Counter[int] = Counter()
    tried: Counter[int] = Counter()
    overlapped = 0
    for run in schedules(count, seed=seed):
        tried[run.faults] += 1
        overlapped += not run.vacuous
        if run.violated or run.unknown:
            broken = ", ".join({each.invariant: None for each in run.violations} or run.unknown)
            yield f"NOT HELD {broken}: {run.token}"
        else:
            held[run.faults] += 1
    by_crashes = ", ".join(
        f"{held[crashes]} of {tried[crashes]} with {crashes}" for crashes in sorted(tried)
    )
    yield (
        f"{sum(held.values())} of {count} schedules held; by crashes: {by_crashes}; in "
        f"{overlapped} a restart overlapped a write"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if a schedule did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m scenarios.recovery_table")
    parser.add_argument("--seed", type=int, default=1, help="the data seed")
    parser.add_argument("--schedules", type=int, default=0, help="random schedules to run")
    chosen = parser.parse_args(arguments)
    sys.stdout.write(markdown(plan_of(execute(recovery_drill, seed=chosen.seed))) + "\n")
    failed = 0
    if chosen.schedules:
        for line in campaign_lines(chosen.schedules, seed=chosen.seed):
            failed |= line.startswith("NOT HELD")
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
