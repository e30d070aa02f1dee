"""Scenarios on their way through the gate: what was found before, the search, the result.

Both doors come through here. Nothing is printed; who wants to hear of a finding at once says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from harness.campaign import (
    FOUND,
    INTERRUPTED,
    Alone,
    Campaign,
    Crew,
    Interrupt,
    Plan,
    Search,
    drive,
)
from harness.doors.gate import Result
from harness.doors.jobs import Jobs
from harness.doors.keeper import Keeper
from harness.doors.regressions import rehearsed, same_variant
from harness.engine import campaign
from harness.errors import ChangeoverError, UsageError
from harness.findings import store
from harness.findings.finding import Finding
from harness.findings.wording import counted
from harness.repeat import Difference
from harness.scenario import Scenario
from harness.trial import Trial

_monotonic = time.monotonic


class Gate:
    """One scenario on its way through: what was found before, the search, the result.

    ``announce`` is told at once what is saved and what returns.
    """

    def __init__(
        self,
        scenario: Scenario,
        plan: Plan,
        *,
        root: Path = store.ROOT,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.scenario = scenario
        self.plan = plan
        self.root = root
        self.announce = announce
        self.keeper = Keeper(root, announce=announce)
        self.result = Result(scenario.name, plan)
        self.search: Search | None = None

    def rehearse(self, interrupted: Callable[[], bool]) -> None:
        """Run the committed regressions of the scenario; of shards, only the first does."""
        if self.plan.share[0] != 1:
            return
        listing = store.list_regressions(store.regressions_beside(self.root))
        self.result.warnings += [f"a regression is not run: {each}" for each in listing.problems]
        mine = [each for each in listing.findings if each.scenario == self.scenario.name]
        fitting = [each for each in mine if same_variant(each, self.plan.variant)]
        if others := len(mine) - len(fitting):
            self.result.remarks.append(
                f"{counted(others, 'regression')} with other guards or bugs not run here"
            )
        for each in rehearsed(fitting, self.scenario, interrupted=interrupted):
            self.result.regressions.append(each)
            if each.warning:
                self.result.warnings.append(each.warning)
            if each.finding is not None:
                self.announce(f"regression {each.name} is back: {each.finding.reason}")
                self.take(each.finding)

    def take(self, finding: Finding) -> None:
        """A finding of another day that fails today; it ends everything unless we keep going."""
        self.result.findings.append(finding)
        fingerprint = finding.violation.fingerprint
        self.plan = replace(self.plan, known=(*self.plan.known, fingerprint))
        if not self.plan.keep_going:
            self.result.ended_by = FOUND

    def enter(self, crew: Crew, on_trial: Callable[[Trial, Campaign], None]) -> Search:
        """The search, ready to go with a crew; it begins with what was found before."""
        search = Search(self.scenario, self.plan, on_finding=self.keeper, on_trial=on_trial)
        search.result.findings += self.result.findings
        self.search = search
        return search

    @property
    def counts(self) -> tuple[int, int]:
        """How many schedules were tried and how many bugs found so far."""
        if self.search is None:
            return (0, len(self.result.findings))
        done = self.search.result
        return (done.statistics.schedules, len(done.findings))

    @property
    def over(self) -> bool:
        """Whether there is nothing to be searched any more."""
        return bool(self.result.ended_by or self.result.error)

    def refuse(self, error: ChangeoverError) -> None:
        """Nothing can be judged here."""
        if not self.result.error:
            self.result.error = str(error)
            self.result.misused = isinstance(error, UsageError)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """What cannot be judged in here is not judged."""
        try:
            yield
        except ChangeoverError as error:
            self.refuse(error)

    def leave(self, *, interrupted: bool) -> Result:
        """The result, with everything that was found."""
        result = self.result
        if self.search is not None:
            done = self.search.result
            result.statistics = done.statistics
            result.findings = done.findings
            result.difference, result.difference_token = done.difference, done.difference_token
            result.ended_by = done.ended_by
        if result.error:
            result.ended_by = ""
        if interrupted and result.ended_by in ("", FOUND):
            result.ended_by = INTERRUPTED
        if result.difference is not None:
            self._quarantine(result.difference)
        result.remarks += self.keeper.remarks
        result.warnings += self.keeper.warnings
        return result

    def _quarantine(self, difference: Difference) -> None:
        details = asdict(difference)
        token = self.result.difference_token
        try:
            path = store.quarantine(token, self.scenario.name, details, self.root)
        except store.StoreError as error:
            self.result.warnings.append(f"the schedule could not be put in quarantine: {error}")
        else:
            self.result.quarantined = path.as_posix()


def pass_through(
    gates: Sequence[Gate],
    *,
    jobs: int = 1,
    time_limit_s: float | None = None,
    on_progress: Callable[[int, int], None] = lambda schedules, findings: None,
) -> list[Result]:
    """Bring scenarios through the gate, whatever goes wrong.

    ``time_limit_s`` is for all of them together; ``on_progress`` gets the schedules and findings
    so far. The first Ctrl-C ends everything in order, the second at once.
    """
    interrupt = Interrupt()
    started: list[float] = []

    def halted() -> str:
        if interrupt.pending:
            return INTERRUPTED
        late = time_limit_s is not None and _monotonic() - started[0] >= time_limit_s
        return f"the time limit of {time_limit_s:g} s" if late else ""

    def on_trial(trial: Trial, campaign: Campaign) -> None:
        counts = [gate.counts for gate in gates]
        on_progress(*(sum(column) for column in zip(*counts, strict=True)))

    try:
        with interrupt.caught():
            with campaign():
                for gate in gates:
                    with gate.refusing():
                        gate.rehearse(interrupt)
            going = [gate for gate in gates if not gate.over]
            with _crew(going, jobs) as crew:
                started.append(_monotonic())
                searches = {gate.enter(crew, on_trial): gate for gate in going}
                drive(
                    list(searches),
                    crew,
                    halted,
                    on_error=lambda search, error: searches[search].refuse(error),
                )
    except KeyboardInterrupt:
        interrupt.pending = True
    return [gate.leave(interrupted=interrupt.pending) for gate in gates]


@contextmanager
def _crew(gates: Sequence[Gate], jobs: int) -> Iterator[Crew]:
    if jobs > 1 and gates:
        with Jobs({gate.scenario.name: gate.plan for gate in gates}, jobs) as crew:
            yield crew
    else:
        with campaign():
            yield Alone()


def search(
    scenario: Scenario,
    plan: Plan,
    *,
    root: Path = store.ROOT,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] = lambda schedules, findings: None,
) -> Result:
    """Search one scenario to its result, whatever goes wrong; ``on_progress`` gets two counts."""
    (result,) = pass_through([Gate(scenario, plan, root=root)], jobs=jobs, on_progress=on_progress)
    return result
