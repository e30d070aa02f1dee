"""Which guard would have stopped it: the same schedules with each guard alone, and with all.

Schedules that break the unguarded exchange and cost people money are searched, made minimal, and
run again with every guard. A guard changes which steps there are, so a schedule is followed by
what ran instead of what. Nothing here is known beforehand: run it with
``python -m scenarios.guard_table``.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from harness.campaign import Plan, explore
from harness.engine import Run, campaign, execute
from harness.findings.finding import ONE_MINIMAL
from harness.schedule.choices import Deviation
from harness.schedule.fragments import by_labels, essence
from scenarios.paradex import paradex
from scenarios.records import WRONG, WRONG_COMMITTED, WRONG_PUBLISHED
from target_stub.bugs import BUGS
from target_stub.guards import GUARDS

#: The bugs that write a wrong market value, each in its own way.
WRONG_VALUES = ("index_zero", "price_zero")
UNJUSTIFIED = "liquidations_are_justified"
#: How many real seconds making one schedule minimal may take; its runs are the limit that counts.
SHRINK_WALL_S = 600.0


@dataclass(frozen=True, slots=True)
class Case:
    """One minimal schedule that breaks the unguarded exchange.

    ``variant`` says under which guards and bug it was found, and what clients leave out in it.
    """

    bug: str
    seed: int
    deviations: tuple[Deviation, ...]
    variant: Mapping[str, str]

    @property
    def shape(self) -> tuple[tuple[str, str], ...]:
        """What ran instead of what, without times and numbers: two of a shape are no two cases."""
        return tuple((essence(each.taken), essence(each.first)) for each in self.deviations)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one schedule did under some guards; ``stopped_by`` first refused something wrong."""

    committed: bool
    published: bool
    accounts: int
    taken_usdc: Decimal
    since_ms: int | None
    stopped_by: str


@dataclass(frozen=True, slots=True)
class Row:
    """What all schedules of a bug did under some guards; ``first`` counts as one of all guards."""

    guards: str
    outcomes: tuple[Outcome, ...]
    first: int | None = None

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of :data:`COLUMNS`."""
        total = len(self.outcomes)
        since = [each.since_ms for each in self.outcomes if each.since_ms is not None]
        return (
            self.guards,
            f"{sum(each.committed for each in self.outcomes)} of {total}",
            f"{sum(each.published for each in self.outcomes)} of {total}",
            f"{sum(each.accounts for each in self.outcomes)}",
            f"{sum((each.taken_usdc for each in self.outcomes), Decimal(0)):,.2f}",
            f"{min(since) / 1000:.1f} s" if since else "never",
            "" if self.first is None else f"{self.first} of {total}",
        )


COLUMNS = ("guard", "committed", "published", "accounts", "USDC taken", "from", "first")
LEGEND = (
    "committed, published: in how many schedules a wrong value came into the database, on the "
    "chain. accounts, USDC taken: wrongly liquidated and lost in all of them together, from that "
    "time on. first: in how many this guard, with all on, was the first to refuse something wrong."
)


def find_cases(
    bug: str, *, count: int, seeds: Iterable[int], search: int, shrink_runs: int
) -> Iterator[Case]:
    """Up to ``count`` minimal schedules of different shapes after which people were wronged."""
    shapes: set[tuple[tuple[str, str], ...]] = set()
    for seed in seeds:
        if len(shapes) == count:
            return
        plan = Plan(
            seed=seed,
            schedules=search,
            shrink_budget=shrink_runs,
            shrink_wall_s=SHRINK_WALL_S,
            variant=paradex.variant(bug=bug),
        )
        for finding in explore(paradex, plan).findings:
            case = Case(bug, seed, finding.deviations, finding.variant)
            wronged = any(each.invariant == UNJUSTIFIED for each in finding.violations)
            # What is left of an unfinished one says little about a guard, which moves its steps.
            minimal = finding.shrinking.ended_by == ONE_MINIMAL
            if wronged and minimal and case.shape not in shapes:
                shapes.add(case.shape)
                yield case


def follow(case: Case, guards: str) -> Outcome:
    """Run a schedule with the guards of that name: one, ``all`` or ``none``."""
    run = execute(
        paradex,
        seed=case.seed,
        clocked=by_labels(case.deviations),
        variant={**case.variant, **paradex.variant(bug=case.bug, guards=guards)},
    )
    wronged = [each for each in run.violations if each.invariant == UNJUSTIFIED]
    return Outcome(
        committed=WRONG_COMMITTED in run.reached,
        published=WRONG_PUBLISHED in run.reached,
        accounts=sum(len(each.accounts) for each in wronged),
        taken_usdc=sum((Decimal(each.loss_usdc) for each in wronged), Decimal(0)),
        since_ms=min((each.at_ms for each in wronged), default=None),
        stopped_by=first_refusal(run),
    )


def first_refusal(run: Run) -> str:
    """The guard that was the first to refuse something wrong, if one was."""
    for event in run.history:
        place, _, guard = event.resource.rpartition("/")
        if event.kind == "note" and place == "guards" and event.after == WRONG:
            return guard
    return ""


def table_of(cases: Sequence[Case]) -> list[Row]:
    """What every guard alone, all, and none make of some schedules."""
    with campaign():
        guarded = tuple(follow(case, "all") for case in cases)
        alone = {guard: tuple(follow(case, guard) for case in cases) for guard in (*GUARDS, "none")}
    rows = [
        Row(guard, alone[guard], first=sum(each.stopped_by == guard for each in guarded))
        for guard in GUARDS
    ]
    return [*rows, Row("all", guarded), Row("none", alone["none"])]


def as_text(rows: Sequence[Row]) -> str:
    """The table in 80 columns."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(rows: Sequence[Row]) -> str:
    """The table for the documentation."""
    lines = [COLUMNS, ("---", *("---:",) * (len(COLUMNS) - 1)), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Search, run and print; 1 when nothing was found for a bug."""
    parser = argparse.ArgumentParser(prog="python -m scenarios.guard_table", description=__doc__)
    parser.add_argument("--schedules", type=int, default=3, help="schedules for each bug")
    parser.add_argument("--seeds", type=int, default=12, help="data seeds to search, from 1 on")
    parser.add_argument("--search", type=int, default=60, help="schedules to try for each seed")
    parser.add_argument("--shrink", type=int, default=200, help="runs to make one minimal")
    parser.add_argument("--markdown", action="store_true", help="print it for the documentation")
    options = parser.parse_args(arguments)
    missing = False
    for bug in WRONG_VALUES:
        cases = list(
            find_cases(
                bug,
                count=options.schedules,
                seeds=range(1, options.seeds + 1),
                search=options.search,
                shrink_runs=options.shrink,
            )
        )
        missing |= not cases
        sys.stdout.write(section(bug, cases, markdown=options.markdown))
    sys.stdout.write(textwrap.fill(LEGEND, 80) + "\n")
    return int(missing)


def section(bug: str, cases: Sequence[Case], *, markdown: bool) -> str:
    """One bug: what it is, which schedules were taken, and the table."""
    rows = table_of(cases)
    choices = ", ".join(str(len(case.deviations)) for case in cases) or "none"
    return (
        f"{'## ' * markdown}{bug}: {BUGS[bug].text}\n\n"
        f"Schedules: {len(cases)}; choices in them that are not first-in-first-out: {choices}.\n\n"
        f"{as_markdown(rows) if markdown else as_text(rows)}\n\n"
    )


if __name__ == "__main__":
    sys.exit(main())
