"""What the verbs of the command do; each takes the parsed options and returns the exit code."""

from __future__ import annotations

import json
import sys
import webbrowser
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from harness.campaign import Interrupt
from harness.confirmation import finding_of, smaller
from harness.doors.carried import carried_over
from harness.doors.declared import scenario_of, settings_of
from harness.doors.output import say, standard_output, tell, wants_ascii
from harness.doors.reference import resolve
from harness.doors.registry import NO_SCENARIO, load_scenarios, named, of_the_project
from harness.doors.rerun import rerun
from harness.doors.walk import walk
from harness.doors.wordings import diverged, finding_report
from harness.engine import (
    Run,
    campaign,
    execute,
    follow,
)
from harness.errors import UsageError
from harness.findings import store
from harness.findings.finding import Finding
from harness.findings.html import render_html
from harness.findings.markdown import render_markdown
from harness.findings.report import headline, render_text, summary_line
from harness.findings.serial import dumps
from harness.findings.wording import counted
from harness.replay import DIVERGED, STILL_FAILS, replay
from harness.scenario import Scenario
from harness.schedule.choices import Schedule
from harness.settings import Settings, duration_s, load_settings


def list_command(options: Namespace) -> int:
    """Show what can be run and what was found."""
    settings = load_settings()
    problems: list[str] = []
    known = load_scenarios(settings, problems=problems)
    scenarios = known if options.all else of_the_project(known, settings)
    listing = store.list_findings(settings.folder / store.ROOT)
    rules = {name: _rules(each) for name, each in scenarios.items()} if options.invariants else {}
    if options.json:
        say(json.dumps(_listed(scenarios, listing.findings, rules), indent=1))
        return 0
    for name, scenario in scenarios.items():
        say(f"{name:<24} {scenario.description.partition(chr(10))[0]}".rstrip())
        for heading, text in _details(scenario, rules.get(name, ())):
            say(f"    {heading:<11}{text}")
    if not scenarios:
        say(NO_SCENARIO)
    if others := len(known) - len(scenarios):
        say(f"\n{counted(others, 'built-in scenario')} besides: changeover list --all")
    if listing.findings:
        say("\nfindings (newest first)")
        for finding in listing.findings:
            say(f"    {finding.identity}  {finding.scenario}  {headline(finding)}")
    for problem in (*problems, *listing.problems):
        _warn(problem)
    return 4 if problems else 0


def _rules(scenario: Scenario) -> tuple[str, ...]:
    return tuple(execute(scenario, seed=0).judged)


def _details(scenario: Scenario, rules: tuple[str, ...]) -> list[tuple[str, str]]:
    on = ", ".join(scenario.guards_default) or "none"
    guards = f"{', '.join(scenario.guards)} (on: {on})" if scenario.guards else ""
    faults = "; ".join(map(str, scenario.faults))
    most = f" (at most {scenario.faults_max} a run)"
    details = [("guards", guards), ("faults", faults + most if faults else "")]
    for name, text in scenario.bugs.items():
        planted = ", planted by default" if name == scenario.bug_default else ""
        details.append(("bug", f"{name}: {text}{planted}"))
    details.append(("invariants", ", ".join(rules)))
    return [(heading, text) for heading, text in details if text]


def _listed(
    scenarios: Mapping[str, Scenario],
    findings: tuple[Finding, ...],
    rules: Mapping[str, tuple[str, ...]],
) -> dict[str, object]:
    return {
        "format": 1,
        "scenarios": [
            {
                "name": name,
                "description": scenario.description,
                "guards": list(scenario.guards),
                "guards_default": list(scenario.guards_default),
                "bugs": dict(scenario.bugs),
                "bug_default": scenario.bug_default,
                "faults": [asdict(each) for each in scenario.faults],
                "faults_max": scenario.faults_max,
                **({"invariants": list(rules[name])} if rules else {}),
            }
            for name, scenario in scenarios.items()
        ],
        "findings": [
            {
                "id": each.identity,
                "scenario": each.scenario,
                "token": each.token,
                "invariant": each.violation.invariant,
                "summary": summary_line(each),
                "saved": each.saved,
            }
            for each in findings
        ],
    }


def replay_command(options: Namespace) -> int:
    """Run recorded schedules again."""
    if options.times < 1:
        raise UsageError(f"--times must be 1 or more, not {options.times}")
    if options.into is not None and options.go_on:
        raise UsageError("--continue is for a schedule's own scenario; leave it or --as away")
    settings = load_settings()
    root = settings.folder / store.ROOT
    targets = [resolve(reference, root) for reference in options.references]
    codes = [_replay_one(each, settings_of(each, settings), options) for each in targets]
    return next((code for code in (1, 3) if code in codes), 0)


