"""The museum's table: hunt every exhibit from many seeds, and write down what that took.

    python -m scenarios.museum_table --jobs 2

Hunts that are in the data file are not repeated (``--again`` repeats them), so the command may be
killed and started again. The document is made from the data file and the catalogue alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.errors import UsageError, closest
from scenarios.money_rules import NUMBERS
from scenarios.museum import Exhibit, exhibits, hunt, spread
from scenarios.museum_records import RECORDS, Caught, Record, load, save
from target_stub.bugs import BUGS

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "museum.md"
SEEDS = 20

HEADER = f"""# The museum

Planted bugs of the reference exchange, each a small patch of one place, modelled on a real
incident or issue. All of them are races or need a restart: in first-in-first-out order nothing
happens. `changeover run SCENARIO --bug NAME` plants one.

*strategy* is the one that found it most often in {SEEDS} hunts of the default search, one for each
data seed; *schedules* is how many they needed, the median, and *worst* the most; *budget* is how
many one may need. *found* says how many hunts found it, *commit* the last commit at which one did.
A line without figures has not been hunted from all seeds yet.
`python -m scenarios.museum_table --again` measures all of it anew; every hunt is in
[museum.jsonl](museum.jsonl).
"""
INCIDENTS = """## Incidents of other systems

Small models of their own, found in the same way; [they are told here](incidents.md).
"""
COLUMNS = (
    "incident",
    "family",
    "invariant",
    "scenario",
    "strategy",
    "schedules",
    "worst",
    "budget",
    "found",
    "commit",
)
ALIGNED = ("---", "---", "---", "---", "---", "---:", "---:", "---:", "---", "---")
#: The number in the catalogue of every money rule.
NUMBER_OF = {rule.__name__: number for number, rule in NUMBERS.items()}


def markdown(records: Mapping[str, Record]) -> str:
    """The whole document; a table with a gap where an exhibit was never hunted."""
    bugs = [each for name, each in exhibits().items() if name in BUGS]
    incidents = [each for name, each in exhibits().items() if name not in BUGS]
    families = len({each.family for each in bugs})
    count = f"{len(bugs)} planted bugs of {families} families.\n"
    return "\n".join((HEADER, count, table(bugs, records), INCIDENTS, table(incidents, records)))


def table(chosen: Iterable[Exhibit], records: Mapping[str, Record]) -> str:
    """Some exhibits, one in a line; those with a text have a column for it."""
    rows = [(each, records.get(each.name, Record(name=each.name))) for each in chosen]
    told = any(each.text for each, _ in rows)
    head = [("bug", *COLUMNS), ("---", *ALIGNED)] if told else [COLUMNS, ALIGNED]
    body = [cells(each, record) for each, record in rows]
    lines = [
        *head,
        *(
            (f"`{each.name}`: {each.text}", *row) if told else row
            for (each, _), row in zip(rows, body, strict=True)
        ),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cells(exhibit: Exhibit, record: Record) -> tuple[str, ...]:
    """What is said of one exhibit, in the order of the columns."""
    found = record.numbers
    return (
        exhibit.incident,
        exhibit.family,
        ", ".join(f"{NUMBER_OF.get(rule, '')} `{rule}`".strip() for rule in exhibit.breaks),
        f"`{exhibit.scenario.name}`",
        record.strategy,
        f"{record.median:g}" if found else "",
        f"{found[-1]}" if found else "",
        f"{exhibit.budget}",
        f"{len(found)} of {len(record.hunts)}",
        record.commit,
    )


def wanted(
    names: Sequence[str], seeds: int, records: Mapping[str, Record], *, again: bool
) -> list[tuple[str, int]]:
    """The hunts to do: all those of these exhibits (or of all) that have no record yet."""
    for name in names:
        if name not in exhibits():
            raise closest(name, exhibits(), kind="exhibit")
    return [
        (name, seed)
        for name in names or exhibits()
        for seed in range(1, seeds + 1)
        if again or name not in records or seed not in records[name].hunts
    ]


def hunted(task: tuple[str, int]) -> tuple[str, int, Caught]:
    """One hunt, in whichever process, and which one it was."""
    name, seed = task
    found = hunt(exhibits()[name], seed=seed)
    return name, seed, Caught(found.number if found.run else None, found.strategy)


def measure(hunts: Sequence[tuple[str, int]], path: Path, *, jobs: int, commit: str) -> None:
    """Do these hunts, and save each as soon as it is over."""
    records = load(path)
    for name, seed, caught in spread(hunted, hunts, jobs=jobs):
        record = records.get(name, Record(name=name)).after(seed, caught, commit)
        records[name] = record
        save(records, path)
        sys.stdout.write(f"{name} seed {seed}: {caught.number or 'not found'}\n")
        sys.stdout.flush()


def commit_of(root: Path) -> str:
    """The commit that is checked out; :class:`UsageError` if the code differs from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    if git("status", "--porcelain", "--", "*.py"):
        raise UsageError("the code is not committed; commit it, so that the table can name it")
    return git("rev-parse", "--short=8", "HEAD")


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt what is missing, and write the document; 1 if a budget was not enough."""
    parser = argparse.ArgumentParser(prog="python -m scenarios.museum_table", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"hunts for each ({SEEDS})")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--bugs", nargs="+", default=(), metavar="NAME", help="only these")
    parser.add_argument("--again", action="store_true", help="repeat what is in the data")
    parser.add_argument("--data", type=Path, default=RECORDS, help="the file of hunts")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the document to write")
    options = parser.parse_args(arguments)
    try:
        hunts = wanted(options.bugs, options.seeds, load(options.data), again=options.again)
        if hunts:
            measure(hunts, options.data, jobs=options.jobs, commit=commit_of(ROOT))
    except UsageError as error:
        parser.error(str(error))
    records = load(options.data)
    options.document.write_text(markdown(records))
    missed = dict.fromkeys(name for name, seed in hunts if records[name].hunts[seed].number is None)
    for name in missed:
        sys.stdout.write(f"{name} is not found within {exhibits()[name].budget} schedules\n")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
