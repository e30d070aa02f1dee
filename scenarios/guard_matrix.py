"""Bug by guard: which protection of the exchange would have stopped which planted bug.

    python -m scenarios.guard_matrix --jobs 2

One schedule for each bug, with one fault or a few delays in it, searched without any guard that the
bug does not need, and run again with each guard alone and with all of them. A guard changes which
steps there are, so the schedule is followed by what ran instead of what.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.engine import Run, execute
from harness.errors import closest
from harness.schedule.fragments import by_labels
from harness.shrink import shrink
from scenarios.guard_table import first_refusal
from scenarios.museum import broken, exhibits, hunt, spread
from target_stub.bugs import BUGS
from target_stub.guards import GUARDS

DOCS = Path(__file__).parents[1] / "docs"
DATA, DOCUMENT = DOCS / "guard-matrix.jsonl", DOCS / "guard-matrix.md"
#: Searches for a schedule, one for each data seed from 1 on, and how many schedules each tries.
SEEDS, SCHEDULES = 1, 40
#: What makes schedules that are first in first out but for one fault or a few delays.
SHORT = ("sweep", "delay(1)", "sweep", "delay(2)")
#: More choices than these are made fewer, by so many runs in so many seconds at most.
CHOICES, SHRINK_RUNS, SHRINK_WALL_S = 4, 250, 600.0
#: What a guard does to the schedule of a bug: it refuses something wrong and the rule holds; the
#: rule is broken all the same; or the rule holds although nothing wrong was refused.
STOPS, LETS, AVOIDS = "stops", "lets", "avoids"
#: The guards that a bug needs to be one at all.
NEEDED = "needed"

HEADER = """# Which guard stops which bug

One short schedule of every planted bug, searched with no guard on but those without which it is no
bug (*needed*), and run again with each of the others alone. **stops**: the guard refused something
that clean values cannot explain, and the rule of the bug held. *avoids*: the rule held although
nothing wrong was refused, since the guard makes other steps and the race did not happen in them.
A dash: the rule was broken all the same. *first* is the guard that refused something wrong before
any other when all of them were on; a dash where none did. A bug that no short schedule showed is
not in the table. Guards are there for market values and for who may act on them; what the books do
to a payment is no business of theirs.

`python -m scenarios.guard_matrix --again` computes this anew; [guards.md](guards.md) says what the
guards do, and follows two of the bugs with more schedules and in money.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What guards make of one schedule of a bug; ``choices`` are those not first in first out.

    ``first`` is empty if no guard refused anything wrong with all of them on.
    """

    bug: str
    choices: int
    outcomes: Mapping[str, str]
    first: str

    def cells(self) -> tuple[str, ...]:
        """The line as text."""
        told = {STOPS: "**stops**", AVOIDS: "*avoids*", NEEDED: "needed"}
        outcomes = (told.get(self.outcomes.get(guard, ""), "-") for guard in GUARDS)
        return (f"`{self.bug}`", f"{self.choices}", *outcomes, self.first or "-")


def guarded() -> list[str]:
    """The bugs of scenarios that have guards."""
    return [name for name in BUGS if exhibits()[name].scenario.guards]


def line_of(name: str) -> Line | None:
    """Search, and follow what was found; nothing if no schedule was found."""
    bug, scenario = BUGS[name], exhibits()[name].scenario
    found = short(name)
    if found is None:
        return None

    def follow(guards: str) -> Run:
        return execute(
            scenario,
            seed=found.schedule.seed,
            clocked=by_labels(found.deviations),
            variant={"bug": name, **scenario.variant(bug=name, guards=guards)},
        )

    outcomes = {
        guard: NEEDED if guard in bug.guards else outcome_of(follow(guard), bug.breaks)
        for guard in scenario.guards
    }
    first = first_refusal(follow("all"))
    return Line(bug=name, choices=len(found.deviations), outcomes=outcomes, first=first)


def short(name: str) -> Run | None:
    """The shortest schedule that some searches find with no guard on, made small if it is long."""
    exhibit = exhibits()[name]
    scenario = exhibit.scenario
    unguarded = replace(exhibit, variant={**exhibit.variant, **scenario.variant(guards="none")})
    few = replace(unguarded, budget=SCHEDULES)
    hunts = (hunt(few, seed=seed, strategies=SHORT) for seed in range(1, SEEDS + 1))
    runs = [each.run for each in hunts if each.run is not None]
    best = (
        min(runs, key=lambda run: len(run.deviations), default=None) or hunt(unguarded, seed=1).run
    )
    if best is None or len(best.deviations) <= CHOICES:
        return best
    small = shrink(best, budget_runs=SHRINK_RUNS, wall_s=SHRINK_WALL_S).run
    return small if BUGS[name].breaks in broken(small) else best


def outcome_of(run: Run, rule: str) -> str:
    """What became of the rule in a run with a guard."""
    if rule in broken(run):
        return LETS
    return STOPS if first_refusal(run) else AVOIDS


def markdown(lines: Mapping[str, Line]) -> str:
    """The whole document, in the order of the catalogue."""
    head = ("bug", "choices", *GUARDS, "first")
    rows = [head, ("---", "---:", *("---",) * (len(GUARDS) + 1))]
    rows += [lines[name].cells() for name in guarded() if name in lines]
    return HEADER + "\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def load(path: Path) -> dict[str, Line]:
    """The lines of a file by bug; none if there is no file."""
    if not path.exists():
        return {}
    lines = [Line(**json.loads(text)) for text in path.read_text().splitlines()]
    return {line.bug: line for line in lines}


def save(lines: Mapping[str, Line], path: Path) -> None:
    """Replace the file in one step."""
    beside = path.with_suffix(".part")
    beside.write_text("".join(f"{json.dumps(asdict(lines[bug]))}\n" for bug in sorted(lines)))
    beside.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute what is missing, and write the document; say for which bugs nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m scenarios.guard_matrix", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--bugs", nargs="+", default=(), metavar="NAME", help="only these")
    parser.add_argument("--again", action="store_true", help="repeat what is in the data")
    parser.add_argument("--data", type=Path, default=DATA, help="the file of lines")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the document to write")
    options = parser.parse_args(arguments)
    for name in options.bugs:
        if name not in guarded():
            parser.error(str(closest(name, guarded(), kind="bug with guards")))
    lines = load(options.data)
    names = [name for name in options.bugs or guarded() if options.again or name not in lines]
    for line in spread(line_of, names, jobs=options.jobs):
        if line is not None:
            lines[line.bug] = line
            save(lines, options.data)
            sys.stdout.write(f"{' '.join(line.cells())}\n")
            sys.stdout.flush()
    options.document.write_text(markdown(lines))
    for name in names:
        if name not in lines:
            sys.stdout.write(f"{name}: no short schedule shows it\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
