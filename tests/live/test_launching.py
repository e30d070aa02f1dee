"""However a process comes to be, it does the same."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.engine import execute
from harness.errors import UsageError
from harness.live import launching, quiescence
from harness.live.launching import COLD, FORKED, KEPT, PREWARMED, parsed
from harness.live.processes import Process
from harness.live.scenario import live_restart, live_scenario
from harness.live.stage import LiveStage
from harness.live.world import LiveWorld
from harness.schedule.books import Ending
from harness.schedule.choices import Chooser, Option
from tests.live.deployments import hand, python, rules, scripted

CRASH = "nemesis: crash restart of f"
walls = pytest.mark.usefixtures("walls")


@walls
def test_a_service_does_the_same_whether_cold_or_forked_or_prewarmed() -> None:
    script = {"a": ["sleep:3600", hand("a"), "begin", hand("b"), "exit:3"], "b": [hand("c")]}
    boots = (COLD, FORKED, PREWARMED, PREWARMED)  # the second one has waited since the first run
    made = [execute(scripted(script, boot=boot), seed=0, recorded=True) for boot in boots]
    assert len({run.taken for run in made}) == 1
    assert len({run.digest for run in made}) == 1
    told = {tuple(each.message for each in run.violations) for run in made}
    assert told == {("a#1 exited with 3: a bad day",)}


@walls
def test_a_service_that_is_kept_lives_through_many_runs() -> None:
    @live_scenario(name="live-kept", faults=[live_restart("f", kinds=["crash", "overlap"])])
    def kept(world: LiveWorld) -> None:
        rules(world)
        world.service("f", **python("kept", "1"), boot=KEPT)

    def processes(choose: Chooser) -> tuple[str, list[tuple[str, int]]]:
        with kept.stage(kept, seed=0, variant={}) as stage:  # type: ignore[misc]
            assert isinstance(stage, LiveStage)
            while options := stage.options():
                stage.apply(options[choose(options, stage.steps)])
            assert stage.ending == Ending("finished"), stage.ending
            return stage.digest(), [(each.name, each.pid) for each in stage.gate.processes]

    def overlap(options: Sequence[Option], step: int) -> int:
        return len(options) - 1 if step == 0 else 0

    def crash(options: Sequence[Option], step: int) -> int:
        return [each.label for each in options].index(CRASH) if step == 1 else 0

    first, second = processes(overlap), processes(overlap)
    assert first == second and len(first[1]) == 2
    killed, after = processes(crash), processes(overlap)
    assert killed[1][0] == first[1][0] and after[0] == first[0]
    assert after[1][0] != first[1][0] and after[1][1] == first[1][1]


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


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "sys.exit('a bad day')", "1 / 0"])
def test_a_forked_process_ends_as_a_cold_one(tmp_path: Path, ending: str) -> None:
    (tmp_path / "service.py").write_text(
        "import atexit, os, sys, threading\n"
        "class Thing:\n"
        "    def __del__(self, write=os.write): write(1, b'thing\\n')\n"
        "thing = Thing(); thing.itself = thing\n"
        "atexit.register(print, 'exit function')\n"
        "wait = threading.main_thread().join\n"
        "threading.Thread(target=lambda: print(wait() or 'thread')).start()\n"
        f"print('main')\n{ending}\n"
    )
    told: list[tuple[list[str], int | None]] = []
    for boot in (COLD, FORKED):
        process = Process(
            "x",
            1,
            [sys.executable, "-S", str(tmp_path / "service.py")],
            environment={"PATH": os.environ["PATH"]},
            directory=str(tmp_path),
            boot=boot,
        )
        assert quiescence.await_end(process.pidfd, 20.0)
        process.reap()
        process.end()
        lines = process.words.splitlines()
        told.append(([each for each in lines if not each.startswith(" ")], process.status))
    assert told[0] == told[1]
    assert {"main", "thread", "exit function", "thing"} <= set(told[0][0])


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
