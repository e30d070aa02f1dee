"""What ``changeover prove`` does: every distinct interleaving within a bound, or how far it got."""

from __future__ import annotations

import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from harness.campaign import Interrupt
from harness.confirmation import finding_of, smaller, versions
from harness.doors import output
from harness.doors.jobs import crew_size
from harness.doors.keeper import Keeper
from harness.doors.output import say, tell, wants_ascii
from harness.doors.progress import Progress
from harness.doors.proofcrew import Jobs
from harness.doors.prooffile import ProofFile
from harness.doors.registry import load_scenarios, named
from harness.doors.seeds import choose_seed
from harness.doors.wordings import finding_report
from harness.engine import Misfit, check_trustworthy, execute, follow
from harness.errors import UntrustworthyError, UsageError
from harness.findings import store
from harness.findings.finding import Finding
from harness.findings.markdown import github_annotation
from harness.findings.serial import encode
from harness.findings.wording import counted, only_ascii, wrapped
from harness.proof.bounds import Bound
from harness.proof.errands import Subject
from harness.proof.explorer import Tally
from harness.proof.proving import (
    HELD,
    SPENT,
    VIOLATED,
    Alone,
    Budget,
    CrewLostError,
    Proof,
    Watch,
    prove,
)
from harness.schedule.choices import Schedule
from harness.settings import duration_s, load_settings

#: 5 says that nothing was proved; it is never a pass.
_CODES = {HELD: 0, VIOLATED: 1, SPENT: 5}


def prove_command(options: Namespace) -> int:
    """Prove one scenario; returns the exit code."""
    if options.schedules is not None and options.schedules < 1:
        raise UsageError(f"--schedules must be 1 or more, not {options.schedules}")
    if options.shrink_budget < 0:
        raise UsageError(f"--shrink-budget must be 0 or more, not {options.shrink_budget}")
    jobs = crew_size(options.jobs, schedules=options.schedules)
    settings, problems = load_settings(), list[str]()
    scenario = named(options.scenario, load_scenarios(settings, problems=problems), problems)
    root = settings.folder / store.ROOT
    bound = Bound.parse(options.bound, restarts=options.restarts)
    if bound.restarts > scenario.faults_max:
        raise UsageError(
            f"--restarts {bound.restarts} is more than {scenario.name} allows; "
            f"declare it with faults_max={bound.restarts}"
        )
    seed = choose_seed(options.seed).number
    variant = scenario.variant(guards=options.guards, bug=options.bug)
    subject = Subject(scenario, seed, variant, bound)
    file = ProofFile(subject, root)
    tell(f"changeover {versions()['changeover']}   prove {scenario.name}   seed {seed}   {bound}")
    interrupt, progress = Interrupt(), Progress(sys.stderr, scenario.name, None)
    saved = None if options.fresh else file.read()
    before = Tally.of(saved["tally"]).runs if saved is not None else 0
    with ExitStack() as stack:
        stack.enter_context(interrupt.caught())
        stack.callback(progress.end)
        stack.enter_context(_trusting(file))
        crew = stack.enter_context(Jobs(jobs, interrupt)) if jobs > 1 else Alone
        proof = prove(
            subject,
            Budget(options.schedules, _limit_s(options.time_limit)),
            crew=crew,
            saved=saved,
            watch=Watch(
                on_save=file.write,
                on_progress=lambda tally: progress.update(tally.runs - before, 0),
                interrupted=interrupt,
            ),
        )
    finding = None
    if proof.verdict == VIOLATED:
        finding = _found(proof, root, shrink_budget=options.shrink_budget)
    if proof.verdict != SPENT:
        file.remove()
    code = 2 if proof.ended_by == "interrupted" else _CODES[proof.verdict]
    _show(proof, finding, options, code=code, kept=file.place if file.kept else None)
    return code


@contextmanager
def _trusting(file: ProofFile) -> Iterator[None]:
    """A search is kept only while its target does the same twice."""
    try:
        yield
    except CrewLostError:
        raise
    except UntrustworthyError:
        file.discredit()
        raise


