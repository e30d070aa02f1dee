"""``python -m tests.benchmarks``: one table of what everything costs."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Protocol

from harness.engine import campaign
from tests.benchmarks import kernel, stories, world
from tests.benchmarks.table import WIDTH, Row, say


class Rows(Protocol):
    """One part of the table."""

    def __call__(self, *, quick: bool) -> Iterator[Row]: ...


PARTS: dict[str, Rows] = {
    "steps and runs": kernel.rows,
    "scenarios": stories.rows,
    "the world, first in first out": world.rows,
}


def print_table(*, quick: bool) -> None:
    """Measure all parts in this process and print a line as soon as it is known."""
    say(f"python {platform.python_version()}, trio {version('trio')}, medians, side by side")
    with campaign():
        for title, rows in PARTS.items():
            say(f"\n{title} ".ljust(WIDTH, "-"))
            for row in rows(quick=quick):
                say(str(row))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few repeats only: a smoke test")
    print_table(quick=parser.parse_args().quick)


if __name__ == "__main__":
    main()
