"""Services in other languages and with real drivers, unmodified, in the same search."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engine import execute
from harness.live.scenario import live_scenario
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from tests.live.deployments import python, rules
from tests.live.test_stage import in_order

pytestmark = pytest.mark.usefixtures("walls")
SERVICES = Path(__file__).parent / "services"


def beside(command: list[str]) -> Scenario:
    """The funding service in Python, and another one that keeps an index of its own."""

    @live_scenario(name="live-two-languages")
    def deployed(world: LiveWorld) -> None:
        rules(world)
        world.service("python", **python("funding", "1"))
        world.service("other", command)

    return deployed


def check(scenario: Scenario) -> None:
    """One after the other they agree; when both have read first, an update is lost."""
    apart = [execute(scenario, seed=0, clocked=in_order(*["python"] * 3)) for _ in range(2)]
    assert apart[0].violations == () and apart[0].held
    both = ("python#1.0: select", "other#1.0: select")
    lost = [execute(scenario, seed=0, clocked=in_order(*both), digested=True) for _ in range(2)]
    assert [each.invariant for each in lost[0].violations] == ["the_index_is_what_was_paid"]
    assert lost[0].digest == lost[1].digest


def test_a_service_in_c(tmp_path: Path) -> None:
    compiler, config = shutil.which("gcc"), shutil.which("pg_config")
    if compiler is None or config is None:
        pytest.skip("gcc and pg_config (libpq-dev) are needed to build the service in C")
    folder = subprocess.run([config, "--includedir"], capture_output=True, text=True, check=True)
    program = tmp_path / "keeper"
    source = str(SERVICES / "keeper.c")
    built = subprocess.run(
        [compiler, "-I", folder.stdout.strip(), source, "-o", str(program), "-lpq"],
        capture_output=True,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"the service in C cannot be built: {built.stderr.decode()[-200:]}")
    check(beside([str(program)]))


def test_a_service_with_psycopg() -> None:
    pytest.importorskip("psycopg")
    check(beside([sys.executable, str(SERVICES / "with_psycopg.py")]))


def test_a_service_in_javascript() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is needed")
    check(beside([node, str(SERVICES / "keeper.js")]))
