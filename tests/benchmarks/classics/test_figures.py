"""What the command prints, and the gate that compares it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from harness.engine import campaign
from tests.benchmarks.classics import baseline, published, targets
from tests.benchmarks.classics.__main__ import available, main
from tests.benchmarks.classics.catalogue import CLASSIC, PROGRAMS
from tests.benchmarks.classics.measure import Figures, Search, search
from tests.benchmarks.table import WIDTH

NOBODY_PUBLISHED = {"dining_3", "dining_7"}


def figures(strategy: str, program: str, *schedules: int, most: int = 100) -> Figures:
    """Searches that found the bug after so many schedules; 0 is one in vain."""
    return Figures(
        program,
        strategy,
        most,
        tuple(
            Search(seed, count or most, count > 0, 10 * count, 0.5)
            for seed, count in enumerate(schedules)
        ),
    )


def test_the_mean_is_of_those_that_found_it_and_the_gate_counts_all() -> None:
    some = figures("random", "account", 2, 4, 9, 0)
    assert (some.found, some.mean, some.median) == (3, 5, 4)
    assert some.deviation == pytest.approx(3.606, abs=0.001)
    assert some.mean_spent == (2 + 4 + 9 + 100) / 4
    none = figures("random", "account", 0, 0)
    assert (none.found, none.mean, none.median, none.deviation) == (0, None, None, None)


def test_a_search_is_the_same_twice_and_counts_no_profile() -> None:
    scenario = PROGRAMS["deadlock01"].scenario()
    with campaign():
        one, two = (search(scenario, "random", seed=5, schedules=50) for _ in range(2))
        first_in_first_out = search(scenario, "portfolio", seed=5, schedules=50)
    assert (one.schedules, one.steps, one.found) == (two.schedules, two.steps, two.found)
    # Already the first-in-first-out run deadlocks: the portfolio counts it.
    assert first_in_first_out.schedules == 1


def test_the_published_figures_are_read() -> None:
    known = published.PUBLISHED
    assert known["reorder_10"]["SURW"] == published.Published(17.0, 11.0)
    assert known["reorder_10"]["POS"].mean is None
    assert known["SafeStack"]["SURW"] == published.Published(368921.0, 329371.0, always=False)
    assert str(known["bluetooth_driver"]["POS"]) == "36±29"
    assert str(known["bluetooth_driver"]["N-S"]) == "1494±1474*"
    assert "RW" not in known["carter01"]
    classics = {name for name, program in PROGRAMS.items() if program.kind == CLASSIC}
    assert set(known) == classics - NOBODY_PUBLISHED


@pytest.mark.parametrize(
    ("text", "said"),
    [("stack 1 2 3", "stack has 3 figures"), ("stack" + " 1" * 12 + " x", "'x' is not a figure")],
)
def test_a_wrong_table_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        published.parse(text)


def test_a_target_is_met_only_if_every_search_finds_it() -> None:
    (met,) = targets.lines([figures("surw", "reorder_10", 10, 20)])
    (missed,) = targets.lines([figures("surw", "reorder_10", 10, 0)])
    (slow,) = targets.lines([figures("surw", "reorder_10", 10, 90)])
    assert met.endswith("ok")
    assert missed.endswith("missed")
    assert slow.endswith("missed")


def test_the_portfolio_has_to_find_all_but_challenges() -> None:
    found = [figures("portfolio", "account", 3), figures("portfolio", "stack", 1999, most=2000)]
    assert next(iter(targets.lines(found))).endswith("ok")
    lines = list(targets.lines([*found, figures("portfolio", "queue", 3, 0)]))
    assert lines[0].endswith("missed")
    assert lines[1:] == ["    not queue (1 of 2)"]
    assert list(targets.lines([figures("portfolio", "SafeStack", 0)])) == []


def test_speed_is_compared_with_those_that_were_there() -> None:
    (one,) = targets.speed_lines({"detangle random": 1.5, "frontrun random": 9.0})
    assert one.split()[-1] == "missed"


def test_the_table_has_a_line_for_every_strategy_and_fits_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ("--programs", "account", "four_windows", "--strategies", "portfolio", "random")
    assert main([*asked, "--seeds", "2", "--schedules", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    rows = [line.split()[0] for line in lines if " of 2 " in line and "finds each" not in line]
    assert rows == ["portfolio", "random"] * 2
    assert any("18±24" in line for line in lines)
    assert any(line.startswith("targets") for line in lines)


def test_the_command_accuses_nobody_of_the_repaired(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--programs", "account", "half_a_pair", "--twins", "20"]) == 0
    assert capsys.readouterr().out.count("held in      20 schedules") == 2


def test_a_strategy_that_needs_three_times_as_many_is_worse() -> None:
    before = {"surw": {"stack": 10.0, "queue": 4.0}, "random": {"stack": 5.0, "queue": 5.0}}
    now = {"surw": {"stack": 30.0, "queue": 12.0}, "random": {"stack": 50.0, "queue": 0.5}}
    assert baseline.ratios(before, now) == {
        "surw": pytest.approx(3.0),
        "random": pytest.approx(1.0),
    }
    assert list(baseline.worse(before, now)) == ["surw"]


def test_a_strategy_or_a_program_that_went_away_is_worse() -> None:
    before = {"surw": {"stack": 10.0}, "pos": {"stack": 10.0}}
    assert baseline.worse(before, {"pos": {"queue": 1.0}}) == {"surw": math.inf, "pos": math.inf}


def test_a_baseline_of_another_extent_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    one = figures("random", "account", 3, 5)
    extent = baseline.Extent("small", ("account",), seeds=2, schedules=100)
    baseline.save({"small": baseline.to_json(extent, [one])}, path)
    assert baseline.load(extent, path) == {"random": {"account": 4.0}}
    assert json.loads(path.read_text())["small"]["figures"]["random"]["account"]["found"] == 2
    with pytest.raises(ValueError, match="--baseline write"):
        baseline.load(baseline.Extent("small", ("account",), seeds=3, schedules=100), path)


def test_no_strategy_got_worse() -> None:
    before = baseline.load(baseline.REDUCED)
    with campaign():
        now = baseline.spent_of(list(baseline.measure_extent(baseline.REDUCED, tuple(before))))
    assert baseline.worse(before, now) == {}


def test_the_baseline_has_every_strategy_and_program() -> None:
    for extent in baseline.EXTENTS:
        before = baseline.load(extent)
        assert set(before) == set(available())
        assert all(set(programs) == set(extent.programs) for programs in before.values())
