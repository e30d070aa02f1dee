"""``python -m tests.benchmarks.live``: what runs of real processes cost, by how they are started.

Wall-clock time on two cores, each figure with its ratio to the cold start of the same services. A
machine that does something else besides makes all of them smaller, and the ratios last longest.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from random import Random
from statistics import median
from time import perf_counter

from harness.engine import campaign, execute
from harness.live import launching, readiness, servers
from harness.live.client import Client
from harness.live.launching import COLD, FORKED, KEPT, PREWARMED
from harness.live.scenario import live_restart, live_scenario
from harness.live.stage import LiveStage
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from tests.benchmarks.table import WIDTH, Row, say
from tests.live.deployments import ROOT, Command, python, rules

_clock = perf_counter
#: Runs a second that are wanted on two cores, and milliseconds over a direct statement.
WANTED = {KEPT: 40.0, FORKED: 25.0, PREWARMED: 4.0}
OVERHEAD_MS = 0.4


def overlapping(boot: str, command: Command) -> Scenario:
    """The lost update: a funding service, and the next one beside it."""

    @live_scenario(name="bench-funding", faults=[live_restart("funding", kinds=["overlap"])])
    def deployed(world: LiveWorld) -> None:
        rules(world)
        world.service("funding", **command, boot=boot)

    return deployed


def a_second(scenario: Scenario, runs: int) -> tuple[float, float]:
    """Runs and steps a second, of random orders in which a second incarnation is started."""
    _run(scenario, runs)  # what is made once is made now
    started, steps = _clock(), 0
    for seed in range(runs):
        steps += _run(scenario, seed)
    took = _clock() - started
    return runs / took, steps / took


def _run(scenario: Scenario, seed: int) -> int:
    draw = Random(seed)
    made = execute(
        scenario,
        seed=0,
        # The fault comes last, and in the first step there is nothing else but one request.
        choose=lambda options, step: 1 if step == 1 else draw.randrange(len(options)),
        recorded=True,
    )
    assert made.restarts == 1 and made.ending.kind == "finished", made.ending
    return len(made.taken)


def runs_of(kinds: dict[str, Scenario], wanted: dict[str, float], runs: int) -> Iterator[Row]:
    """A row for each way to start the same services; the first one is what others are beside."""
    first = 0.0
    for name, scenario in kinds.items():
        rate, steps = a_second(scenario, runs)
        readiness.stop()
        first = first or rate
        target = next((goal for boot, goal in wanted.items() if name.endswith(boot)), 0.0)
        yield Row(
            name,
            f"{rate:.1f} runs/s",
            f"{rate / first:.1f} x, {steps:,.0f}/s",
            f">= {target:.0f}" if target else "",
            rate >= target,
        )


def statements(number: int) -> Iterator[Row]:
    """One statement: asked directly, and held, chosen and let go."""
    server = servers.shared()
    with_client = Client(server.place, "postgres")
    direct = _median_ms(lambda: with_client.query("select 1"), number)
    with_client.close()

    @live_scenario(name="bench-statement", steps_max=number + 10)
    def asking(world: LiveWorld) -> None:
        world.service("asks", **python("script", *["select 1"] * number), boot=FORKED)

    with asking.stage(asking, seed=0, variant={}) as stage:  # type: ignore[misc]
        assert isinstance(stage, LiveStage)
        through = _median_ms(lambda: stage.apply(stage.options()[0]), number - 1)
    yield Row("a statement, asked directly", f"{direct:.3f} ms", "1.0 x")
    over = through - direct
    yield Row("the same, held and let go", f"{through:.3f} ms", f"{through / direct:.1f} x")
    yield Row(
        "what holding it costs", f"{over:.3f} ms", "", f"<= {OVERHEAD_MS}", over <= OVERHEAD_MS
    )


def _median_ms(work: Callable[[], object], number: int) -> float:
    took: list[float] = []
    for _ in range(number):
        started = _clock()
        work()
        took.append(_clock() - started)
    return 1000 * median(took)


def rows(*, quick: bool) -> Iterator[Row]:
    """All lines of the table."""
    runs = 1 if quick else 60
    yield from statements(20 if quick else 1_000)
    plain, kept = python("funding", "1"), python("kept", "1")
    services = {f"python, {boot}": overlapping(boot, plain) for boot in (COLD, FORKED, PREWARMED)}
    services[f"python, {KEPT}"] = overlapping(KEPT, kept)
    yield from runs_of(services, {KEPT: WANTED[KEPT], FORKED: WANTED[FORKED]}, runs)
    if node := shutil.which("node"):
        script = Command(command=[node, f"{ROOT}/tests/live/services/keeper.js"], environment={})
        services = {f"node, {boot}": overlapping(boot, script) for boot in (COLD, PREWARMED)}
        yield from runs_of(services, {PREWARMED: WANTED[PREWARMED]}, max(1, runs // 3))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.live", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few runs only: a smoke test")
    if why := servers.missing():
        say(f"nothing can be run live here: {why}")
        return 3
    quick = parser.parse_args().quick
    say("the lost update of an overlapping restart, two processes a run ".ljust(WIDTH, "-"))
    with campaign():
        for row in rows(quick=quick):
            say(str(row))
    launching.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
