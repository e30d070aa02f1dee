"""A committed baseline, and whether a strategy searches worse than it did.

The figures are exact: seeds are fixed, so the same code spends the same schedules on any machine.
A strategy may get worse in one program and better in another; what counts is the geometric mean
over all. ``python -m tests.benchmarks.classics --baseline write`` writes it anew, after strategies
were changed on purpose.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.classics.catalogue import PROGRAMS
from tests.benchmarks.classics.measure import Figures, measured

BASELINE = Path(__file__).with_name("baseline.json")
#: How many times as many schedules a strategy may spend, on the geometric mean.
FACTOR = 2.0

#: Schedules spent by a search on average, by strategy and program.
Spent = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of the benchmark a gate runs."""

    name: str
    programs: tuple[str, ...]
    seeds: int
    schedules: int


FULL = Extent(
    "full",
    tuple(program.name for program in PROGRAMS.values() if not program.challenge),
    seeds=5,
    schedules=200,
)
#: For every commit: what is quick to run and not found at once by everybody.
REDUCED = Extent(
    "reduced",
    (
        *("account", "bluetooth_driver", "boundedBuffer", "circular_buffer", "dining_3"),
        *("reorder_3", "reorder_5", "stack", "token_ring", "twostage", "WorkStealQueue"),
        *("wronglock_3", "ack_before_write", "total_over_rolling", "four_windows"),
    ),
    seeds=4,
    schedules=40,
)
EXTENTS = (FULL, REDUCED)


def measure_extent(extent: Extent, strategies: Sequence[str]) -> Iterator[Figures]:
    """The figures of an extent, one after the other."""
    for name in extent.programs:
        scenario = PROGRAMS[name].scenario()
        for strategy in strategies:
            yield measured(
                name, scenario, strategy, seeds=range(extent.seeds), schedules=extent.schedules
            )


def to_json(extent: Extent, figures: Sequence[Figures]) -> dict[str, object]:
    """What is kept of the figures of an extent."""
    kept: dict[str, dict[str, dict[str, float]]] = {}
    for each in figures:
        kept.setdefault(each.strategy, {})[each.program] = {
            "found": each.found,
            "schedules": round(each.mean_spent, 2),
        }
    return {"seeds": extent.seeds, "schedules": extent.schedules, "figures": kept}


def spent_of(figures: Sequence[Figures]) -> Spent:
    """Schedules spent, of figures that were just measured."""
    spent: dict[str, dict[str, float]] = {}
    for each in figures:
        spent.setdefault(each.strategy, {})[each.program] = each.mean_spent
    return spent


def load(extent: Extent, path: Path = BASELINE) -> Spent:
    """Schedules spent, of the committed baseline.

    Raises :class:`ValueError` when it was measured with other seeds or schedules.
    """
    kept = json.loads(path.read_text())[extent.name]
    if (kept["seeds"], kept["schedules"]) != (extent.seeds, extent.schedules):
        raise ValueError(
            f"the {extent.name} baseline has {kept['seeds']} seeds of {kept['schedules']} "
            "schedules; write it anew: python -m tests.benchmarks.classics --baseline write"
        )
    return {
        strategy: {program: figure["schedules"] for program, figure in programs.items()}
        for strategy, programs in kept["figures"].items()
    }


def save(kept: Mapping[str, object], path: Path = BASELINE) -> None:
    """Write the baseline."""
    path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def ratios(before: Spent, now: Spent) -> dict[str, float]:
    """For each strategy of the baseline how many times the schedules it spends now.

    The geometric mean over the programs that both have; infinite for a strategy or a program of
    the baseline that is there no more.
    """
    found: dict[str, float] = {}
    for strategy, programs in before.items():
        here = now.get(strategy, {})
        if not programs.keys() <= here.keys():
            found[strategy] = math.inf
            continue
        logarithms = [math.log(here[name] / spent) for name, spent in programs.items()]
        found[strategy] = math.exp(math.fsum(logarithms) / len(logarithms))
    return found


def worse(before: Spent, now: Spent) -> dict[str, float]:
    """The strategies that got worse by more than the gate allows, and by how much."""
    return {name: ratio for name, ratio in ratios(before, now).items() if ratio > FACTOR}
