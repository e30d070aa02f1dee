"""What a race test does when it runs: a search or a replay, and what pytest is told about it.

It knows nothing of pytest. Everything that it hands back is text, so that it survives the way from
a worker to the process that reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from harness.doors.gate import VIOLATED, Result, plan_of
from harness.doors.passage import search
from harness.doors.reference import last_seed
from harness.doors.registry import limited, load_scenarios, named
from harness.doors.rerun import rerun
from harness.doors.seeds import choose_seed
from harness.doors.wordings import report, statistics_text, summary
from harness.errors import ChangeoverError
from harness.findings import store
from harness.findings.finding import Finding
from harness.findings.report import summary_line
from harness.scenario import Scenario
from harness.schedule.choices import Schedule
from harness.settings import Profile, Settings


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a race test.

    ``text`` is the report of what is not simply green, ``headline`` its short form, ``summary``
    one line for every outcome; ``properties`` go into the test's record.
    """

    failed: bool
    text: str
    headline: str
    summary: str
    statistics: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Race:
    """One race test: which scenario, in which variant, which share of the schedules."""

    scenario: str | Scenario
    guards: str | None = None
    bug: str | None = None
    share: tuple[int, int] = (1, 1)
    test_id: str = ""
    ascii: bool = False

    def found(self, settings: Settings) -> Scenario:
        """The scenario itself; :class:`UsageError` names the closest one."""
        if isinstance(self.scenario, Scenario):
            return limited(self.scenario, settings)
        problems: list[str] = []
        return named(self.scenario, load_scenarios(settings, problems=problems), problems)


def run_race(race: Race, settings: Settings, profile: Profile, drawn: int) -> Told:
    """Search the scenario of a race test; ``drawn`` is the random seed of this pytest run."""
    try:
        scenario = race.found(settings)
        root = settings.folder / store.ROOT
        seed = choose_seed(profile.seed, last=partial(last_seed, root), drawn=drawn)
        plan = plan_of(
            profile,
            scenario,
            seed=seed.number,
            guards=race.guards,
            bug=race.bug,
            share=race.share,
        )
        result = search(scenario, plan, root=root)
    except ChangeoverError as error:
        return Told(True, f"{error}\n", str(error), str(error))
    return _told(result, race, strict=profile.strict)


def _told(result: Result, race: Race, *, strict: bool) -> Told:
    failed = bool(result.exit_code(strict=strict)) and not (
        result.interrupted and not result.findings
    )
    line = summary(result)
    headline = summary_line(result.findings[0]) if result.outcome == VIOLATED else line
    properties = {
        "race_scenario": result.scenario,
        "race_outcome": result.outcome,
        "race_seed": str(result.plan.seed),
        "race_profile": result.plan.profile,
        "race_schedules": str(result.statistics.schedules),
        "race_summary": line,
    }
    properties |= _of_findings(result.findings)
    text = report(result, ascii=race.ascii, test_id=race.test_id)
    if failed and not text:
        unproved = result.statistics.unproved.items()
        text = f"{line}\n" + "".join(f"    {name}: {why}\n" for name, why in unproved)
    return Told(
        failed,
        text,
        headline,
        line,
        statistics_text(result, ascii=race.ascii),
        tuple(properties.items()),
        result.interrupted,
    )


def _of_findings(findings: list[Finding]) -> Mapping[str, str]:
    if not findings:
        return {}
    return {
        "race_token": " ".join(finding.token for finding in findings),
        "race_digest": " ".join(finding.digest for finding in findings),
        "race_finding": " ".join(finding.saved for finding in findings),
    }


def replay_race(race: Race, settings: Settings, target: Finding | Schedule) -> Told:
    """Run exactly one recorded schedule in a race test."""
    try:
        done = rerun(
            target,
            race.found(settings),
            root=settings.folder / store.ROOT,
            ascii=race.ascii,
            test_id=race.test_id,
        )
    except ChangeoverError as error:
        return Told(True, f"{error}\n", str(error), str(error))
    first = " ".join(done.verdict.split("\n", 1)[0].split())
    properties = {
        "race_scenario": target.scenario,
        "race_outcome": first,
        "race_token": target.token,
        "race_summary": ". ".join(filter(None, (f"{target.scenario}: {first}", done.suspect))),
    }
    if done.finding is not None:
        properties |= _of_findings([done.finding])
    headline = summary_line(done.finding) if done.finding is not None else first
    return Told(
        bool(done.code),
        f"{done.report}\n{done.verdict}\n",
        headline,
        properties["race_summary"],
        properties=tuple(properties.items()),
    )
