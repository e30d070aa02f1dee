"""``python -m tests.benchmarks.classics``: schedules to the bug, program by program.

``--peers`` runs the same programs under the other tools that are installed (the extra ``peers``;
simloom needs Python 3.12). ``--twins N`` runs N schedules of every repaired twin and accuses none.
``--baseline write`` writes the committed baseline anew, ``--baseline check`` compares with it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from harness.engine import campaign
from harness.schedule.strategies.portfolio import STRATEGIES
from tests.benchmarks.classics import baseline, shim, targets
from tests.benchmarks.classics.catalogue import CLASSIC, PROGRAMS, Program, program_of
from tests.benchmarks.classics.measure import PORTFOLIO, Figures, measured, search
from tests.benchmarks.classics.peers import PEERS, Peer
from tests.benchmarks.classics.published import PUBLISHED, SAME
from tests.benchmarks.table import WIDTH, say

#: What is measured unless told otherwise, as far as it is there.
DEFAULT = (PORTFOLIO, "surw", "pos", "pct(3)", "pct(10)", "random")
LEGEND = """\
found: searches that found the bug; mean, median, sd: schedules to it of those
that did. What single strategies learn from a first-in-first-out run does not
count as a schedule, for the portfolio it does. published: published.py says by
whom; * not in every trial."""


def available() -> tuple[str, ...]:
    """The default strategies that are there."""
    return tuple(name for name in DEFAULT if name == PORTFOLIO or name in STRATEGIES)


def header(program: Program) -> str:
    """The title of a program's lines."""
    what = program.kind
    if program.kind == CLASSIC:
        what = f"{what}, {program.threads} threads"
    columns = f"{'found':>10}{'mean':>9}{'median':>9}{'sd':>8}{'runs/s':>9}{'published':>14}"
    return f"\n{program.name} ({what})\n{'':<20}{columns}"


def row(figures: Figures) -> str:
    """One strategy in one program."""
    column = SAME.get(figures.strategy, "")
    known = PUBLISHED.get(figures.program, {}).get(column)
    numbers = f"{number(figures.mean):>9}{number(figures.median):>9}{number(figures.deviation):>8}"
    return (
        f"  {figures.strategy:<18}{targets.found_of(figures):>10}{numbers}"
        f"{figures.runs_per_s:>9,.0f}{known or ''!s:>14}"
    ).rstrip()


def number(value: float | None) -> str:
    """A figure, or that there is none."""
    return "-" if value is None else f"{value:,.1f}"


def others(program: Program) -> str:
    """What else was published of a program."""
    known = PUBLISHED.get(program.name, {})
    rest = [f"{name} {known[name]}" for name in known if name not in SAME.values()]
    text = f"  published besides: {', '.join(rest)}"
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="    ")) if rest else ""


def search_all(
    programs: Sequence[Program], strategies: Sequence[str], *, seeds: int, schedules: int
) -> Iterator[Figures]:
    """Measure and print, program by program."""
    with campaign():
        for program in programs:
            say(header(program))
            scenario = program.scenario()
            for strategy in strategies:
                figures = measured(
                    program.name, scenario, strategy, seeds=range(seeds), schedules=schedules
                )
                say(row(figures))
                yield figures
            if besides := others(program):
                say(besides)


def peers_all(programs: Sequence[Program], *, seeds: int, schedules: int) -> dict[str, float]:
    """The other tools in the classic programs; how much faster we are than each, by name."""
    texts = shim.programs_over_asyncio()
    classics = [program for program in programs if program.kind == CLASSIC]
    speeds: dict[str, list[float]] = {}
    for peer in PEERS:
        state = f"{peer.version}" if peer.version else "not installed (the extra 'peers')"
        say(f"\n{peer.name}: {state}")
        for program in classics if peer.version else ():
            most = min(schedules, peer.schedules_max)
            text = texts[program.name].text
            searches = tuple(
                peer.search(partial(text, repaired=False), seed=seed, schedules=most)
                for seed in range(min(seeds, peer.seeds_max))
            )
            figures = Figures(program.name, peer.name, most, searches)
            ratio, steps = speed_ratio(program, peer, partial(text, repaired=True))
            speeds.setdefault(peer.name, []).append(ratio)
            name = f"{program.name} (of {most})"
            say(
                f"  {name:<26}{targets.found_of(figures):>10}{number(figures.mean):>9}"
                f"{number(figures.median):>9}   ours {ratio:,.1f} x as fast{steps}"
            )
    return {name: statistics.geometric_mean(each) for name, each in speeds.items()}