def _limit_s(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return duration_s(text)
    except ValueError as error:
        raise UsageError(f"--time-limit must be {error}, not {text!r}") from None


# --- the verdict ------------------------------------------------------------------------------


def _found(proof: Proof, root: Path, *, shrink_budget: int) -> Finding:
    """The finding of a violated proof: made again, confirmed, saved and shrunk like any other."""
    subject = proof.subject
    choices = {step: choice for step, choice in enumerate(proof.choices, 1) if choice}
    schedule = Schedule(subject.scenario.name, subject.seed, choices, dict(subject.variant))
    try:
        run = execute(
            subject.scenario,
            seed=schedule.seed,
            choose=follow(schedule),
            variant=schedule.variant,
            digested=True,
        )
    except Misfit as misfit:
        raise UntrustworthyError(f"{schedule.token} cannot be repeated: {misfit}") from None
    check_trustworthy(run)
    if not run.violated:
        raise UntrustworthyError(f"{schedule.token} broke a rule, and does not when made again")
    keeper = Keeper(root, announce=tell)
    found = replace(
        finding_of(run),
        strategy="dpor",
        schedule_number=proof.tally.runs,
        seconds=round(proof.seconds, 3),
    )
    saved = keeper(found, None)
    if not shrink_budget:
        return saved
    with suppress(Misfit, UntrustworthyError):
        small = smaller(saved, subject.scenario, budget_runs=shrink_budget, wall_s=30.0)
        return keeper(small, saved)
    return saved


def _show(
    proof: Proof, finding: Finding | None, options: Namespace, *, code: int, kept: Path | None
) -> None:
    ascii = wants_ascii(options.ascii)
    if options.format == "json":
        say(json.dumps(data_of(proof, finding, code), indent=1))
        return
    if finding is not None:
        say(finding_report(finding, ascii=ascii))
    text = verdict_text(proof, code, kept)
    say(only_ascii(text) if ascii else text)
    if finding is not None and output.format_of(options.format) == "github":
        say(github_annotation(finding))


def verdict_text(proof: Proof, code: int, kept: Path | None) -> str:
    """The verdict, what it rests on, and what it does not say."""
    tally, name = proof.tally, proof.subject.scenario.name
    if proof.verdict == HELD:
        number = (
            "the only interleaving"
            if tally.complete == 1
            else (f"all {tally.complete:,} distinct interleavings")
        )
        first = f"HELD  {name} in {number} within the bound (exit {code})"
    elif proof.verdict == VIOLATED:
        first = f"VIOLATED  {name} in interleaving {tally.complete:,} (exit {code})"
    else:
        first = (
            f"BUDGET SPENT  {name}: nothing is proved; {tally.complete:,} distinct interleavings "
            f"were made (exit {code})"
        )
    lines = [first]
    for heading, text in _facts(proof, kept):
        start = f"  {heading:<10}"
        lines += wrapped(text, 80, indent=start, hanging=" " * len(start))
    return "\n".join(lines) + "\n"


def _facts(proof: Proof, kept: Path | None) -> list[tuple[str, str]]:
    tally, probes = proof.tally, proof.probes
    bound, real = proof.subject.bound, proof.subject.scenario.stage is not None
    within = (
        f"at most {bound.restarts} fault(s); requests in any order" if real else bound.describe()
    )
    facts = [("bound", within)]
    if proof.ended_by:
        facts.append(("ended by", proof.ended_by))
    if proof.verdict == SPENT and probes.drawn:
        low, high = (f"{100 * each:.0f}" for each in probes.interval)
        facts.append(
            (
                "unseen",
                f"{100 * probes.share:.0f} % (95 % interval {low} to {high} %) of what a random "
                f"walk within the bound meets: {probes.unseen} of {probes.drawn} random runs were "
                "in an order that the search had not made",
            )
        )
    again = f", {tally.asleep:,} given up because the rest was seen" if tally.asleep else ""
    since = f"; {proof.went_on_from:,} of them before" if proof.went_on_from else ""
    facts.append(
        (
            "runs",
            f"{tally.runs:,} ({tally.complete:,} distinct{again}){since}; "
            f"{tally.steps_max:,} steps at most; {proof.seconds:.1f} s",
        )
    )
    if proof.all_runs:
        facts.append(("unreduced", _unreduced(proof)))
    if proof.traded:
        pairs = counted(proof.traded, "pair")
        facts.append(
            ("checked", f"{pairs} of independent steps traded places, and nothing changed")
        )
    if tally.every_step:
        rules = ", ".join(tally.every_step)
        facts.append(
            (
                "hint",
                f"{rules} looks at everything after every step, so that no two steps are "
                "independent: give it on=… to make proofs smaller",
            )
        )
    if proof.vacuous:
        facts.append(("vacuous", "no restart overlapped a write in any run"))
    if proof.verdict == SPENT and kept is not None:
        facts.append(("go on", f"the same command goes on from {kept}"))
    return facts


def _unreduced(proof: Proof) -> str:
    if proof.counted:
        return f"{proof.all_runs:,} runs without reduction, counted"
    widths = sorted(proof.probes.widths)
    low, high = (f"1e{math.log10(each):.0f}" for each in (widths[0], widths[-1]))
    return (
        f"about 1e{math.log10(proof.all_runs):.0f} runs without reduction, Knuth's estimate from "
        f"{proof.probes.drawn} random runs (single ones say {low} to {high})"
    )


def data_of(proof: Proof, finding: Finding | None, code: int) -> dict[str, object]:
    """The verdict as JSON values."""
    tally, probes = proof.tally, proof.probes
    low, high = probes.interval
    return {
        "format": 1,
        "scenario": proof.subject.scenario.name,
        "seed": proof.subject.seed,
        "variant": dict(proof.subject.variant),
        "bound": str(proof.subject.bound),
        "verdict": proof.verdict,
        "exit_code": code,
        "ended_by": proof.ended_by,
        "interleavings": tally.complete,
        "seen_before": tally.asleep,
        "cut": tally.cut,
        "steps_max": tally.steps_max,
        "seconds": round(proof.seconds, 3),
        "unseen": None
        if proof.verdict != SPENT or not probes.drawn
        else {"share": probes.share, "low": low, "high": high, "drawn": probes.drawn},
        "unreduced": {"runs": proof.all_runs, "counted": proof.counted},
        "traded": proof.traded,
        "vacuous": proof.vacuous,
        "finding": encode(finding) if finding is not None else None,
    }
