"""Options, choices and schedules: the vocabulary that everything above the kernel speaks.

A run is a sequence of choices among labelled options. Option 0 is always first-in-first-out and
faults come last, so a schedule is written down as its few deviations from 0. Nothing here knows
trio, a simulation or an exchange; real processes will offer the same options.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.errors import UsageError

#: The kinds of option, in the order in which they are offered.
TASK, OPERATION, TIMER, DECISION, ORPHAN, FAULT = (
    "task",
    "operation",
    "timer",
    "decision",
    "orphan",
    "fault",
)


class Footprint(tuple[tuple[str, str], ...]):
    """What a step touches: pairs of resource and ``'read'`` or ``'write'``, in program order.

    A resource that ends in ``/*`` stands for everything below it: a scan, or a whole database.
    """

    __slots__ = ()

    def conflicts(self, other: Footprint) -> bool:
        """Whether the order of the two steps can matter."""
        return any(
            "write" in (how, kind) and (mine == theirs or _covers(mine, theirs))
            for mine, how in self
            for theirs, kind in other
        )


def _covers(one: str, other: str) -> bool:
    """Whether one of two resources is a ``/*`` that stands for the other, too."""
    return (one.endswith("/*") and other.startswith(one[:-1])) or (
        other.endswith("/*") and one.startswith(other[:-1])
    )


NOTHING = Footprint()
#: What nobody has analysed gets in the way of everything else.
EVERYTHING = Footprint((("*", "write"),))


def reads(*resources: str) -> Footprint:
    """A footprint that only reads."""
    return Footprint((resource, "read") for resource in resources)


def writes(*resources: str) -> Footprint:
    """A footprint that writes."""
    return Footprint((resource, "write") for resource in resources)


class Option(ABC):
    """One thing that could happen next.

    ``label`` names it in the words of the target and is stable from run to run; ``lane`` is the
    actor that would move; ``kind`` is one of the constants of this module. ``batch_legal`` says
    whether real trio could take this step now without the help of real input or output.
    ``optional`` options (faults, orphans) never have to happen: a run that has only those left
    is over, or stuck. A ``boundary`` makes something durable or public: a crash before it and one
    after it are different crashes.
    """

    __slots__ = ("children", "footprint", "kind", "lane", "ordinal", "parent")

    optional = False
    boundary = False
    #: The option whose step made this one possible, and the how-manieth of its children it is.
    parent: Option | None
    ordinal: int

    def __init__(self, *, kind: str, lane: str, footprint: Footprint = NOTHING) -> None:
        self.kind = kind
        self.lane = lane
        self.footprint = footprint
        self.children = 0
        self.parent = None
        self.ordinal = 0

    def born_of(self, parent: Option) -> None:
        """Say whose step made this possible."""
        self.parent = parent
        self.ordinal = parent.children = parent.children + 1

    @property
    @abstractmethod
    def label(self) -> str:
        """What would happen, in domain words."""

    @property
    def actor(self) -> str:
        """Whose move it is, finer than the lane: the task that runs, asked, or sleeps."""
        return self.label

    @property
    def key(self) -> tuple[str, ...]:
        """Who this is in every order of the same run: by descent, never by a count of the run.

        Two runs in which independent steps only trade places give the same task, request or
        timer the same key, which labels with their counters and positions do not promise.
        """
        if self.parent is None:
            return (self.label,)
        return (*self.parent.key, str(self.ordinal))

    def purpose(self) -> str:
        """What this is for, where the label does not say it; slow, and asked before it is taken."""
        return ""

    def cuts_short(self, other: Option) -> bool:
        """Whether somebody waits for the other one who does not any more after this; slow, too."""
        return False

    @property
    def batch_legal(self) -> bool:
        """Whether real trio's lockstep of one lane allows this step now."""
        return True

    def __repr__(self) -> str:
        return f"<{self.kind} {self.label}>"


class Moves(list[Any]):
    """Options all of which have to happen sooner or later: no timers, nothing optional."""

    __slots__ = ()


class System(Protocol):
    """Anything that can be scheduled: the one seam between the search and what is searched.

    Entering it makes it ready to move; leaving it ends and unwinds it. ``options`` is in
    canonical order and empty when the run is over; ``apply`` makes one of them happen and
    returns when nothing moves any more without us.
    """

    def __enter__(self) -> System: ...

    def __exit__(self, *exception: object) -> None: ...

    def options(self) -> Sequence[Option]:
        """What could happen next, first-in-first-out first."""

    def apply(self, option: Option) -> None:
        """Make one option happen."""


#: Decides one step: given the options (always two or more) and the number of the step that comes
#: (from 1), the index of the one to take.
Chooser = Callable[[Sequence[Option], int], int]


@dataclass(frozen=True, slots=True)
class Deviation:
    """A choice that is not first-in-first-out: at ``step`` (from 1) ``taken`` ran before ``first``.

    ``lane`` and ``kind`` are those of what was taken, ``at_ms`` is the virtual time of the choice;
    ``words`` say what it was for, if the label does not.
    """

    step: int
    choice: int
    taken: str = ""
    first: str = ""
    lane: str = ""
    kind: str = ""
    at_ms: int = 0
    words: str = field(default="", compare=False)

    @property
    def doing(self) -> str:
        """What was taken, as a reader wants to know it."""
        if self.words and self.kind in (TASK, TIMER):
            return f"{self.lane}: {self.words}"
        return self.taken or f"option {self.choice}"


_TOKEN = re.compile(
    r"(?P<name>[A-Za-z0-9_.\-]+)(?P<variant>(?:\+[a-z]+=[A-Za-z0-9_.\-]+)*)@(?P<seed>\d+)"
    r"(?::(?P<choices>\d+=\d+(?:,\d+=\d+)*))?"
)


#: Up to this length a token is a name.
BRIEF_MAX = 160


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that decides one run: scenario, its variant, data seed, and the deviations.

    Its token, ``scenario@seed:step=choice,…``, is readable and sparse: every step that is not
    named takes option 0. A variant (guards or planted bug other than the scenario's own) follows
    the name as ``+guards=write_bound.mode_gate``.
    """

    scenario: str
    seed: int
    choices: Mapping[int, int] = field(default_factory=dict)
    variant: Mapping[str, str] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """The schedule in one line that survives copy and paste."""
        variant = "".join(f"+{key}={value}" for key, value in sorted(self.variant.items()))
        picks = ",".join(f"{step}={choice}" for step, choice in sorted(self.choices.items()))
        return f"{self.scenario}{variant}@{self.seed}" + (f":{picks}" if picks else "")

    @property
    def brief(self) -> str:
        """Its token to name it by: one that is longer than two lines loses its end."""
        token = self.token
        if len(token) <= BRIEF_MAX:
            return token
        kept = token[:BRIEF_MAX].rpartition(",")[0] or token[:BRIEF_MAX]
        return f"{kept}... ({len(self.choices):,} choices)"

    @classmethod
    def parse(cls, token: str) -> Schedule:
        """The schedule of a token; :class:`UsageError` names the form when it is not one."""
        match = _TOKEN.fullmatch(token.strip())
        if match is None:
            raise UsageError(
                f"{token!r} is not a schedule token; "
                "expected scenario@seed or scenario@seed:step=choice,step=choice"
            )
        pairs = (pair.split("=") for pair in (match["choices"] or "").split(",") if pair)
        variant = (pair.split("=", 1) for pair in match["variant"].split("+") if pair)
        return cls(
            scenario=match["name"],
            seed=int(match["seed"]),
            choices={int(step): int(choice) for step, choice in pairs},
            variant=dict(variant),
        )

    def with_choices(self, choices: Mapping[int, int]) -> Schedule:
        """The same run with other choices; zeros are dropped, they are the default."""
        kept = {step: choice for step, choice in sorted(choices.items()) if choice}
        return Schedule(self.scenario, self.seed, kept, self.variant)


def labels(options: Iterable[Option]) -> tuple[str, ...]:
    """The labels of options, in their order."""
    return tuple(option.label for option in options)
