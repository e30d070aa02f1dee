"""Ordering constraints: names for steps that survive edits, and the chooser that keeps an order.

A constraint says that one step comes before another, wherever the two may have moved to. Whoever
keeps some of them goes first-in-first-out, but passes a step over while another that must come
before it can still come, and lets faults and orphans, which never have to happen, happen in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from harness.findings.finding import Constraint, StepName
from harness.schedule.choices import TASK, Chooser, Option

#: For how many steps somebody is passed over in vain before a constraint is given up.
PATIENCE_STEPS = 400


def timeless(label: str) -> str:
    """A label without the virtual time at which a timer is due."""
    if label.startswith("clock -> "):
        return "clock for " + label.partition(" for ")[2]
    return label


class Names:
    """Names the steps of one run while it goes on."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}

    def next(self, option: Option) -> StepName:
        """The name of the step, if this option were taken now."""
        label, kind, touches = same = _same(option)
        return StepName(label, self._counts.get(same, 0) + 1, kind, touches)

    def take(self, option: Option) -> StepName:
        """The name of the step that is taken now."""
        label, kind, touches = same = _same(option)
        count = self._counts[same] = self._counts.get(same, 0) + 1
        return StepName(label, count, kind, touches)


def _same(option: Option) -> tuple[str, str, str]:
    """What steps have in common that are told apart by counting."""
    touches = ""
    if option.kind == TASK and option.footprint:
        touches = ", ".join(f"{how} {resource}" for resource, how in option.footprint)
    return (timeless(option.label), option.kind, touches)


def by_constraints(
    constraints: Sequence[Constraint],
    *,
    rest: Chooser | None = None,
    hurry: Mapping[StepName, Sequence[str]] | None = None,
    unkept: list[Constraint] | None = None,
) -> Callable[[Callable[[], int]], Chooser]:
    """The chooser that keeps constraints; among what may go ``rest`` chooses, or the first goes.

    A fault or orphan that is named strikes as soon as all that must come before it has come, or,
    if nothing must, when something is due that must come after it; others never strike. ``hurry``
    names actors: while somebody waits for a step, the first of its actors that can goes before
    everybody else. What could not be kept, because nothing else could run or what should have come
    did not come in :data:`PATIENCE_STEPS` steps, is appended to ``unkept``.
    """

    def chooser(now_ms: Callable[[], int]) -> Chooser:
        return Ordered(constraints, rest=rest, hurry=hurry, unkept=unkept)

    return chooser


