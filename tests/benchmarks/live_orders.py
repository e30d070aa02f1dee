"""``python -m tests.benchmarks.live_orders``: is no final state of small programs missed?

Programs of SQL are drawn at random and searched to the end twice, by footprints and without them.
Both must come to the same final states; a program that does not is told, with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
from itertools import count

from harness.engine import campaign
from harness.live import readiness, servers
from tests.benchmarks.table import say
from tests.live.soundness import TooManyError, compare, program


def check(programs: int, *, first: int, runs_max: int) -> int:
    """Compare so many programs; the exit code."""
    done = wrong = skipped = few_runs = all_runs = states = 0
    for seed in count(first):
        if done == programs:
            break
        try:
            few, every = compare(program(seed), runs_max=runs_max)
        except TooManyError:
            skipped += 1
            continue
        finally:
            readiness.stop()
        done += 1
        few_runs, all_runs = few_runs + few.runs, all_runs + every.runs
        states += len(every.states)
        if few.states != every.states:
            wrong += 1
            say(f"program {seed}: {program(seed)}")
            for state in sorted(map(str, every.states ^ few.states)):
                say(f"  {'missed' if state in map(str, every.states) else 'invented'}: {state}")
    say(
        f"{done:,} programs, {states:,} final states: {few_runs:,} runs with footprints, "
        f"{all_runs:,} without; {wrong} wrong; {skipped} with more than {runs_max} runs passed over"
    )
    return int(wrong > 0)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.live_orders", description=__doc__
    )
    parser.add_argument("--programs", type=int, default=200, help="how many (200)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (0)")
    parser.add_argument("--runs-max", type=int, default=150, help="of one program (150)")
    options = parser.parse_args()
    if why := servers.missing():
        say(f"nothing can be run live here: {why}")
        return 3
    with campaign():
        return check(options.programs, first=options.first, runs_max=options.runs_max)


if __name__ == "__main__":
    sys.exit(main())
