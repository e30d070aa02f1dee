"""Choosers that follow a part of a recorded schedule and go first-in-first-out for the rest.

Steps move when something is left out, so a part is followed by what ran instead of what, or by the
order in which some lanes took their steps, and only if need be by step number. After an edit all of
a schedule is followed like that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.schedule.choices import FAULT, ORPHAN, Chooser, Deviation, Option, labels


def essence(label: str) -> str:
    """A label without what changes when other things move: times and counters."""
    if label.startswith("clock -> "):
        label = "clock for " + label.partition(" for ")[2]
    head, dot, count = label.rpartition(".")
    return head if dot and count.isdigit() else label


def by_labels(deviations: Sequence[Deviation]) -> Callable[[Callable[[], int]], Chooser]:
    """Follow deviations wherever their situation comes up: ``taken`` is possible, ``first`` due.

    A fault has no situation of its own: it strikes as soon as its virtual time has come. An orphan
    has one in its instant: what it overtakes or is overtaken by there is what makes it dangerous.
    """

    def chooser(now_ms: Callable[[], int]) -> Chooser:
        waiting: dict[str, list[str]] = {}
        faults = [deviation for deviation in deviations if deviation.kind in (FAULT, ORPHAN)]
        for deviation in deviations:
            if deviation not in faults:
                situation = waiting.setdefault(essence(deviation.first), [])
                situation.append(essence(deviation.taken))

        def choose(options: Sequence[Option], step: int) -> int:
            if faults and _has_come(faults[0], now_ms(), options[0]):
                for index, option in enumerate(options):
                    if option.optional and option.label == faults[0].taken:
                        del faults[0]
                        return index
            wanted = waiting.get(essence(options[0].label))
            if wanted:
                offered = [essence(option.label) for option in options]
                for taken in wanted:
                    if taken in offered:
                        wanted.remove(taken)
                        return offered.index(taken)
            return 0

        return choose

    return chooser


class Edited:
    """Follows all deviations of a recorded schedule in code that was edited since: by their labels.

    A choice is made at its step if what was ``taken`` can run there, else from that step on as soon
    as ``first`` is due again; what never has to happen, as soon as it can. With ``situated`` only
    what was due counts, one choice after the other, and the first of them passes over ``skipped``
    of its situations. With ``loose`` any orphan of a lane will do: what was a put may be a commit
    now. ``left`` are those that were not made, ``offered`` what could run at the step of each, and
    ``seen`` the essence of all that could ever run.
    """

    def __init__(
        self,
        deviations: Sequence[Deviation],
        *,
        situated: bool = False,
        skipped: int = 0,
        loose: bool = False,
    ) -> None:
        self.left = list(deviations)
        self.offered: dict[int, tuple[str, ...]] = {}
        self.seen: set[str] = set()
        self._situated = situated
        self._skipped = skipped
        self._loose = loose
        self._steps = {deviation.step for deviation in deviations}
        self._wanted = {essence(deviation.taken) for deviation in deviations}

    def __call__(self, options: Sequence[Option], step: int) -> int:
        """The option to take."""
        if not self.left:
            return 0
        if step in self._steps:
            self.offered[step] = labels(options)
        known = [essence(option.label) for option in options]
        self.seen.update(self._wanted.intersection(known))
        for deviation in self.left[:1] if self._situated else self.left:
            index = self._place(deviation, options, known)
            if index is not None and self._is_due(deviation, known[0], step, options[index]):
                self.left.remove(deviation)
                return index
        return 0

    def _place(
        self, deviation: Deviation, options: Sequence[Option], known: Sequence[str]
    ) -> int | None:
        """Which option is what was taken; a fault is not the steps with which it goes on."""
        for index, option in enumerate(options):
            if option.kind != deviation.kind:
                continue
            alike = self._loose and option.kind == ORPHAN and option.lane == deviation.lane
            if alike or known[index] == essence(deviation.taken):
                return index
        return None

    def _is_due(self, deviation: Deviation, first: str, step: int, option: Option) -> bool:
        if not self._situated and step <= deviation.step:
            return step == deviation.step
        if not self._situated and option.optional:
            return True
        if first != essence(deviation.first):
            return False
        self._skipped -= 1
        return self._skipped < 0


def _has_come(fault: Deviation, now_ms: int, first: Option) -> bool:
    """Whether it is time for a fault or an orphan."""
    if now_ms == fault.at_ms and fault.kind == ORPHAN:
        return essence(first.label) == essence(fault.first)
    return now_ms >= fault.at_ms


def by_steps(deviations: Sequence[Deviation]) -> Chooser:
    """Follow the bare numbers of deviations, as a token does, as far as they are possible."""
    wanted = {deviation.step: deviation.choice for deviation in deviations}

    def choose(options: Sequence[Option], step: int) -> int:
        choice = wanted.get(step, 0)
        return choice if choice < len(options) else 0

    return choose


def by_steps_then(
    exact: Sequence[Deviation], moved: Sequence[Deviation]
) -> Callable[[Callable[[], int]], Chooser]:
    """Follow ``exact`` by step numbers, and after the last of them ``moved`` by labels."""
    start = max((deviation.step for deviation in exact), default=0)

    def chooser(now_ms: Callable[[], int]) -> Chooser:
        numbered, labelled = by_steps(exact), by_labels(moved)(now_ms)

        def choose(options: Sequence[Option], step: int) -> int:
            return (numbered if step <= start else labelled)(options, step)

        return choose

    return chooser


def lane_of(label: str) -> str:
    """The lane whose step a label names; a timer belongs to the lane that sleeps."""
    return label.rpartition(" for ")[2].partition(": ")[0]


def by_lanes(order: Sequence[str], lanes: Sequence[str]) -> Callable[[Callable[[], int]], Chooser]:
    """Keep the order in which ``lanes`` took their steps; everything else is first-in-first-out.

    ``order`` is what ran in the failing run. A step of these lanes that is due too early is passed
    over until its turn has come; when that is impossible, the rest is first-in-first-out.
    """
    wanted = [essence(label) for label in order if lane_of(label) in lanes]

    def chooser(now_ms: Callable[[], int]) -> Chooser:
        remaining = wanted[::-1]

        def choose(options: Sequence[Option], step: int) -> int:
            if not remaining:
                return 0
            first, following = essence(options[0].label), remaining[-1]
            mine = lane_of(first) in lanes
            if first == following:
                remaining.pop()
            elif mine or following.startswith("nemesis: "):
                offered = [essence(option.label) for option in options]
                if following in offered:
                    remaining.pop()
                    return offered.index(following)
                for index, option in enumerate(options) if mine else ():
                    if not option.optional and lane_of(option.label) not in lanes:
                        return index
                if mine:
                    remaining.clear()
            return 0

        return choose

    return chooser
