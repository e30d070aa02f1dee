"""The price of a step and of a run, against raw coroutines and other ways to run trio."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

from harness.schedule.simulation import Simulation
from tests.benchmarks.floors import BareLoop, Subject, lost_update, raw_coroutines, stock_trio
from tests.benchmarks.table import Row, median, ratio, seconds, side_by_side

#: A kernel step costs at most so many raw steps, and a small run is at least this share as fast
#: as one in the bare loop over trio's own runner.
STEPS_MAX, RATE_MIN = 10.0, 0.71
#: Tasks and checkpoints of a long run, which shows the step, and of a small one, which shows what
#: a run costs besides.
LONG, SMALL = (4, 200), (4, 10)


def simulation(tasks: int, checkpoints: int, seed: int) -> int:
    """The program in our simulation, every choice recorded; the walls are up already."""
    draw = random.Random(seed).random
    choices: list[int] = []
    run = Simulation(seed=seed)
    run.spawn("main", lost_update, tasks, checkpoints, main=True)
    with run:
        while options := run.options():
            many = len(options)
            index = int(draw() * many) if many > 1 else 0
            choices.append(index)
            run.apply(options[index])
    assert len(choices) == run.steps
    return run.steps


def rows(*, quick: bool) -> Iterator[Row]:
    """What a step costs, and how many small runs fit into a second."""
    subjects: dict[str, Subject] = {
        "raw": raw_coroutines,
        "bare": BareLoop(),
        "ours": simulation,
        "trio": stock_trio,
    }
    repeats = 3 if quick else 41
    tasks, checkpoints = LONG
    steps = side_by_side(
        {
            # Pieces of work of about the same length are disturbed alike.
            name: _us_of_step(subject, tasks, checkpoints, 12 if name == "raw" else 2)
            for name, subject in subjects.items()
        },
        repeats,
    )
    in_raw = {name: ratio(figures, steps["raw"]) for name, figures in steps.items()}
    us = {name: f"{median(figures):.2f} us" for name, figures in steps.items()}
    yield Row("raw coroutine step", us["raw"])
    yield Row(
        "kernel step, choices recorded",
        us["ours"],
        f"{in_raw['ours']:.1f} raw",
        f"<= {STEPS_MAX:.0f}",
        in_raw["ours"] <= STEPS_MAX,
    )
    yield Row("bare loop over trio's runner", us["bare"], f"{in_raw['bare']:.1f} raw")
    yield Row("step of trio.run", us["trio"], f"{in_raw['trio']:.1f} raw")
    tasks, checkpoints = SMALL
    rates = side_by_side(
        {name: _runs_per_s(subject, tasks, checkpoints, 30) for name, subject in subjects.items()},
        repeats,
    )
    per_s = {name: f"{median(figures):,.0f} runs/s" for name, figures in rates.items()}
    of_bare = ratio(rates["ours"], rates["bare"])
    yield Row("4 x 10 steps, raw coroutines", per_s["raw"])
    yield Row(
        "4 x 10 steps, simulation",
        per_s["ours"],
        f"{of_bare:.2f} of bare",
        f">= {RATE_MIN}",
        of_bare >= RATE_MIN,
    )
    yield Row("4 x 10 steps, bare loop", per_s["bare"])
    yield Row("4 x 10 steps, trio.run", per_s["trio"])


def _us_of_step(subject: Subject, tasks: int, checkpoints: int, runs: int) -> Callable[[], float]:
    def measured() -> float:
        taken: list[int] = []
        work = partial(taken.extend, (subject(tasks, checkpoints, seed) for seed in range(runs)))
        return seconds(work) * 1_000_000 / sum(taken)

    return measured


def _runs_per_s(subject: Subject, tasks: int, checkpoints: int, runs: int) -> Callable[[], float]:
    def work() -> None:
        for seed in range(runs):
            subject(tasks, checkpoints, seed)

    return lambda: runs / seconds(work)
