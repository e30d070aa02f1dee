"""A bigger campaign of the soundness test: ``python -m tests.proof.soundness --programs 2000``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from harness.engine import campaign
from harness.proof.errands import Subject
from tests.proof.enumeration import enumerated, explored
from tests.proof.programs import Program, programs, scenario_of


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the search made of one program, beside all of its runs.

    ``missed`` and ``invented`` count final states, ``unmade`` orders that no run of the search
    took, ``twice`` those that more than one took; ``struck`` is in how many of all ``runs`` a
    timeout struck.
    """

    program: Program
    runs: int
    made: int
    asleep: int
    missed: int
    invented: int
    unmade: int
    twice: int
    struck: int

    @property
    def agrees(self) -> bool:
        """Whether the search made every order exactly once."""
        return not (self.missed or self.invented or self.unmade or self.twice)


def compared(program: Program, *, runs_max: int) -> Comparison | None:
    """Search a program and enumerate it; nothing if it has too many runs for that."""
    subject = Subject(scenario_of(program), bound=program.bound)
    truth = enumerated(subject, runs_max=runs_max)
    if not truth.whole:
        return None
    seen, explorer = explored(subject, runs_max=20 * runs_max)
    complete = explorer.tally.complete
    return Comparison(
        program,
        truth.runs,
        complete,
        seen.asleep,
        missed=len(truth.finals - seen.finals),
        invented=len(seen.finals - truth.finals),
        unmade=len(truth.classes.keys() - seen.classes.keys()),
        twice=sum(count > 1 for count in seen.classes.values()) + (len(explorer.forms) != complete),
        struck=truth.struck,
    )


def main() -> int:
    """Compare many programs and say where the search was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=300, help="of one program at most")
    options = parser.parse_args()
    checked = made = runs = asleep = wrong = 0
    drawn = programs(options.first + options.programs, options.seed)[options.first :]
    with campaign():  # once, for it collects garbage
        for program in drawn:
            result = compared(program, runs_max=options.runs)
            if result is None:
                continue
            checked += 1
            made, runs, asleep = made + result.made, runs + result.runs, asleep + result.asleep
            if not result.agrees:
                wrong += 1
                sys.stdout.write(f"{result}\n")
    sys.stdout.write(
        f"{checked} of {options.programs} programs are small enough: {runs} runs in all, "
        f"{made} distinct, {asleep} given up; wrong about {wrong}\n"
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