class Ordered:
    """The chooser of :func:`by_constraints` in one run, to be asked afterwards what was kept."""

    def __init__(
        self,
        constraints: Sequence[Constraint],
        *,
        rest: Chooser | None = None,
        hurry: Mapping[StepName, Sequence[str]] | None = None,
        unkept: list[Constraint] | None = None,
    ) -> None:
        self.constraints = constraints
        #: The constraints whose first step has not come yet, by the step that waits, and by that.
        self.holding: dict[StepName, dict[Constraint, None]] = {}
        self.opening: dict[StepName, list[Constraint]] = {}
        for each in constraints:
            self.holding.setdefault(each.after, {})[each] = None
            self.opening.setdefault(each.before, []).append(each)
        self.rest = rest
        self.hurry = hurry or {}
        self.unkept = [] if unkept is None else unkept
        self.names = Names()
        self.waited: dict[Constraint, int] = {}
        self.followers = {each.after for each in constraints}
        named = {name.label for each in constraints for name in (each.before, each.after)}
        #: Where named steps can come from; of all others nothing need be known.
        self.labels = frozenset(named)
        self.lanes = frozenset(map(_lane_of, named))

    @property
    def never_came(self) -> tuple[Constraint, ...]:
        """The constraints whose first step did not come at all; there is nothing to their order."""
        return tuple(each for each in self.constraints if each.before in self.opening)

    def __call__(self, options: Sequence[Option], step: int) -> int:
        """The option to take."""
        if not self.holding and not self.followers:
            return self._among(options, [i for i, one in enumerate(options) if not one.optional])
        names = [self._name(option) for option in options]
        index = self._choose(options, names)
        if (name := names[index]) is not None:
            self.names.take(options[index])
            self._came(name)
        return index

    def _name(self, option: Option) -> StepName | None:
        """The name of the step that an option would be, if a constraint may be about it."""
        if option.lane not in self.lanes or timeless(option.label) not in self.labels:
            return None
        return self.names.next(option)

    def _choose(self, options: Sequence[Option], names: Sequence[StepName | None]) -> int:
        allowed: list[int] = []
        held: list[tuple[int, Constraint]] = []
        striking: dict[StepName, int] = {}
        for index, (option, name) in enumerate(zip(options, names, strict=True)):
            blocking = None if name is None else next(iter(self.holding.get(name, ())), None)
            if option.optional:
                if name is not None and blocking is None:
                    striking[name] = index
            elif blocking is None:
                allowed.append(index)
            else:
                held.append((index, blocking))
        first = min(allowed, default=len(options))
        strike = self._strike(striking, [one for index, one in held if index < first])
        if strike is not None:
            return strike
        for index, constraint in held:
            allowed = self._pass_over(constraint, index, allowed, options)
        return self._among(options, allowed or [held[0][0]])

    def _strike(self, striking: Mapping[StepName, int], due: Sequence[Constraint]) -> int | None:
        """The fault or orphan whose time has come: nothing holds it, or somebody waits for it."""
        for name, index in striking.items():
            if name in self.followers:
                return index
        waiting = (striking[each.before] for each in due if each.before in striking)
        return next(waiting, None)

    def _pass_over(
        self, constraint: Constraint, index: int, allowed: list[int], options: Sequence[Option]
    ) -> list[int]:
        """Let somebody wait, unless that has gone on for too long; who goes before him now."""
        self.waited[constraint] = self.waited.get(constraint, 0) + 1
        if self.waited[constraint] > PATIENCE_STEPS:
            self._give_up(constraint)
        actors = self.hurry.get(constraint.before, ())
        if actors and allowed and index < allowed[0]:
            going = (at for actor in actors for at in allowed if options[at].actor == actor)
            return [next(going, allowed[0])]
        return allowed

    def _among(self, options: Sequence[Option], allowed: Sequence[int]) -> int:
        if self.rest is None or len(allowed) < 2:
            return allowed[0] if allowed else 0
        return allowed[self.rest([options[index] for index in allowed], 0)]

    def _came(self, name: StepName) -> None:
        for constraint in tuple(self.holding.get(name, ())):
            self._give_up(constraint)
        for constraint in self.opening.pop(name, ()):
            self._release(constraint)
        self.followers.discard(name)

    def _give_up(self, constraint: Constraint) -> None:
        if self._release(constraint):
            self.unkept.append(constraint)

    def _release(self, constraint: Constraint) -> bool:
        """Let nobody wait for a constraint any longer; whether somebody did."""
        waiting = self.holding.get(constraint.after, {})
        if constraint not in waiting:
            return False
        del waiting[constraint]
        if not waiting:
            del self.holding[constraint.after]
        return True


def now_and_then(seed: int, chance: float) -> Chooser:
    """The first one, but with this chance any one."""
    generator = Random(seed)

    def choose(options: Sequence[Option], step: int) -> int:
        return generator.randrange(len(options)) if generator.random() < chance else 0

    return choose


def holding_back(actor: str) -> Chooser:
    """The first one, but this actor only when nobody else can go."""

    def choose(options: Sequence[Option], step: int) -> int:
        others = (index for index, option in enumerate(options) if option.actor != actor)
        return next(others, 0)

    return choose


def _lane_of(label: str) -> str:
    """The lane that an option of such a label has; a timer has that of the lane that sleeps."""
    return label.removeprefix("clock for ").partition(": ")[0]
