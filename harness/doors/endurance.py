"""One scenario of a long search: what it remembers from day to day, and how it goes on.

At every moment the folder ``.changeover`` holds all that was announced: findings, the corpus, and
where the search stood at the end of a generation. What is lost by a power cut are the schedules of
a moment, which are then run again and find the same.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.campaign import NOT_SHRUNK, Campaign, Crew, Plan, Search
from harness.doors.gate import Result
from harness.doors.passage import Gate
from harness.doors.regressions import DOES_NOT_FIT, HOLDS, rehearsed, same_variant
from harness.engine import execute
from harness.errors import UsageError
from harness.findings import store
from harness.findings.corpus import Corpus, Entry
from harness.findings.files import (
    StoreError,
    file_name,
    prune,
    read_record,
    set_aside,
    write_whole,
)
from harness.findings.finding import Finding
from harness.findings.wording import counted
from harness.knowledge import StrangeError
from harness.scenario import Scenario
from harness.schedule.choices import Schedule
from harness.trial import Trial, TrialRunner

_monotonic = time.monotonic
#: How often the place of a search is written down, in seconds; seldom enough that the writing
#: takes at most one part in so many of the time.
REMEMBER_S, REMEMBER_SHARE = 0.25, 20
#: Of how many searches the place is kept.
STATES_MAX = 50


class Endurance(Gate):
    """The gate of a scenario in ``fuzz``: it goes on where it stood, and remembers what is new."""

    def __init__(
        self,
        scenario: Scenario,
        plan: Plan,
        *,
        root: Path = store.ROOT,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(scenario, replace(plan, keep_going=True), root=root, announce=announce)
        self.corpus = Corpus(scenario.name, plan.variant, root)
        self.reached: set[str] = set()
        self.unfit = 0
        self.added = 0
        self._beginning = ""
        self._remember_after = float("-inf")
        self._told: set[str] = set()

    @property
    def place(self) -> Path:
        """The file that says where this search stands."""
        plan = self.plan
        token = Schedule(self.scenario.name, plan.seed, {}, plan.variant).token
        name = hashlib.sha256(f"{token} {','.join(plan.strategies)}".encode()).hexdigest()[:8]
        return self.root / "state" / f"{file_name(self.scenario.name)}-{name}.json"

    def rehearse(self, interrupted: Callable[[], bool]) -> None:
        """Run again the regressions, then what was found and not kept; look where we stood."""
        super().rehearse(interrupted)
        listing = store.list_findings(self.root, tidy=True)
        self.result.remarks += listing.problems
        saved = [
            each
            for each in reversed(listing.findings)
            if each.scenario == self.scenario.name and same_variant(each, self.plan.variant)
        ]
        for each in rehearsed(self._smallest(saved), self.scenario, interrupted=interrupted):
            if each.finding is None:
                what = "holds now" if each.outcome == HOLDS else DOES_NOT_FIT
                self.result.remarks.append(f"{each.saved} {what}; the file stays where it is")
            elif each.finding.violation.fingerprint not in self.plan.known:
                self.take(each.finding)
        self.result.remarks += self.corpus.problems
        self._resume()
        self.plan = replace(self.plan, corpus=self.corpus.tokens)

    def _smallest(self, saved: list[Finding]) -> list[Finding]:
        """These findings, without those whose smaller one is there: a kill came between the two."""
        if not self.plan.shrink_budget:
            return saved
        small = {
            each.violation.fingerprint: each
            for each in saved
            if each.shrinking.ended_by != NOT_SHRUNK
        }
        kept = []
        for each in saved:
            smaller = small.get(each.violation.fingerprint, each)
            if each.shrinking.ended_by == NOT_SHRUNK and smaller is not each:
                self.keeper.adopt(each)
                self.keeper.supersede(Path(each.saved), Path(smaller.saved))
            else:
                kept.append(each)
        return kept

    def _resume(self) -> None:
        """Go on where the search stood, if the first run still is what it was."""
        run = execute(self.scenario, seed=self.plan.seed, variant=self.plan.variant, digested=True)
        self._beginning = run.digest
        if not self.place.is_file():
            return
        try:
            state = read_record(self.place)
            if state.get("beginning") != self._beginning:
                self.result.remarks.append("the code has changed: the search begins again")
                return
            resumed = replace(self.plan, knowledge=json.dumps(state["knowledge"]))
            number = TrialRunner(self.scenario, resumed).number
        except StrangeError as error:
            self.result.remarks.append(f"{error}: the search begins again")
        except (UsageError, KeyError) as error:
            self.result.remarks.append(f"{error}; {set_aside(self.place)}")
        else:
            self.plan = resumed
            self.result.remarks.append(f"went on after schedule {number:,} of this seed")

    def enter(self, crew: Crew, on_trial: Callable[[Trial, Campaign], None]) -> Search:
        """The search, ready to go on; what nobody has shrunk yet is shrunk."""

        def noted(trial: Trial, campaign: Campaign) -> None:
            self._note(trial)
            on_trial(trial, campaign)

        search = super().enter(crew, noted)
        search.on_generation = self._remember
        for finding in search.result.findings:
            if finding.shrinking.ended_by == NOT_SHRUNK and self.plan.shrink_budget:
                self.keeper.adopt(finding)
                crew.shrink(search, finding)
        return search

    def leave(self, *, interrupted: bool) -> Result:
        """The result, and what became of the corpus."""
        remarks = self.result.remarks
        if self.added:
            remarks.append(f"{counted(self.added, 'schedule')} added to the corpus")
        if self.unfit:
            left = f"{counted(self.unfit, 'schedule')} of the corpus no longer"
            remarks.append(f"{left} fit the code and left it")
        if self.corpus.dropped:
            left = f"{counted(self.corpus.dropped, 'schedule')} that showed least"
            remarks.append(f"{left} left the corpus, which holds {self.corpus.entries_max:,}")
        return super().leave(interrupted=interrupted)

    def _note(self, trial: Trial) -> None:
        """Put a schedule into the corpus that reached something new."""
        if trial.misfit:
            self.unfit += 1
            self.corpus.drop(trial.token)
            return
        covered = trial.lesson.covered if trial.lesson is not None else ()
        new = tuple(each for each in covered if each not in self.reached)
        self.reached.update(new)
        if new and trial.number > 0 and trial.token not in self.corpus.tokens:
            try:
                self.corpus.add(Entry(trial.token, new))
                self.added += 1
            except StoreError as error:
                self._warn(f"a schedule could not be added to the corpus: {error}")

    def _remember(self, search: Search) -> None:
        """Write down where the search stands, now and then."""
        started = _monotonic()
        knowledge = search.runner.knowledge() if started >= self._remember_after else ""
        if not knowledge:
            return
        state = f'{{"format": 1, "beginning": "{self._beginning}", "knowledge": {knowledge}}}\n'
        try:
            store.prepare(self.root, "state")
            write_whole(self.place, state)
        except StoreError as error:
            self._warn(f"where the search stands could not be written: {error}")
        prune(self.place.parent, STATES_MAX)
        now = _monotonic()
        self._remember_after = now + max(REMEMBER_S, REMEMBER_SHARE * (now - started))

    def _warn(self, warning: str) -> None:
        """Say something once."""
        kind = warning.partition(":")[0]
        if kind not in self._told:
            self._told.add(kind)
            self.result.warnings.append(warning)
            self.announce(f"WARNING  {warning}")