def _replay_one(target: Finding | Schedule, settings: Settings, options: Namespace) -> int:
    scenario = scenario_of(target, settings, on_problem=_warn)
    root, ascii = settings.folder / store.ROOT, wants_ascii(options.ascii)
    if options.into is None:
        done = rerun(
            target, scenario, root=root, times=options.times, go_on=options.go_on, ascii=ascii
        )
    else:
        source, problems = scenario, list[str]()
        scenario = named(options.into, load_scenarios(settings, problems=problems), problems)
        done = carried_over(target, source, scenario, root=root, times=options.times, ascii=ascii)
    if options.step and done.run is not None:
        _walk(done.run, scenario)
    elif done.report:
        say(done.report)
    if done.verdict and (done.code != 3 or not done.report):
        say(done.verdict)
    return done.code


def _warn(problem: str) -> None:
    tell(f"WARNING  {problem}")


def _walk(run: Run, scenario: Scenario) -> None:
    recorded = execute(
        scenario,
        seed=run.schedule.seed,
        choose=follow(run.schedule),
        variant=run.schedule.variant,
        recorded=True,
    )
    interactive = sys.stdin.isatty() and standard_output().isatty()
    walk(recorded, say, input if interactive else None)


def report_command(options: Namespace) -> int:
    """Render a finding from its file alone."""
    finding = store.load(options.reference, load_settings().folder / store.ROOT)
    form = "html" if options.html else options.format or "text"
    renderers: Mapping[str, Callable[[], str]] = {
        "text": lambda: render_text(finding, full=options.v > 0, ascii=wants_ascii(options.ascii)),
        "html": lambda: render_html(finding),
        "markdown": lambda: render_markdown(finding),
        "json": lambda: dumps(finding),
    }
    text = renderers[form]()
    place = options.output
    if options.html and not place:
        place = str(Path(finding.saved or f"{finding.identity}.json").with_suffix(".html"))
    if not place:
        say(text)
        return 0
    path = Path(place)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}; choose another --output"
        ) from None
    say(f"wrote {path}")
    if options.html and standard_output().isatty():
        webbrowser.open(path.resolve().as_uri())
    return 0


def shrink_command(options: Namespace) -> int:
    """Go on making a finding smaller, and save what comes out, of Ctrl-C too."""
    if options.budget < 1:
        raise UsageError(f"--budget must be 1 or more, not {options.budget}")
    settings = load_settings()
    finding = store.load(options.reference, settings.folder / store.ROOT)
    settings = settings_of(finding, settings)
    root = settings.folder / store.ROOT
    try:
        limit_s = duration_s(options.time_limit)
    except ValueError as error:
        raise UsageError(f"--time-limit must be {error}, not {options.time_limit!r}") from None
    scenario = scenario_of(finding, settings, on_problem=_warn)
    done = replay(finding, scenario=scenario)
    if done.outcome == DIVERGED:
        say(diverged(done, finding, root.parent, ascii=wants_ascii(options.ascii)))
        return 3
    if done.outcome != STILL_FAILS:
        say(f"FIXED        {finding.token} holds now, there is nothing to shrink")
        return 0
    interrupt = Interrupt()
    with interrupt.caught(), campaign():
        if done.kept_by and done.run is not None:  # its steps have moved
            finding = finding_of(done.run)
        found = smaller(
            finding, scenario, budget_runs=options.budget, wall_s=limit_s, interrupted=interrupt
        )
    saved = replace(found, saved=store.save(found, root).as_posix())
    say(finding_report(saved, ascii=wants_ascii(options.ascii)))
    if interrupt.pending:
        again = f"changeover shrink {saved.identity}"
        tell(f"interrupted; the smallest so far is saved, and `{again}` goes on from it")
        return 2
    return 1


def keep_command(options: Namespace) -> int:
    """Write a finding where it will be committed."""
    settings = load_settings()
    finding = store.load(options.reference, settings.folder / store.ROOT)
    root = settings_of(finding, settings).folder / store.ROOT
    reason = options.reason
    if reason is None and sys.stdin.isatty():
        reason = input(f"what does keeping {finding.identity} guard, in one sentence? ")
    if reason is None:
        violation = finding.violation
        reason = f"{violation.invariant}: {violation.message}"
    folder = store.regressions_beside(root)
    path = store.keep(finding, reason, folder, name=options.name)
    for other in store.list_regressions(folder).findings:
        if other.digest == finding.digest and Path(other.saved) != path:
            tell(f"WARNING  {other.saved} keeps the same finding: one of the two is enough")
    say(f"kept {path}\n    reason: {reason}\n    commit it; changeover replay {path} runs it again")
    return 0
