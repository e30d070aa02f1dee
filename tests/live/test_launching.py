"""However a process comes to be, it does the same."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

import pytest

from harness.engine import execute
from harness.errors import UsageError
from harness.live import launching
from harness.live.launching import COLD, FORKED, parsed
from harness.live.processes import Process
from tests.live.deployments import hand, scripted

walls = pytest.mark.usefixtures("walls")


@walls
def test_a_forked_service_does_what_a_cold_one_does() -> None:
    script = {"a": ["sleep:3600", hand("a"), "begin", hand("b"), "exit:3"], "b": [hand("c")]}
    made = [execute(scripted(script, boot=boot), seed=0, recorded=True) for boot in (COLD, FORKED)]
    assert made[0].taken == made[1].taken
    assert made[0].digest == made[1].digest
    told = [[each.message for each in run.violations] for run in made]
    assert told[0] == told[1] == ["a#1 exited with 3: a bad day"]


@walls
@pytest.mark.parametrize("boot", [COLD, FORKED])
def test_a_killed_service_is_followed_by_another(boot: str) -> None:
    scenario = scripted({"a": ["begin", hand("a"), "commit"]}, kinds=["crash"], boot=boot)
    first = lambda options, step: len(options) - 1 if step == 2 else 0  # noqa: E731
    made = execute(scenario, seed=0, choose=first, recorded=True)
    assert made.restarts == 1 and not made.violations
    assert "nemesis: crash restart of a" in made.taken


def test_a_forked_process_has_its_own_environment_and_dies_with_the_server(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; print(os.environ['WHO'], *sys.argv[1:], flush=True); time.sleep(9)"
    )
    (tmp_path / "service.py").write_text(code)
    forked = [
        Process(
            "x",
            number,
            [sys.executable, "-S", str(tmp_path / "service.py"), "one", str(number)],
            environment={"WHO": f"me {number}", "PATH": os.environ["PATH"]},
            directory=str(tmp_path),
            boot=FORKED,
        )
        for number in (1, 2)
    ]
    for number, process in enumerate(forked, 1):
        while process.words.count("\n") < 1:
            assert process.read_output()
        assert process.words == f"me {number} one {number}\n"
        assert os.getsid(process.pid) == process.pid
    forked[0].end()
    assert forked[0].status == -signal.SIGKILL
    launching.stop()
    assert select.select([forked[1].pidfd], [], [], 10.0)[0]
    forked[1].end()


@pytest.mark.parametrize(
    "command",
    [["node", "x.js"], ["python3"], ["python3", "-c", "pass"], ["python3", "-m"], ["./python.c"]],
)
def test_only_python_can_be_forked(command: list[str]) -> None:
    with pytest.raises(UsageError, match="start it cold"):
        parsed(command)


def test_the_command_of_python_is_taken_apart() -> None:
    command = ["/usr/bin/python3.11", "-X", "dev", "-S", "-m", "a.b", "-m", "c"]
    assert parsed(command) == (("/usr/bin/python3.11", "-X", "dev", "-S"), "-m", "a.b", ("-m", "c"))


@walls
def test_an_unknown_way_to_start_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="forked"):
        execute(scripted({"a": []}, boot="forkd"), seed=0)
