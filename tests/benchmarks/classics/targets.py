"""What the search has to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.benchmarks.classics.catalogue import PROGRAMS
from tests.benchmarks.classics.measure import PORTFOLIO, Figures

#: Schedules on average that a strategy may need at most, always finding the bug.
MEANS = {
    ("surw", "reorder_10"): 25,
    ("surw", "reorder_50"): 90,
    ("surw", "twostage_20"): 60,
    ("pos", "bluetooth_driver"): 36,
}
#: Schedules within which the portfolio finds every bug from every seed.
PORTFOLIO_SCHEDULES = 2000
#: Our schedules a second, as a multiple of theirs.
SPEED = {"detangle random": 2.0, "simloom random": 20.0}


def lines(figures: Sequence[Figures]) -> Iterator[str]:
    """One line for each target that these figures say something about."""
    by_name = {(each.strategy, each.program): each for each in figures}
    for (strategy, program), most in MEANS.items():
        each = by_name.get((strategy, program))
        if each is None:
            continue
        met = each.mean is not None and each.found == len(each.searches) and each.mean <= most
        mean = "-" if each.mean is None else f"{each.mean:.1f}"
        yield line(f"{strategy} in {program}", f"{mean}, {found_of(each)}", f"<= {most}", met=met)
    searched = [each for each in figures if each.strategy == PORTFOLIO]
    searched = [each for each in searched if not PROGRAMS[each.program].challenge]
    if searched:
        missed = [
            f"{each.program} ({found_of(each)})"
            for each in searched
            if any(not one.found or one.schedules > PORTFOLIO_SCHEDULES for one in each.searches)
        ]
        share = f"{len(searched) - len(missed)} of {len(searched)}"
        yield line("portfolio finds each, from every seed", share, "all", met=not missed)
        for name in missed:
            yield f"    not {name}"


def speed_lines(ratios: Mapping[str, float]) -> Iterator[str]:
    """One line for each peer whose speed was compared."""
    for peer, least in SPEED.items():
        if peer in ratios:
            yield line(
                f"schedules/s against {peer}",
                f"{ratios[peer]:.1f} x",
                f">= {least:.0f} x",
                met=ratios[peer] >= least,
            )


def line(name: str, figure: str, target: str, *, met: bool) -> str:
    """One target."""
    return f"  {name:<38}{figure:>17}{target:>12}{'ok' if met else 'missed':>9}"


def found_of(figures: Figures) -> str:
    """How many searches found it."""
    return f"{figures.found} of {len(figures.searches)}"
