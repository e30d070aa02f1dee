"""A proof from its beginning, or from where it was left, to one of three verdicts.

*Violated*: some interleaving breaks a rule. *Held*: all distinct interleavings within the bound
were made, and none does. *Budget spent*: neither is known, and how much was not seen is estimated.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.engine import campaign
from harness.errors import UntrustworthyError
from harness.proof.errands import Errand, Observation, Subject, observe
from harness.proof.explorer import Explorer, Tally
from harness.proof.probing import Probes, count_all, probe
from harness.proof.saving import take_over, to_data
from harness.proof.trading import check_trades

HELD, VIOLATED, SPENT = "held", "violated", "budget spent"
#: How often a search is written down, in seconds of real time: soon at first, then less often.
SAVED_FIRST_S, SAVED_EVERY_S = 0.5, 5.0
#: How long probing may take: this share of the search, but so many seconds at least and at most.
PROBING_SHARE, PROBING_LEAST_S, PROBING_MOST_S = 0.1, 3.0, 30.0
#: Up to how many runs the number of all runs is counted and not estimated; of real processes.
COUNTED_MAX, COUNTED_REAL_MAX = 2_000, 100
_monotonic = time.monotonic


class CrewLostError(UntrustworthyError):
    """Somebody who made runs is gone; what was learned before is as good as ever."""


class Crew(Protocol):
    """Who makes the runs."""

    def send(self, errand: Errand) -> None:
        """Let a run be made."""

    def receive(self, number: int) -> Observation | None:
        """What the run of this number saw, when it is made; nothing if somebody interrupted."""


class Alone:
    """A crew of one: this process, which makes a run when its observation is asked for."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._errands: deque[Errand] = deque()

    def send(self, errand: Errand) -> None:
        """Remember an errand."""
        self._errands.append(errand)

    def receive(self, number: int) -> Observation | None:
        """Make the oldest run."""
        errand = self._errands.popleft()
        assert errand.number == number
        return observe(self._explorer.subject, errand, self._explorer.vocabulary)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent: runs, real seconds; nothing is no limit."""

    runs: int | None = None
    time_limit_s: float | None = None


@dataclass(slots=True)
class Proof:
    """What became of a proof; ``ended_by`` says why it stopped short, if it did.

    ``choices`` are those of a run that breaks a rule, ``all_runs`` is how many runs there are
    without reduction, exactly if ``counted``. ``traded`` pairs of steps were made to trade places.
    """

    subject: Subject
    tally: Tally = field(default_factory=Tally)
    verdict: str = SPENT
    ended_by: str = ""
    choices: tuple[int, ...] = ()
    probes: Probes = field(default_factory=Probes)
    all_runs: int = 0
    counted: bool = False
    traded: int = 0
    seconds: float = 0.0
    went_on_from: int = 0

    @property
    def vacuous(self) -> bool:
        """Whether it says little: no restart ever overlapped a write."""
        return self.verdict == HELD and not self.tally.overlapped


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of a proof while it goes on, and who may interrupt it."""

    on_save: Callable[[dict[str, Any]], None] = lambda data: None
    on_progress: Callable[[Tally], None] = lambda tally: None
    interrupted: Callable[[], bool] = lambda: False


def prove(
    subject: Subject,
    budget: Budget,
    *,
    crew: Callable[[Explorer], Crew] = Alone,
    saved: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> Proof:
    """Search until the verdict is known or the budget is spent.

    ``saved`` is what ``watch.on_save`` was given by an earlier search of the same subject. Raises
    the :class:`~harness.errors.UntrustworthyError` of a target that cannot be judged here.
    """
    watch = watch or Watch()
    explorer, started = Explorer(subject), _monotonic()
    proof = Proof(subject, explorer.tally)
    hands = crew(explorer)
    if saved is not None:
        for errand in take_over(explorer, dict(saved)):
            hands.send(errand)
        proof.tally, proof.went_on_from = explorer.tally, explorer.tally.runs
    with campaign():
        _search(explorer, proof, budget, hands, watch)
        if explorer.violation is not None:
            proof.verdict, proof.choices = VIOLATED, explorer.violation
        elif explorer.done and not proof.tally.cut:
            proof.verdict, proof.ended_by = HELD, ""
        elif explorer.done:
            proof.ended_by = f"{proof.tally.cut:,} runs reached a limit of the scenario"
        if proof.verdict != VIOLATED and not watch.interrupted():
            spent_s = _monotonic() - started
            _estimate(explorer, proof, spent_s, watch.interrupted)
    proof.seconds = _monotonic() - started
    return proof


def _search(explorer: Explorer, proof: Proof, budget: Budget, hands: Crew, watch: Watch) -> None:
    """Make runs until all are made, one breaks a rule, or the budget is spent."""
    started = saved_at = _monotonic()
    pause_s = SAVED_FIRST_S
    while not explorer.done and explorer.violation is None:
        now = _monotonic()
        proof.ended_by = _ended(explorer, proof, budget, now - started, watch)
        if proof.ended_by:
            break
        if now - saved_at >= pause_s:
            watch.on_save(to_data(explorer))
            saved_at, pause_s = _monotonic(), min(2 * pause_s, SAVED_EVERY_S)
        for errand in explorer.errands():
            hands.send(errand)
        number = explorer.awaited
        try:
            observation = hands.receive(number)
        except CrewLostError:
            watch.on_save(to_data(explorer))  # nothing of this run was learned yet
            raise
        if observation is None:
            continue
        explorer.learn(observation)
        if explorer.violation is None:
            proof.traded += check_trades(explorer, number)
        watch.on_progress(explorer.tally)
    if explorer.violation is None and not explorer.done:
        watch.on_save(to_data(explorer))


def _ended(explorer: Explorer, proof: Proof, budget: Budget, spent_s: float, watch: Watch) -> str:
    """Why no further run is made; empty while there is no reason."""
    if watch.interrupted():
        return "interrupted"
    if budget.runs is not None and explorer.tally.runs - proof.went_on_from >= budget.runs:
        return f"all {budget.runs:,} runs made"
    if budget.time_limit_s is not None and spent_s >= budget.time_limit_s:
        return f"the time limit of {budget.time_limit_s:g} s"
    return ""


def _estimate(
    explorer: Explorer, proof: Proof, spent_s: float, interrupted: Callable[[], bool]
) -> None:
    """Draw random runs, to say how much was not seen and how many runs there are in all."""
    limit_s = min(PROBING_MOST_S, max(PROBING_LEAST_S, spent_s * PROBING_SHARE))
    until = _monotonic() + limit_s
    proof.probes = probe(explorer, ended=lambda: interrupted() or _monotonic() > until)
    proof.all_runs = proof.probes.all_runs
    most = COUNTED_MAX if proof.subject.scenario.stage is None else COUNTED_REAL_MAX
    if proof.all_runs <= most:
        exact = count_all(explorer, runs_max=most)
        if exact is not None:
            proof.all_runs, proof.counted = exact, True
