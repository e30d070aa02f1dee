"""One run of a search: led to a place that it has seen, then on to the end, watched step by step.

A run is told which choices lead to its place, which processes to follow from there, and which are
asleep: what they do next was looked at elsewhere, and still is the same.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from harness.errors import RefusedError, UntrustworthyError
from harness.proof.bounds import Bound, is_ahead
from harness.proof.resources import READ, Masks
from harness.proof.stagewitness import StageWitness
from harness.proof.vocabulary import Numbering, Vocabulary
from harness.proof.witness import Witness
from harness.scenario import Scenario
from harness.schedule.choices import DECISION, TASK, Option
from harness.schedule.operations import Fault, Idle, Operation

#: How a run ended: by itself; with nothing left but what is asleep; at a limit of the scenario;
#: with a broken rule.
COMPLETE, ASLEEP, CUT, VIOLATED = "complete", "asleep", "cut", "violated"
#: What kind of process takes a step, for those who reverse steps.
LASTING, ONCE, MAYBE, WAITING, CHOSEN = "lasting", "once", "maybe", "waiting", "chosen"


#: Who watches a run: of the simulation, or of anything else.
Watched = Witness | StageWitness


@dataclass(frozen=True, slots=True)
class Subject:
    """What is searched: a scenario in a variant, with its data seed, within a bound."""

    scenario: Scenario
    seed: int = 0
    variant: Mapping[str, str] = field(default_factory=dict)
    bound: Bound = field(default_factory=Bound)


@dataclass(frozen=True, slots=True)
class Errand:
    """What a run is sent to do; processes and sets of touches by their numbers."""

    number: int = 0
    prefix: tuple[int, ...] = ()
    sleep: tuple[tuple[int, int], ...] = ()
    guide: tuple[int, ...] = ()


class Step(NamedTuple):
    """One step of a run: who took it, what it touched, and who else could have gone.

    ``order`` are touches that fix an order without making it a choice, ``born`` is the index of
    the step that made the process possible (-1 if unknown), ``queue`` and ``condition`` are those
    of a request.
    """

    process: int
    choice: int
    touched: int
    order: int
    kind: str
    could: tuple[tuple[int, int], ...]
    born: int = -1
    queue: str = ""
    condition: int = -1


@dataclass(frozen=True, slots=True)
class Observation:
    """What a run came to; ``steps`` begin where its errand branched off.

    ``could`` is who could have gone on when it ended, ``width`` the product of the numbers of
    choices on its way, ``notes`` what the scenario says at the end.
    """

    number: int
    steps: tuple[Step, ...]
    ending: str
    could: tuple[tuple[int, int], ...] = ()
    end_matters: bool = False
    violations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    every_step: tuple[str, ...] = ()
    overlapped: int = 0
    width: int = 1


def not_deterministic() -> str:
    """What to do about a target that does not do the same twice."""
    return (
        "the target is not deterministic, and nothing is proved. Usual causes: state that outlives "
        "a run (a global, a cache), iterating over a set, hash() or id() in a key, the wall clock, "
        "a clock or os.urandom bound at import (in a class, a default argument)"
    )


def observe(
    subject: Subject,
    errand: Errand,
    vocabulary: Vocabulary,
    *,
    draw: random.Random | None = None,
    past_violations: bool = False,
) -> Observation:
    """Run an errand; with ``draw`` go on at random, faults included, and let nobody sleep."""
    return _Passage(subject, errand, vocabulary, draw, past_violations).run()


def watched(subject: Subject) -> Watched:
    """A run of a subject that has not begun, to be entered."""
    kind = Witness if subject.scenario.stage is None else StageWitness
    return kind(subject.scenario, subject.seed, dict(subject.variant), subject.bound)


class _Passage:
    """A run while it goes on."""

    def __init__(
        self,
        subject: Subject,
        errand: Errand,
        vocabulary: Vocabulary,
        draw: random.Random | None,
        past_violations: bool,
    ) -> None:
        self.subject = subject
        self.errand = errand
        self.vocabulary = vocabulary
        self.draw = draw
        self.past_violations = past_violations
        self.number_of = Numbering(vocabulary)
        self.guide = list(errand.guide)
        self.sleep: dict[int, Masks] = {
            process: vocabulary.masks[touched] for process, touched in errand.sleep
        }
        self.steps: list[Step] = []
        self.stalled = 0
        self.width = 1
        self.taken = 0

    def run(self) -> Observation:
        with watched(self.subject) as witness:
            ending, could = self._drive(witness)
            judge = witness.judge
            if ending == COMPLETE:
                witness.end()
            if judge.violations:
                ending = VIOLATED if ending != ASLEEP else ending
            seen = len(judge.violations)
            made = Observation(
                self.errand.number,
                tuple(self.steps),
                ending,
                could,
                witness.end_matters,
                tuple(dict.fromkeys(each.invariant for each in judge.violations)),
                witness.notes,
                tuple(rule.name for rule in judge.every_step),
                witness.overlapped,
                self.width,
            )
        late = tuple(each.invariant for each in judge.violations[seen:])
        # Only now it is known who would never have ended.
        return (
            replace(made, ending=VIOLATED, violations=late) if late and ending == COMPLETE else made
        )

    def _drive(self, witness: Watched) -> tuple[str, tuple[tuple[int, int], ...]]:
        prefix = self.errand.prefix
        could: tuple[tuple[int, int], ...] = ()
        while options := witness.options():
            allowed = witness.allows(options, self.stalled)
            if self.taken < len(prefix):
                place = prefix[self.taken]
                if place >= len(options):
                    raise UntrustworthyError(
                        f"step {self.taken + 1} of a run that was made before has only "
                        f"{len(options)} options now: {not_deterministic()}"
                    )
                option = options[place]
                self.stalled += witness.stalls_by(option, allowed)
                witness.apply(option)
            else:
                could = tuple((self.number_of(option), place) for place, option in allowed)
                chosen = self._choose(witness, allowed)
                if chosen is None:
                    return ASLEEP, could
                place, option = allowed[chosen]
                self.stalled += witness.stalls_by(option, allowed)
                self._take(witness, place, option, could)
            self.taken += 1
            if witness.judge.violations and not self.past_violations:
                return VIOLATED, ()
            if witness.ending is not None and witness.ending.kind not in ("finished",):
                break
        return self._ended(witness), ()

    @staticmethod
    def _ended(witness: Watched) -> str:
        ending = witness.ending
        assert ending is not None
        if ending.kind == "refused":
            raise RefusedError(ending.detail)
        if ending.kind == "never yields":
            raise UntrustworthyError(f"a step never yielded: {ending.detail}")
        return CUT if ending.kind in ("step limit", "time limit") else COMPLETE

    def _choose(self, witness: Watched, allowed: Sequence[tuple[int, Option]]) -> int | None:
        """Which of the allowed options to take; nothing if all that must happen is asleep."""
        number_of = self.number_of
        if self.draw is not None:
            self.width *= len(allowed)
            return self.draw.randrange(len(allowed))
        if self.guide:
            wanted = self.guide.pop(0)
            for index, (_, option) in enumerate(allowed):
                if number_of(option) == wanted and wanted not in self.sleep:
                    return index
            self.guide.clear()
        # Main comes late, for its end ends all; what never has to happen only if all else sleeps.
        fair = self.taken * 2 > witness.steps_max
        awake = [
            (option.optional, option.lane == "main" and not fair, index)
            for index, (_, option) in enumerate(allowed)
            if number_of(option) not in self.sleep
        ]
        return min(awake)[2] if awake else None

    def _take(
        self,
        witness: Watched,
        place: int,
        option: Option,
        could: tuple[tuple[int, int], ...],
    ) -> None:
        vocabulary, process = self.vocabulary, self.number_of(option)
        queue, condition, born = "", -1, -1
        if isinstance(option, Operation):
            queue, born = option.queue, option.since - 1
            if option.enabled is not None:
                condition = vocabulary.set_of([(name, READ) for name, _ in option.condition])
        elif isinstance(option, Fault):
            condition = vocabulary.set_of([(name, READ) for name, _ in option.condition])
        kind = _kind(option, self.subject.bound)
        touched, order = map(vocabulary.set_of, witness.watch(option))
        self.steps.append(Step(process, place, touched, order, kind, could, born, queue, condition))
        if self.sleep:
            self._wake(vocabulary.masks[touched], process)

    def _wake(self, masks: Masks, process: int) -> None:
        self.sleep = {
            other: theirs
            for other, theirs in self.sleep.items()
            if other != process and not theirs.conflict(masks)
        }


def _kind(option: Option, bound: Bound) -> str:
    if option.kind == TASK:
        return LASTING
    if option.kind == DECISION:
        return CHOSEN
    if isinstance(option, Idle) or (is_ahead(option) and bound.waits):
        return WAITING
    return MAYBE if option.optional else ONCE
