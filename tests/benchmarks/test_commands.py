"""The benchmarks run and print what they promise. How fast anything is, no test can say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.live import servers

ROOT = Path(__file__).parents[2]
ROWS = (
    "raw coroutine step",
    "kernel step, choices recorded",
    "bare loop over trio's runner",
    "step of trio.run",
    "4 x 10 steps, raw coroutines",
    "4 x 10 steps, simulation",
    "4 x 10 steps, bare loop",
    "4 x 10 steps, trio.run",
    "incident, first in first out",
    "incident, random",
    "incident, random, all guards",
    "small ledger, random",
    "one run without judging",
    "one run, judged",
    "one run, judged and digested",
    "shrinking the first finding",
    "a checkpoint",
    "database get",
    "database put",
    "transaction: get, put, commit",
    "network call and answer",
    "object put",
)


def command(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the commands."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_table_has_every_row_and_fits_a_terminal() -> None:
    done = command("tests.benchmarks", "--quick")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [re.split(r"  +", row.strip())[0] for row in rows] == list(ROWS)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert len(re.findall(r"(?m) (?:ok|missed)$", done.stdout)) == 2


def test_detection_counts_schedules_and_shrinks() -> None:
    done = command(
        "tests.benchmarks.detection",
        *("--seeds", "2", "--schedules", "3", "--strategies", "portfolio", "random"),
        *("--shrink", "1", "--budget", "5"),
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"(?m)^(portfolio|random) +\d of 2", done.stdout) == ["portfolio", "random"]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_every_bug_is_small_and_explained_and_comes_back_after_an_edit() -> None:
    bugs = ("lazy01", "reorder_3", "ack_before_write", "index_zero")
    done = command("tests.benchmarks.explained", "--budget", "300", "--bugs", *bugs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"(?m)^(\w+) +\d+ -> \d+  yes +(?:\d+) +\d +yes", done.stdout) == list(bugs)
    assert f"{len(bugs)} of {len(bugs)}: one-minimal" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 90


def test_random_schedules_are_the_same_runs_in_two_processes() -> None:
    done = command("tests.benchmarks.determinism", "--schedules", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"20 schedules, [\d,]+ steps: every digest equal", done.stdout)


def test_two_workers_find_what_one_finds() -> None:
    name = "hyperliquid-2025-07-29"
    done = command("tests.benchmarks.workers", "--schedules", "60", "--scenarios", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"(?m)^{name} +60 .* [1-9]\d*  the same$", done.stdout)
    assert "1 of 1 the same" in done.stdout


def test_the_cost_of_every_rule_is_told() -> None:
    done = command("tests.benchmarks.rules", "--quick")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [row[0] for row in rows if row[1] == "rules" and row[0] == "all"] == ["all"] * 3
    assert {"funding_index_step_is_bounded", "pools_pay_what_they_have"} <= {r[0] for r in rows}
    assert len(re.findall(r"(?m) (?:ok|missed)$", done.stdout)) == 3


LIVE_ROWS = (
    "a statement, asked directly",
    "the same, held and let go",
    "what holding it costs",
    "python, cold",
    "python, forked",
    "python, prewarmed",
    "python, kept",
)


@pytest.mark.skipif(bool(servers.missing()), reason=servers.missing() or "-")
def test_the_table_of_live_runs_has_every_row() -> None:
    done = command("tests.benchmarks.live", "--quick")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    names = [re.split(r"  +", row.strip())[0] for row in rows]
    assert names == [*LIVE_ROWS, *["node, cold", "node, prewarmed"] * bool(shutil.which("node"))]


@pytest.mark.skipif(bool(servers.missing()), reason=servers.missing() or "-")
def test_replays_of_a_kind_are_counted_beside_others_that_compute() -> None:
    kind = ("--kind", "a timer of 1 ms", "--replays", "2", "--hogs", "1")
    done = command("tests.benchmarks.live_replays", *kind)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 identical" in done.stdout
