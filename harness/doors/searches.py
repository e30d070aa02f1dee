"""What ``changeover run`` and ``changeover fuzz`` do: they search, and say what came of it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.campaign import Plan, versions
from harness.doors import output
from harness.doors.endurance import Endurance
from harness.doors.gate import Result, exit_code, plan_of
from harness.doors.jobs import crew_size
from harness.doors.output import tell, wants_ascii
from harness.doors.passage import pass_through, search
from harness.doors.progress import Progress
from harness.doors.reference import last_seed
from harness.doors.registry import NO_SCENARIO, load_scenarios, named, of_the_project
from harness.doors.seeds import Seed, choose_seed
from harness.errors import UsageError
from harness.findings import store
from harness.findings.files import sweep
from harness.findings.wording import counted
from harness.scenario import Scenario
from harness.settings import Profile, Settings, load_settings

#: The options of the command line that stand for a setting of the profile.
_FLAGS = ("schedules", "seed", "strategy", "shrink_budget", "time_limit", "keep_going", "strict")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What is to be searched, and how the user wants to read of it."""

    profile: Profile
    root: Path
    chosen: Sequence[Scenario]
    plans: Sequence[Plan]
    seed: Seed
    form: str
    ascii: bool
    jobs: int

    def show(self, result: Result) -> None:
        """Tell how one scenario came out."""
        output.show(result, self.form, ascii=self.ascii)

    def close(self, results: Sequence[Result]) -> int:
        """Remember how it all came out and tell it; returns the exit code."""
        code = exit_code(results, strict=self.profile.strict)
        warning = output.remember(
            results,
            root=self.root,
            seed=self.seed.number,
            profile=self.profile.name,
            code=code,
        )
        if warning:
            tell(f"WARNING  {warning}")
        output.show_all(results, self.form, code=code, header=f"seed {self.seed}")
        return code


def _order_of(options: Namespace, *, endless: bool, live: bool = False) -> _Order | None:
    """What the command line and the settings ask for; ``None`` if there is no scenario.

    Who names none asks for all of the project that the simulation runs, or for all ``live`` ones.
    """
    settings = load_settings()
    flags = {name: getattr(options, name) for name in _FLAGS if hasattr(options, name)}
    profile = settings.profile(options.profile, flags=flags)
    jobs = crew_size(options.jobs, schedules=None if endless else profile.schedules)
    chosen = _chosen(options.scenarios, settings, live=live)
    for each in chosen:
        if live and each.stage is None:
            raise UsageError(f"{each.name} has no real processes; use: changeover run {each.name}")
    if not chosen:
        tell(
            "no scenario of yours is live; name one of `changeover list --all`"
            if live
            else NO_SCENARIO
        )
        return None
    root = settings.folder / store.ROOT
    seed = choose_seed(profile.seed, last=partial(last_seed, root))
    return _Order(
        profile=profile,
        root=root,
        chosen=chosen,
        plans=[
            plan_of(
                profile,
                each,
                seed=seed.number,
                guards=options.guards,
                bug=options.bug,
                endless=endless,
            )
            for each in chosen
        ],
        seed=seed,
        form=output.format_of(options.format),
        ascii=wants_ascii(options.ascii),
        jobs=jobs,
    )


def _chosen(names: Sequence[str], settings: Settings, *, live: bool) -> list[Scenario]:
    """The scenarios of these names, or those that are meant where none is named."""
    if not names:
        meant = of_the_project(load_scenarios(settings), settings).values()
        return [each for each in meant if (each.stage is not None) == live]
    problems: list[str] = []
    scenarios = load_scenarios(settings, problems=problems)
    chosen = [named(name, scenarios, problems) for name in dict.fromkeys(names)]
    for problem in problems:
        tell(f"WARNING  {problem}")
    return chosen


def run_command(options: Namespace) -> int:
    """Search scenarios within their budget."""
    return _search(_order_of(options, endless=False))


def live_command(options: Namespace) -> int:
    """Search scenarios of real processes within their budget."""
    return _search(_order_of(options, endless=False, live=True))


def _search(order: _Order | None) -> int:
    if order is None:
        return 5
    tell(
        f"changeover {versions()['changeover']}   profile {order.profile.name}   seed {order.seed}"
    )
    results: list[Result] = []
    for scenario, plan in zip(order.chosen, order.plans, strict=True):
        progress = Progress(sys.stderr, scenario.name, plan.schedules)
        try:
            result = search(
                scenario, plan, root=order.root, jobs=order.jobs, on_progress=progress.update
            )
        finally:
            progress.end()
        results.append(result)
        order.show(result)
        if result.interrupted:
            break
    return order.close(results)


def fuzz_command(options: Namespace) -> int:
    """Search scenarios until the time is over or Ctrl-C, and lose nothing."""
    order = _order_of(options, endless=True)
    if order is None:
        return 5
    version, profile = versions()["changeover"], order.profile
    tell(f"changeover {version}   fuzz   profile {profile.name}   seed {order.seed}")
    if swept := sweep(order.root):
        left = counted(swept, "half-written file")
        tell(f"{left} of a search that was killed {'was' if swept == 1 else 'were'} removed")
    chosen = order.chosen
    title = chosen[0].name if len(chosen) == 1 else f"{len(chosen)} scenarios"
    progress = Progress(sys.stderr, title, None)
    gates = [
        Endurance(scenario, plan, root=order.root, announce=progress.interject)
        for scenario, plan in zip(chosen, order.plans, strict=True)
    ]
    try:
        results = pass_through(
            gates,
            jobs=order.jobs,
            time_limit_s=profile.time_limit_s,
            on_progress=progress.update,
        )
    finally:
        progress.end()
    for result in results:
        order.show(result)
    return order.close(results)
