"""``python -m tests.benchmarks.explained``: is every bug small, explained, and found after an edit?

Each program and each planted bug of the incident is searched until it breaks, then made small.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from harness.engine import campaign
from scenarios.museum import exhibits, hunt
from target_stub.bugs import BUGS
from tests.benchmarks.classics.catalogue import PROGRAMS
from tests.benchmarks.reasons import Explained, explained, failing
from tests.benchmarks.table import say
from tests.scenarios.searches import SEED

HEADER = f"{'':<26}{'choices':>11}  {'minimal':<9}{'constraints':<13}{'checked':<9}{'edited':<8}"


def all_bugs(names: Sequence[str], budget: int) -> Iterator[Explained]:
    """The programs and planted bugs of these names, one after the other; those that are found."""
    for name in names:
        run = (
            failing(PROGRAMS[name].scenario())
            if name in PROGRAMS
            else hunt(exhibits()[name], seed=SEED).run
        )
        if run is None:
            say(f"{name:<26}not found within its budget")
        else:
            yield explained(name, run, budget=budget)


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> int:
    """The command; 1 when something was not as promised."""
    known = [*(program.name for program in PROGRAMS.values() if not program.challenge), *BUGS]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.explained")
    parser.add_argument(
        "--bugs", nargs="+", choices=known, default=known, metavar="NAME", help="which (all)"
    )
    parser.add_argument("--budget", type=int, default=4_000, help="runs to shrink one (4000)")
    options = parser.parse_args(arguments)
    say(HEADER)
    good = count = 0
    with campaign():
        for each in all_bugs(options.bugs, options.budget):
            say(str(each))
            count, good = count + 1, good + each.good
    say(f"{good} of {count}: one-minimal, every constraint checked, shown again after the edit")
    return 0 if good == count else 1


if __name__ == "__main__":
    sys.exit(main())
