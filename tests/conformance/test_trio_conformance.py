"""trio's own tests, run by the kernel: it must be trio, in any order, or every finding is in doubt.

The tests that trio installs run in processes of their own, once with ``trio.run`` as it is and
once for each order with ``trio.run`` replaced by the kernel; then the outcomes are compared test
by test. What differs is listed in ``known_differences.py`` with a reason, and nothing else may.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.schedule.kernel import OLDEST_TRIO
from tests.conformance.known_differences import ANY_ORDER, BATCH_ORDER, EXCLUDED

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OLDEST = ROOT / ".venv" / "oldest-trio"
MODULES = (
    "trio._tests.test_sync",
    "trio._tests.test_channel",
    "trio._tests.test_timeouts",
    "trio._tests.test_testing",
    "trio._core._tests.test_parking_lot",
    "trio._core._tests.test_run",
)
ORDERS = ("stock@0", "fifo@0", "batch@1", "batch@2", "any@1", "any@2")
TIME_LIMIT_S = 300

#: What became of each test, by the order in which it ran.
Runs = dict[str, dict[str, str]]


def run_trio_tests(order: str, trio_folder: Path | None, results: Path) -> dict[str, str]:
    """The outcome of each of trio's tests under one order, in a process of its own."""
    name, _, seed = order.partition("@")
    folders = [trio_folder, ROOT, HERE] if trio_folder else [ROOT, HERE]
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider"),
            *("-p", "replaced_run", "-p", "trio._tests.pytest_plugin"),
            *("--rootdir", str(results.parent), "--pyargs", *MODULES),
        ],
        cwd=results.parent,
        env=environment
        | {
            "CHANGEOVER_ORDER": name,
            "CHANGEOVER_SEED": seed,
            "CHANGEOVER_RESULTS": str(results),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
        },
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert results.exists(), finished.stdout + finished.stderr
    report = json.loads(results.read_text())
    if trio_folder is not None:
        assert tuple(map(int, report["trio"].split(".")[:2])) == OLDEST_TRIO
    outcomes: dict[str, str] = report["outcomes"]
    return outcomes


@pytest.fixture(scope="module", params=["installed", "oldest"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Every order, for one version of trio, two processes at a time."""
    folder = OLDEST if request.param == "oldest" else None
    if folder is not None and not (folder / "trio").is_dir():
        pytest.fail(f"the oldest supported trio is not in {folder}; run: make test", pytrace=False)
    place = tmp_path_factory.mktemp("conformance")
    with ThreadPoolExecutor(2) as pool:
        jobs = {
            order: pool.submit(run_trio_tests, order, folder, place / f"{order}.json")
            for order in ORDERS
        }
        return {order: job.result() for order, job in jobs.items()}


def differences(runs: Runs, order: str) -> dict[str, tuple[str, str]]:
    """The tests with another outcome than stock trio's: that, and ours."""
    stock, ours = runs["stock@0"], runs[order]
    return {
        name: (stock.get(name, "absent"), ours.get(name, "absent"))
        for name in sorted(stock.keys() | ours.keys())
        if stock.get(name) != ours.get(name)
    }


def unlisted(found: dict[str, tuple[str, str]], *lists: dict[str, str]) -> dict[str, object]:
    """The differences that no list knows; a name without parameters stands for all of them."""
    known = [name for names in lists for name in names]
    return {
        name: outcome
        for name, outcome in found.items()
        if name not in known and name.partition("[")[0] not in known
    }


def test_enough_of_trio_is_compared(runs: Runs) -> None:
    stock = runs["stock@0"]
    assert len(stock) > 230
    assert set(stock.values()) == {"passed", "skipped", "xfailed"}


def test_first_in_first_out_equals_stock_trio(runs: Runs) -> None:
    assert unlisted(differences(runs, "fifo@0"), EXCLUDED) == {}


def test_every_exclusion_is_needed(runs: Runs) -> None:
    excluded = {name for name in EXCLUDED if name in runs["stock@0"]}
    assert excluded == differences(runs, "fifo@0").keys()


@pytest.mark.parametrize("order", [order for order in ORDERS if order.startswith("batch")])
def test_order_within_a_batch_changes_only_what_is_listed(runs: Runs, order: str) -> None:
    assert unlisted(differences(runs, order), EXCLUDED, BATCH_ORDER) == {}


@pytest.mark.parametrize("order", [order for order in ORDERS if order.startswith("any")])
def test_any_order_changes_only_what_is_listed(runs: Runs, order: str) -> None:
    assert unlisted(differences(runs, order), EXCLUDED, ANY_ORDER) == {}


@pytest.mark.parametrize("runs", ["installed"], indirect=True)
def test_the_lists_name_only_tests_of_the_newest_trio(runs: Runs) -> None:
    names = {part for name in runs["stock@0"] for part in (name, name.partition("[")[0])}
    assert [name for name in [*EXCLUDED, *BATCH_ORDER, *ANY_ORDER] if name not in names] == []
