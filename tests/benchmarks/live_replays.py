"""``python -m tests.benchmarks.live_replays``: are runs of real processes the same, made again?

Random schedules of every kind of scenario are made, and each of them again ten times. What was
offered, what was taken and the digest of all that happened must be equal. Whatever is not is told,
with exit code 1. With ``--hogs`` so many processes beside do nothing but compute.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from harness.engine import campaign
from harness.errors import closest
from harness.live import servers
from harness.live.launching import dies_with_us
from tests.benchmarks.table import say
from tests.live.replays import kinds, replayed

_clock = perf_counter


@contextmanager
def computing(number: int) -> Iterator[None]:
    """So many processes that only compute."""
    command = [sys.executable, "-S", "-c", "while True: pass"]
    hogs = [subprocess.Popen(command, preexec_fn=dies_with_us()) for _ in range(number)]  # noqa: PLW1509
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def campaign_of(names: list[str], *, replays: int) -> int:
    """Make the replays of these kinds; the exit code."""
    known = kinds()
    total = same = 0
    for name in names or known:
        if name not in known:
            raise closest(name, known, kind="kind of scenario")
        started = _clock()
        made = replayed(known[name](), replays=replays)
        total, same = total + made.number, same + made.same
        took = _clock() - started
        say(f"  {name:<34}{made.same:>6,} of {made.number:<6,}{took:>8.1f} s")
        for difference in made.differences:
            say(f"    {difference}")
    say(f"{same:,} of {total:,} identical")
    return int(same != total)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.live_replays", description=__doc__
    )
    parser.add_argument("--replays", type=int, default=200, help="of each kind (200)")
    parser.add_argument("--hogs", type=int, default=0, help="processes that compute beside (0)")
    parser.add_argument("--kind", action="append", default=[], help="only this one; repeatable")
    options = parser.parse_args()
    if why := servers.missing():
        say(f"nothing can be run live here: {why}")
        return 3
    with computing(options.hogs), campaign():
        return campaign_of(options.kind, replays=options.replays)


if __name__ == "__main__":
    sys.exit(main())
