"""The museum: every planted bug of the reference exchange and every incident, as one catalogue.

An exhibit says what is wrong, which real incident it is modelled on, which rule must catch it, and
in how many schedules the default search must find it. A hunt is one such search.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from threading import Thread
from typing import TypeVar

from harness.doors.registry import load_scenarios
from harness.engine import Run, campaign, execute
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import PORTFOLIO, Rotation
from harness.schedule.strategies.protocol import Lesson, Seen
from harness.settings import Settings
from harness.trial import last_of_generation
from scenarios.incidents import INCIDENTS
from scenarios.incidents.incident import Incident
from target_stub.bugs import BUGS, Bug

Task = TypeVar("Task")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One defect in one scenario.

    It is found by a run that breaks one of ``breaks``; the rules in ``also`` may see it too.
    ``variant`` plants it; ``budget`` is how many schedules the default search may need. An incident
    has no ``text``: its document tells it.
    """

    name: str
    text: str
    incident: str
    family: str
    scenario: Scenario
    variant: Mapping[str, str]
    breaks: tuple[str, ...]
    also: tuple[str, ...] = ()
    budget: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """One search: ``number`` is the schedule that found it, ``run`` what that schedule did.

    ``first`` is what first-in-first-out order did, with which every search begins.
    """

    number: int
    strategy: str
    run: Run | None
    first: Run


@cache
def stories() -> Mapping[str, Scenario]:
    """All built-in scenarios by name."""
    return load_scenarios(Settings())


@cache
def exhibits() -> Mapping[str, Exhibit]:
    """The whole catalogue by name: planted bugs first, incidents below."""
    bugs = {name: of_bug(name, bug) for name, bug in BUGS.items()}
    incidents = {each.scenario.name: of_incident(each) for each in INCIDENTS}
    return {**bugs, **incidents}


def of_bug(name: str, bug: Bug) -> Exhibit:
    """A planted bug as an exhibit; :class:`KeyError` if there is no scenario of its name."""
    scenario = stories()[bug.scenario]
    return Exhibit(
        name=name,
        text=bug.text,
        incident=bug.incident,
        family=bug.family,
        scenario=scenario,
        variant=scenario.variant(bug=name),
        breaks=(bug.breaks,),
        also=bug.also,
        budget=bug.budget,
    )


def of_incident(incident: Incident) -> Exhibit:
    """An incident as an exhibit: its scenario with no guard on."""
    scenario = incident.scenario
    return Exhibit(
        name=scenario.name,
        text="",
        incident=f"[{incident.system}]({incident.source})",
        family=incident.family,
        scenario=scenario,
        variant={},
        breaks=incident.breaks,
        budget=incident.budget,
    )


def runs(
    scenario: Scenario,
    *,
    seed: int,
    schedules: int,
    variant: Mapping[str, str],
    strategies: Sequence[str] = PORTFOLIO,
) -> Iterator[tuple[str, Run]]:
    """The first schedules that a search tries, the default one if not told, with its strategy."""
    rotation, seen = Rotation(strategies, seed=seed), Seen()
    lessons: list[Lesson] = []
    with campaign():
        for number in range(1, schedules + 1):
            turn = rotation.next(seen)
            if turn is None:
                return
            strategy, choose = turn
            profiled = strategy == "fifo"
            run = execute(scenario, seed=seed, choose=choose, variant=variant, profiled=profiled)
            yield strategy, run
            lessons.append(run.lesson(number, strategy))
            if number == last_of_generation(number):
                seen, lessons = seen.after(lessons), []


def hunt(exhibit: Exhibit, *, seed: int, strategies: Sequence[str] = PORTFOLIO) -> Hunt:
    """Search until a rule breaks that must catch it, or until its budget is spent."""
    first: Run | None = None
    number = 0
    tried = runs(
        exhibit.scenario,
        seed=seed,
        schedules=exhibit.budget,
        variant=exhibit.variant,
        strategies=strategies,
    )
    for number, (strategy, run) in enumerate(tried, start=1):
        first = first or run
        if broken(run) & set(exhibit.breaks):
            return Hunt(number=number, strategy=strategy, run=run, first=first)
    if first is None:
        raise ValueError(f"a search of {exhibit.budget} schedules; at least one is needed")
    return Hunt(number=number, strategy="", run=None, first=first)


def broken(run: Run) -> set[str]:
    """The rules that a run broke."""
    return {violation.invariant for violation in run.violations}


def spread(work: Callable[[Task], Done], tasks: Sequence[Task], *, jobs: int) -> Iterator[Done]:
    """What some work makes of these tasks, in ``jobs`` processes, as each of them ends.

    The processes end with the one that asked for them, however that ends.
    """
    if jobs == 1:
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=end_with_parent) as pool:
        for done in as_completed([pool.submit(work, task) for task in tasks]):
            yield done.result()


def end_with_parent() -> None:
    """Let this process end as soon as the one that started it is gone, killed or not."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait, daemon=True).start()
