"""``python -m tests.benchmarks.endurance --hours 3 --kills 20``: fuzz, killed again and again.

Starts ``changeover fuzz`` in a folder of its own, kills it with SIGKILL at random moments, and
looks after each kill: everything that was announced is there and can be read, nothing is broken,
and the next start searches within five seconds.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic

from harness.errors import UsageError
from harness.findings import store
from tests.benchmarks.table import say

ROOT = Path(__file__).parents[2]
#: How soon a search that was killed has to search again, in seconds.
RESTART_S = 5.0
_SAVED = re.compile(r"^  saved (?P<new>\S+?)(?:, smaller(?:; it replaces (?P<old>\S+))?)?$", re.M)


def announced(told: str) -> set[str]:
    """The files that a search said it has saved and did not say it replaced."""
    files: set[str] = set()
    for match in _SAVED.finditer(told):
        files.add(match["new"])
        files.discard(match["old"] or "")
    return files


def broken_promises(told: str, folder: Path) -> list[str]:
    """What is not as it was announced in a folder, in words; nothing when all is well."""
    wrong = []
    for file in sorted(announced(told)):
        try:
            store.load(folder / file, folder / store.ROOT)
        except UsageError as error:
            wrong.append(f"{file} was announced: {error}")
    root = folder / store.ROOT
    wrong += store.list_findings(root).problems
    wrong += [f"{path} was set aside" for path in sorted(root.rglob("*.unreadable*"))]
    return wrong


def torn(folder: Path) -> list[Path]:
    """The half-written files that nobody has swept away."""
    return sorted((folder / store.ROOT).rglob(".*.tmp"))


def _moments(random: Random, hours: float, kills: int) -> Iterable[float]:
    """When to kill after each start, in seconds: together about so many hours."""
    mean_s = hours * 3600 / kills
    return [random.uniform(0.2, 1.8) * mean_s for _ in range(kills)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.endurance")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="of the moments, and of the search")
    parser.add_argument("--folder", type=Path, help="of an earlier one, to go on (a new one)")
    parser.add_argument("scenarios", nargs="*", default=["paradex-2026-01-19"])
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="changeover-endurance-"))
    told, restarts, wrong = "", [], []
    for number, moment_s in enumerate(
        _moments(Random(options.seed), options.hours, options.kills), 1
    ):
        text, restart_s = _killed(folder, options, moment_s)
        told += text
        restarts.append(restart_s)
        wrong += broken_promises(told, folder)
        say(
            f"kill {number:>2} after {moment_s:,.0f} s: {len(announced(told))} announced, "
            f"searching {restart_s:.1f} s after the start, {len(wrong)} broken promises"
        )
    late = [each for each in restarts if each > RESTART_S]
    for line in wrong:
        say(line)
    say(f"{'missed' if wrong or late else 'ok'}; slowest start {max(restarts):.1f} s; {folder}")
    sys.exit(bool(wrong or late))


def _killed(folder: Path, options: argparse.Namespace, moment_s: float) -> tuple[str, float]:
    """What a search says until it is killed, and after how long it ran its first schedule."""
    log = folder / "told.txt"
    command = [sys.executable, "-m", "harness.cli", "fuzz", *options.scenarios]
    command += ["--seed", str(options.seed), "--jobs", str(options.jobs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = monotonic()
    ends_at, searching_s = started + moment_s, 0.0
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=errors
        ) as running,
    ):
        while monotonic() < ends_at and running.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                running.wait(0.05)
            if not searching_s and " schedule" in log.read_text():
                searching_s = monotonic() - started
        if running.poll() is not None:
            sys.exit(f"the search ended by itself:\n{log.read_text()}")
        running.send_signal(signal.SIGKILL)
    return log.read_text(), searching_s or moment_s


if __name__ == "__main__":
    main()
