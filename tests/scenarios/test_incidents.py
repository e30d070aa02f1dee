"""Every incident is a race: first in first out is clean, the default search finds it, guards hold.

And no guard is there for show: with one guard less than enough, the incident is found again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import trio

from harness.doors.registry import load_scenarios
from harness.engine import execute
from harness.errors import UsageError
from harness.findings.finding import Finding
from harness.scenario import Scenario
from harness.settings import load_settings
from harness.world.messages import Request
from harness.world.world import World
from scenarios.incident_table import markdown
from scenarios.incidents import INCIDENTS
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import answer
from tests.benchmarks.incidents import main, search
from tests.scenarios.searches import SEED, broken, runs

ROOT = Path(__file__).parents[2]
#: How many schedules an incident with enough guards has to hold in; for more there is
#: ``python -m tests.benchmarks.incidents --held N``.
HELD = 100
#: The incidents that a reader of the news will look for.
WANTED = (
    "dYdX, 10 October 2025",
    "BitMEX, 13 May 2021",
    "BitMEX, 23 March 2023",
    "Binance, 24 March 2023",
    "Deribit, 31 October 2019",
    "Hyperliquid, 29 July 2025",
    "Nasdaq, 18 May 2012",
    "NYSE, 24 January 2023",
    "AWS DynamoDB, 19 October 2025",
    "Solana, 1 June 2022",
    "Base, 5 August 2025",
    "Eurex, 26 August 2013",
    "GitHub, 21 October 2018",
)
Guards = tuple[str, ...]


def name_of(value: object) -> str:
    """The id of a parameter."""
    if isinstance(value, Incident):
        return value.scenario.name
    return "+".join(value) if isinstance(value, tuple) else str(value)


def enough() -> list[tuple[Incident, Guards]]:
    """Every incident with every set of guards that keeps its rules."""
    return [(incident, guards) for incident in INCIDENTS for guards in incident.enough]


def one_less() -> list[tuple[Incident, Guards]]:
    """Every incident with every set of guards that would be enough with one guard more."""
    return [
        (incident, tuple(guard for guard in guards if guard != less))
        for incident, guards in enough()
        for less in guards
        if len(guards) > 1
    ]


def rules(findings: Iterable[Finding]) -> set[str]:
    """All rules that some findings broke."""
    return {violation.invariant for each in findings for violation in each.violations}


def test_the_incidents_that_everybody_knows_are_there() -> None:
    assert set(WANTED) <= {incident.system for incident in INCIDENTS}


def test_names_are_unique_and_the_command_knows_them() -> None:
    known = load_scenarios(load_settings())
    names = [incident.scenario.name for incident in INCIDENTS]
    assert len(set(names)) == len(names)
    assert set(names) <= set(known)


@pytest.mark.parametrize("incident", INCIDENTS, ids=name_of)
def test_an_incident_says_what_happened_what_is_modelled_and_what_is_not(
    incident: Incident,
) -> None:
    happened, modelled, missing = incident.lines
    assert not happened.startswith(("Modelled", "Not modelled"))
    assert modelled.startswith("Modelled: ")
    assert missing.startswith("Not modelled: ")
    module = sys.modules[incident.scenario.module]
    assert f"Source: {incident.source}" in (module.__doc__ or "")


@pytest.mark.parametrize("incident", INCIDENTS, ids=name_of)
def test_the_guards_of_an_incident_are_those_that_keep_its_rules(incident: Incident) -> None:
    scenario = incident.scenario
    assert set(scenario.guards) == {guard for guards in incident.enough for guard in guards}
    assert scenario.guards_default == ()
    assert scenario.must_reach


@pytest.mark.parametrize("incident", INCIDENTS, ids=name_of)
def test_first_in_first_out_is_clean(incident: Incident) -> None:
    run = execute(incident.scenario, seed=SEED)
    assert not run.violations, run.violations
    assert set(run.judged) == set(incident.breaks)


@pytest.mark.parametrize("incident", INCIDENTS, ids=name_of)
def test_the_default_search_finds_an_incident_within_its_budget(incident: Incident) -> None:
    campaign = search(incident, (), seed=SEED, schedules=incident.budget)
    (finding,) = campaign.findings
    assert rules(campaign.findings) <= set(incident.breaks)
    assert finding.replays == (3, 3)
    assert finding.violation.consequence


@pytest.mark.parametrize(
    ("incident", "rule"),
    [
        (incident, rule)
        for incident in INCIDENTS
        if len(incident.breaks) > 1
        for rule in incident.breaks
    ],
    ids=name_of,
)
def test_each_rule_of_an_incident_can_break(incident: Incident, rule: str) -> None:
    tried = runs(scenario=incident.scenario, seed=2, schedules=incident.budget, variant={})
    assert any(rule in broken(run) for run in tried)


@pytest.mark.parametrize(("incident", "guards"), enough(), ids=name_of)
def test_enough_guards_keep_every_rule(incident: Incident, guards: Guards) -> None:
    campaign = search(incident, guards, seed=SEED, schedules=HELD)
    assert not campaign.findings, (campaign.findings[0].token, rules(campaign.findings))
    assert campaign.statistics.schedules == HELD
    assert not campaign.statistics.unproved
    assert not campaign.vacuous, campaign.statistics.never_reached
    assert all(campaign.statistics.judged[rule] >= HELD // 2 for rule in incident.breaks)


@pytest.mark.parametrize(("incident", "guards"), one_less(), ids=name_of)
def test_one_guard_less_is_not_enough(incident: Incident, guards: Guards) -> None:
    campaign = search(incident, guards, seed=SEED, schedules=incident.budget)
    assert len(campaign.findings) == 1
    assert rules(campaign.findings) <= set(incident.breaks)


def test_a_stop_finishes_the_requests_that_have_begun() -> None:
    answers: list[str] = []

    async def story(world: World) -> None:
        network = world.network()

        async def wait(request: Request) -> None:
            await trio.sleep(5)
            await request.reply("done")

        async def ask() -> None:
            answers.append(await network.call("service", "wait"))

        service = world.service("service", lambda life: answer(life, network, "service", wait=wait))
        await service.ready()
        asking = world.start_client("client", ask)
        await trio.sleep(1)
        await service.stop()
        await world.finished(asking)
        with pytest.raises(ConnectionRefusedError):
            await network.call("service", "wait")

    run = execute(Scenario("a service stops", story), seed=SEED)
    assert not run.violations, run.violations
    assert answers == ["done"]


def test_the_command_says_how_soon_an_incident_is_found_and_that_it_holds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["hyperliquid-2025-07-29", "--seeds", "2", "--held", "20"])
    said = capsys.readouterr().out
    assert re.search(r"(?m)^hyperliquid-2025-07-29 +2 of 2 +[\d.]+ +\d+ +100$", said)
    assert re.search(r"(?m)^hyperliquid-2025-07-29 +\d+ of 20  held$", said)
    with pytest.raises(UsageError, match="did you mean 'github-2018-10-21'"):
        main(["github-2018"])


def test_the_documentation_shows_what_is_there() -> None:
    written = (ROOT / "docs" / "incidents.md").read_text(encoding="utf-8")
    assert written == markdown()
    assert not re.search(r"`{2,}|\| *\|", written)
