"""What ``changeover fuzz`` does: searches until it is stopped, and loses nothing."""

from __future__ import annotations

import sys
from argparse import Namespace

from harness.campaign import versions
from harness.doors import output
from harness.doors.commands import NO_SCENARIO, named
from harness.doors.endurance import Endurance
from harness.doors.gate import exit_code, plan_of
from harness.doors.output import tell, wants_ascii
from harness.doors.passage import pass_through
from harness.doors.progress import Progress
from harness.doors.reference import last_seed
from harness.doors.registry import load_scenarios
from harness.doors.seeds import choose_seed
from harness.errors import UsageError
from harness.findings import store
from harness.findings.files import sweep
from harness.findings.wording import counted
from harness.settings import load_settings


def fuzz_command(options: Namespace) -> int:
    """Search scenarios until the time is over or Ctrl-C; returns the exit code."""
    settings = load_settings()
    names = ("seed", "strategy", "shrink_budget", "time_limit", "strict")
    flags = {name: getattr(options, name) for name in names}
    profile = settings.profile(options.profile, flags=flags)
    if options.jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, not {options.jobs}")
    scenarios = load_scenarios(settings)
    chosen = [named(name, scenarios) for name in dict.fromkeys(options.scenarios or scenarios)]
    if not chosen:
        tell(NO_SCENARIO)
        return 5
    seed = choose_seed(profile.seed, last=last_seed)
    form, ascii = output.format_of(options.format), wants_ascii(options.ascii)
    tell(f"changeover {versions()['changeover']}   fuzz   profile {profile.name}   seed {seed}")
    if swept := sweep(store.ROOT):
        left = counted(swept, "half-written file")
        tell(f"{left} of a search that was killed {'was' if swept == 1 else 'were'} removed")
    title = chosen[0].name if len(chosen) == 1 else f"{len(chosen)} scenarios"
    progress = Progress(sys.stderr, title, None)
    gates = [
        Endurance(
            scenario,
            plan_of(
                profile,
                scenario,
                seed=seed.number,
                guards=options.guards,
                bug=options.bug,
                endless=True,
            ),
            announce=progress.interject,
        )
        for scenario in chosen
    ]
    try:
        results = pass_through(
            gates,
            jobs=options.jobs,
            time_limit_s=profile.time_limit_s,
            on_progress=progress.update,
        )
    finally:
        progress.end()
    for result in results:
        output.show(result, form, ascii=ascii)
    code = exit_code(results, strict=profile.strict)
    warning = output.remember(results, seed=seed.number, profile=profile.name, code=code)
    if warning:
        tell(f"WARNING  {warning}")
    output.show_all(results, form, code=code, header=f"seed {seed}")
    return code
