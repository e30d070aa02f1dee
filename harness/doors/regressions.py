"""What was found before, run again before anything new is looked for.

Committed regressions are run by every door; one that breaks its rule again is back. One of which
the steps have moved guards by its ordering constraints or its labels, and one that cannot be
followed like that either is a warning, because it guards nothing any more. Limits of a search do
not apply here, and nothing touches the files.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.confirmation import finding_of
from harness.engine import campaign
from harness.findings.finding import Finding
from harness.replay import DIVERGED, STILL_FAILS, Replayed, replay
from harness.scenario import Scenario
from harness.schedule.workload import WITHOUT

HOLDS, IS_BACK, DOES_NOT_FIT = "holds", "is back", "no longer fits the code"
#: The same of more than one.
_OF_SEVERAL = {HOLDS: "hold", IS_BACK: "are back", DOES_NOT_FIT: "no longer fit the code"}


@dataclass(frozen=True, slots=True)
class Regression:
    """What became of a finding that was kept; ``finding`` is what fails now, if it does.

    ``kept_by`` says by what one that holds was followed, if its recorded steps have moved.
    """

    name: str
    outcome: str
    saved: str = ""
    detail: str = ""
    finding: Finding | None = None
    kept_by: str = ""

    @property
    def warning(self) -> str:
        """What to do about one that guards nothing any more; empty for others."""
        if self.outcome != DOES_NOT_FIT:
            return ""
        place = shlex.quote(self.saved)
        return (
            f"regression {self.name} {DOES_NOT_FIT} and guards nothing now: {self.detail}; see "
            f"what it does with `changeover replay {place} --continue`, keep a new finding in its "
            "place, or remove the file yourself"
        )


def counts(regressions: Sequence[Regression]) -> str:
    """How many came out how, and by what those are followed of which the steps have moved."""
    alike = Counter((each.outcome, each.kept_by) for each in regressions)
    told = []
    for (outcome, kept_by), count in alike.items():
        words = outcome if count == 1 else _OF_SEVERAL[outcome]
        whose = "its" if count == 1 else "their"
        by = f" by {whose} {kept_by}: the recorded steps have moved" if kept_by else ""
        told.append(f"{count} {words}{by}")
    return ", ".join(told)


def same_variant(finding: Finding, variant: Mapping[str, str]) -> bool:
    """Whether a finding was made with these guards and this planted bug, whatever it left out."""
    return {**finding.variant, WITHOUT: ""} == {**variant, WITHOUT: ""}


def rehearsed(
    findings: Iterable[Finding],
    scenario: Scenario,
    *,
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Regression]:
    """Run findings of a scenario again; raises what a run raises that cannot be judged."""
    for recorded in findings:
        if interrupted():
            return
        done = replay(recorded, scenario=scenario)
        name = Path(recorded.saved).stem or recorded.identity
        if done.outcome == DIVERGED:
            gone = "; no step has that name any more" if done.gone else ""
            yield Regression(name, DOES_NOT_FIT, recorded.saved, f"{done.misfit}{gone}")
        elif done.outcome == STILL_FAILS:
            yield Regression(name, IS_BACK, recorded.saved, finding=_now(done, recorded))
        else:
            yield Regression(name, HOLDS, recorded.saved, kept_by=done.kept_by)


def _now(done: Replayed, recorded: Finding) -> Finding:
    """The record of what fails now: the one there is, if it is that to the letter."""
    assert done.run is not None
    if done.exact:
        return recorded
    with campaign():
        again = finding_of(done.run, recorded.constraints)
    return replace(
        again,
        strategy=recorded.strategy,
        schedule_number=recorded.schedule_number,
        shrinking=recorded.shrinking,
        saved=recorded.saved,
        reason=recorded.reason,
    )