def speed_ratio(program: Program, peer: Peer, repaired: object) -> tuple[float, str]:
    """Our schedules a second of a repaired program in random order, over theirs; and the steps."""
    assert callable(repaired)
    ratios, steps = [], ""
    for seed in range(3):
        theirs = peer.search(repaired, seed=seed, schedules=peer.speed_schedules)
        with campaign():
            ours = search(
                program.scenario(repaired=True), "random", seed=seed, schedules=300, until_bug=False
            )
        ratios.append((ours.schedules / ours.spent_s) / (theirs.schedules / theirs.spent_s))
        if theirs.steps:
            counts = (ours.steps / ours.schedules, theirs.steps / theirs.schedules)
            steps = f", {counts[0]:,.0f} steps to {counts[1]:,.0f}"
    return statistics.median(ratios), steps


def twins_all(programs: Sequence[Program], schedules: int) -> int:
    """Run every repaired twin under the portfolio; how many were accused."""
    accused = 0
    with campaign():
        for program in programs:
            twin = program.scenario(repaired=True)
            done = search(twin, PORTFOLIO, seed=0, schedules=schedules)
            accused += done.found
            verdict = "ACCUSED" if done.found else "held"
            say(f"  {twin.name:<34}{verdict:>9} in {done.schedules:>7,} schedules")
    say(targets.line("repaired twins accused", str(accused), "0", met=not accused))
    return accused


def check_baseline() -> bool:
    """Whether no strategy got worse; prints by how much each changed."""
    good = True
    for extent in baseline.EXTENTS:
        before = baseline.load(extent)
        with campaign():
            figures = list(baseline.measure_extent(extent, tuple(before)))
        for strategy, ratio in baseline.ratios(before, baseline.spent_of(figures)).items():
            met = ratio <= baseline.FACTOR
            good = good and met
            name = f"{extent.name}: {strategy}"
            say(targets.line(name, f"{ratio:.2f} x", f"<= {baseline.FACTOR:.0f} x", met=met))
    return good


def write_baseline() -> None:
    """Measure what the gates compare, and keep it."""
    kept: dict[str, object] = {}
    for extent in baseline.EXTENTS:
        with campaign():
            figures = list(baseline.measure_extent(extent, available()))
        kept[extent.name] = baseline.to_json(extent, figures)
        say(f"  {extent.name}: {len(figures)} figures")
    baseline.save(kept)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.classics")
    parser.add_argument("--programs", nargs="+", help="which programs (all but challenges)")
    parser.add_argument("--strategies", nargs="*", help="one search for each; commas mix")
    parser.add_argument("--seeds", type=int, default=20, help="how many cold starts (20)")
    parser.add_argument("--schedules", type=int, default=2000, help="of each at most (2000)")
    parser.add_argument("--peers", action="store_true", help="the other tools as well")
    parser.add_argument("--twins", type=int, default=0, help="schedules of each repaired twin")
    parser.add_argument("--baseline", choices=("check", "write"), help="the committed figures")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> int:
    """The command; 1 when the baseline was missed or a twin accused."""
    options = options_of(arguments)
    if options.baseline == "write":
        write_baseline()
        return 0
    if options.baseline == "check":
        return 0 if check_baseline() else 1
    programs = [program_of(name) for name in options.programs or ()] or [
        program for program in PROGRAMS.values() if not program.challenge
    ]
    if options.twins:
        return 1 if twins_all(programs, options.twins) else 0
    say(f"{options.seeds} cold starts, {options.schedules} schedules at most\n{LEGEND}")
    strategies = available() if options.strategies is None else tuple(options.strategies)
    figures = list(
        search_all(programs, strategies, seeds=options.seeds, schedules=options.schedules)
    )
    ratios: Mapping[str, float] = {}
    if options.peers:
        ratios = peers_all(programs, seeds=options.seeds, schedules=options.schedules)
    reached = [*targets.lines(figures), *targets.speed_lines(ratios)]
    say("\n".join(["", "targets ".ljust(WIDTH, "-"), *reached] if reached else []))
    return 0


if __name__ == "__main__":
    sys.exit(main())
