"""A schedule of one scenario tried in another that tells the same story: by labels, not positions.

The two may be the simulation and real processes of the same services. They do not offer the same
options: a write is one step here, and there a statement between its connection and its answer.
``kin`` says of a label what it means where both know it, and nothing where only one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.engine import Run, campaign, check_trustworthy, execute, follow
from harness.errors import UsageError
from harness.replay import unused
from harness.scenario import Scenario
from harness.schedule.choices import Chooser, Deviation, Option, Schedule
from harness.schedule.workload import WITHOUT

#: How labels begin by which faults strike, and go on.
STRIKES = "nemesis: "
#: What a label means in both scenarios; empty if only one of them has such a step, which may be a
#: timer only if nobody but that scenario's own machinery waits for it.
Kin = Callable[[str], str]
_kin: dict[str, dict[str, Kin]] = {}


def kindred(one: Scenario, other: Scenario, *, kin: Kin) -> None:
    """Declare that two scenarios tell one story, so that a schedule of each fits the other."""
    _kin.setdefault(one.name, {})[other.name] = kin
    _kin.setdefault(other.name, {})[one.name] = kin


def kin_of(source: str, into: str) -> Kin:
    """What labels mean in both of two scenarios; :class:`UsageError` if nobody has said it."""
    known = _kin.get(source, {})
    if not known:
        raise UsageError(
            f"nobody has said what the steps of {source} are in another scenario; declare it where "
            f"{into} is: harness.carrying.kindred(one, other, kin=...)"
        )
    if into not in known:
        others = ", ".join(sorted(known))
        raise UsageError(f"{into} does not tell the story of {source}; that is told by: {others}")
    return known[into]


@dataclass(frozen=True, slots=True)
class Stray:
    """A step that went although another one was ``wanted`` next: nothing that was wanted could."""

    step: int
    label: str
    wanted: str


@dataclass(slots=True)
class Carrier:
    """Takes the options in the order in which their kin went in another run.

    What only this scenario has goes as soon as it can, unless it need not happen. Of what both
    have, the one that went first over there goes; faults and orphans only if they struck there.
    Where nothing that went there can go here, the first option does, and is a stray.
    """

    kin: Kin
    #: What went over there and has not gone here, in its order.
    wanted: list[str]
    strays: list[Stray] = field(default_factory=list)

    def __call__(self, options: Sequence[Option], step: int) -> int:
        """The option to take."""
        known = [self._means(option) for option in options]
        for index, option in enumerate(options):
            if not known[index] and not option.optional:
                return index
        found = [(self.wanted.index(each), at) for at, each in enumerate(known) if self._is(each)]
        if found:
            place, index = min(found)
            del self.wanted[place]
            return index
        if self.wanted:
            self.strays.append(Stray(step, options[0].label, self.wanted[0]))
        return 0

    def _means(self, option: Option) -> str:
        """The kin of an option; how a fault goes on after it struck is nobody else's business."""
        goes_on = option.label.startswith(STRIKES) and not option.optional
        return "" if goes_on else self.kin(option.label)

    def _is(self, key: str) -> bool:
        return bool(key) and key in self.wanted


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of a schedule in another scenario.

    ``source`` is the run over there, up to its first violation that of which ``shared`` steps have
    kin. ``strays`` are the steps at which its order could not be kept, ``left`` the kin that never
    went here.
    """

    source: Run
    run: Run
    shared: int
    strays: tuple[Stray, ...]
    left: tuple[str, ...]

    @property
    def same_bug(self) -> bool:
        """Whether both runs break the same rule first."""
        broken = [run.violations[0].invariant for run in (self.source, self.run) if run.violated]
        return len(broken) == 2 and broken[0] == broken[1]

    @property
    def diverged(self) -> bool:
        """Whether the order is another one; what a rule that breaks cut short is not."""
        return bool(self.strays or (self.left and not self.run.violated))


def carry(
    schedule: Schedule,
    source: Scenario,
    into: Scenario,
    *,
    kin: Kin,
    deviations: Sequence[Deviation] = (),
) -> Carried:
    """Run a schedule where it comes from, and then in another scenario with the same seed.

    Guards and bug are those that the schedule has over there. Raises
    :class:`~harness.engine.Misfit` if it does not fit there any more, :class:`UsageError` if the
    other scenario does not know its guards or bug, and what a run that cannot be judged raises.
    """
    variant = translated(schedule, source, into)
    with campaign():
        first = execute(
            source,
            seed=schedule.seed,
            choose=follow(schedule, deviations),
            variant=schedule.variant,
            recorded=True,
        )
        check_trustworthy(first)
        if (misfit := unused(schedule, deviations, first)) is not None:
            raise misfit
        until = first.violations[0].step if first.violated else first.steps
        wanted = shared(first.taken[:until], kin)
        carrier = Carrier(kin, list(wanted))

        def clocked(now_ms: Callable[[], int]) -> Chooser:
            return carrier

        run = execute(into, seed=schedule.seed, clocked=clocked, variant=variant, digested=True)
        check_trustworthy(run)
    return Carried(first, run, len(wanted), tuple(carrier.strays), tuple(carrier.wanted))


def translated(schedule: Schedule, source: Scenario, into: Scenario) -> dict[str, str]:
    """The variant by which a scenario has the guards and the bug of a schedule of another one.

    What was left out of a workload is left out there too, if it is simulated: nobody can tell
    clients that are real processes what not to do.
    """
    guards, bug = source.settings_of(schedule.variant)
    left_out = schedule.variant.get(WITHOUT)
    found = into.variant(guards=".".join(sorted(guards)), bug=bug or "none")
    return {**found, **({WITHOUT: left_out} if left_out and into.stage is None else {})}


def shared(labels: Sequence[str], kin: Kin) -> tuple[str, ...]:
    """What of a run the other scenario has, too; a fault that goes on for several steps is one."""
    once = dict.fromkeys(label for label in labels if label.startswith(STRIKES))
    told = [each for each in labels if not each.startswith(STRIKES) or once.pop(each, 1) is None]
    return tuple(filter(None, map(kin, told)))
