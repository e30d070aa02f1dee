"""The watchdog counts the time in which a step could have run, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from harness.schedule.watchdog import Meter, waited_for_processor_s

#: A step that stops its own process, as Ctrl-Z does, and goes on when somebody lets it.
STOPS = """
    import os, signal, time
    from harness.schedule.simulation import Limits, Simulation

    def compute(until_s):
        while time.thread_time() < until_s:
            pass

    async def stops():
        compute(time.thread_time() + 0.6)
        os.kill(os.getpid(), signal.SIGSTOP)
        compute(time.thread_time() + 0.6)

    with Simulation(limits=Limits(step_wall_s=2)) as simulation:
        simulation.spawn("main", stops, main=True)
        while options := simulation.options():
            simulation.apply(options[0])
    print(simulation.ending.kind)
"""


def test_what_a_step_waits_for_a_processor_does_not_count() -> None:
    meter = Meter()
    meter.look(100.0, 7.0, due_s=0.25)
    assert meter.look(100.25, 7.0, due_s=0.25) == pytest.approx(0.25)
    assert meter.look(100.5, 7.2, due_s=0.25) == pytest.approx(0.05)
    assert meter.look(100.75, 7.5, due_s=0.25) == 0.0


def test_the_time_in_which_the_watchdog_was_stopped_itself_does_not_count() -> None:
    meter = Meter()
    meter.look(100.0, 0.0, due_s=0.25)
    assert meter.look(3_700.0, 0.0, due_s=0.25) == pytest.approx(0.5)


def test_a_run_that_is_stopped_and_goes_on_later_is_not_accused() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STOPS)], stdout=subprocess.PIPE, text=True
    ) as stopped:
        _, status = os.waitpid(stopped.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        time.sleep(2.5)  # longer than the step may take
        os.kill(stopped.pid, signal.SIGCONT)
        said, _ = stopped.communicate(timeout=60)
    assert said == "finished\n"


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="no /proc/self/schedstat")
def test_a_thread_that_shares_its_processor_waits_for_it() -> None:
    pinned = f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])\n"
    hog = subprocess.Popen([sys.executable, "-c", pinned + "while True: pass"])
    waited: list[float] = []

    def compute() -> None:
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # of this thread alone
        me = threading.get_ident()
        waited.append(waited_for_processor_s(me))
        until_s = time.thread_time() + 0.3
        while time.thread_time() < until_s:
            pass
        waited.append(waited_for_processor_s(me))

    try:
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join()
    finally:
        hog.kill()
        hog.wait()
    assert waited[1] - waited[0] > 0.02


def test_of_a_thread_that_is_not_there_nothing_is_known() -> None:
    assert waited_for_processor_s(1) == 0.0
