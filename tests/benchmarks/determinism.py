"""``python -m tests.benchmarks.determinism``: are runs the same in two processes?

Each process runs the same random schedules under its own hash seed, and every digest must be
equal. The first that is not is named, with exit code 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from harness.engine import campaign, execute
from harness.schedule.strategies.portfolio import Rotation, parse_names
from harness.schedule.strategies.protocol import Seen
from tests.benchmarks.detection import load
from tests.benchmarks.table import say

ROOT = Path(__file__).parents[2]
HASH_SEEDS = ("0", "1")


def digests(scenario: str, strategies: str, *, seed: int, schedules: int) -> Iterator[str]:
    """One line for each schedule: its digest and its token."""
    rotation = Rotation(parse_names(strategies), seed=seed)
    for _ in range(schedules):
        turn = rotation.next(Seen(1_000))
        if turn is None:
            return
        run = execute(load(scenario), seed=seed, choose=turn[1], digested=True)
        yield f"{run.digest} {run.steps} {run.token}"


def start(hash_seed: str, arguments: list[str]) -> subprocess.Popen[str]:
    """A process of its own that prints these lines."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.determinism", "--print", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def compare(arguments: list[str], schedules: int) -> int:
    """Run two processes and compare what they print, line by line; the exit code."""
    started, steps, number = perf_counter(), 0, 0
    processes = [start(hash_seed, arguments) for hash_seed in HASH_SEEDS]
    try:
        outputs = [process.stdout for process in processes if process.stdout is not None]
        for number, (one, other) in enumerate(zip(*outputs, strict=False), start=1):
            if one != other:
                say(f"schedule {number} of {schedules} is not the same run")
                for hash_seed, line in zip(HASH_SEEDS, (one, other), strict=True):
                    digest, length, token = line.split()
                    say(f"  PYTHONHASHSEED={hash_seed}: {digest[:16]}, {length} steps, {token}")
                return 1
            steps += int(one.split()[1])
    finally:
        for process in processes:
            if number < schedules:
                process.kill()
            process.communicate()
    if number < schedules:
        say(f"only {number} of {schedules} schedules were run in both processes")
        return 1
    spent_s = perf_counter() - started
    say(f"{number} schedules, {steps:,} steps: every digest equal ({spent_s:.0f} s)")
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.determinism")
    parser.add_argument("--scenario", default="paradex-2026-01-19")
    parser.add_argument("--strategies", default="random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--print", action="store_true", help="print the digests of one process")
    options = parser.parse_args()
    if options.print:
        with campaign():
            for line in digests(
                options.scenario,
                options.strategies,
                seed=options.seed,
                schedules=options.schedules,
            ):
                say(line)
        return 0
    arguments = [
        f"--scenario={options.scenario}",
        f"--strategies={options.strategies}",
        f"--seed={options.seed}",
        f"--schedules={options.schedules}",
    ]
    return compare(arguments, options.schedules)


if __name__ == "__main__":
    sys.exit(main())
