"""A finding: one self-contained record of a broken run, enough to render and to replay it.

It is plain data. Its JSON form carries ``"format": 1``; a newer format is refused by the store, an
older one is upgraded there. Amounts and values are text, exactly as the run rendered them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.history import Event
from harness.schedule.choices import FAULT, ORPHAN, Deviation

#: How the words of a timer begin that ends a call; the call follows, and its timeout.
TIMEOUT = "timeout of call "
#: How the words of a timer begin that ends whatever else the target has limited.
DEADLINE = "deadline "
#: How the words of a task begin that asks another process for something, which follows.
SENDS = "sends "

#: The version of the file format that this code writes.
FORMAT = 1
#: Under what name ``versions`` keep how strings were hashed: a seed, or ``random``.
HASH_SEED = "hash seed"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the value that a rule watches: what it was and became, at which step."""

    step: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Violation:
    """What broke, where and when: the first one of a run is what the finding is about.

    ``invariant`` names the rule; ``message`` says what happened in one sentence; ``describe`` is
    the rule itself, in money words. ``consequence`` is what it costs if left alone. ``resource``
    is what changed from ``before`` to ``after``, by ``operation`` of ``lane`` at ``site``
    (``path:line function``), in ``phase`` of that lane's life. ``changes`` are the last values of
    what the rule watches, the broken one last. ``stack`` holds the target's frames of an error,
    the outermost first, each with its source on a line of its own.
    """

    invariant: str
    message: str
    step: int
    at_ms: int = 0
    describe: str = ""
    consequence: str = ""
    resource: str = ""
    before: str = ""
    after: str = ""
    lane: str = ""
    operation: str = ""
    site: str = ""
    phase: str = ""
    accounts: tuple[str, ...] = ()
    loss_usdc: str = ""
    changes: tuple[Change, ...] = ()
    stack: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> tuple[str, str, str]:
        """What makes two violations the same bug: the invariant, the site's function, the phase."""
        return (self.invariant, self.site.partition(" ")[2] or self.site, self.phase)


@dataclass(frozen=True, slots=True)
class Fact:
    """One measure of what a broken run did to people, in the words of the scenario."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A change of the schedule that was executed: with it, all invariants held (or not)."""

    step: int
    ran: str
    instead_of: str
    holds: bool


@dataclass(frozen=True, slots=True)
class StepName:
    """A step by what it is, so that it can be found again when other steps come or go.

    ``label`` is what its option says, without times; ``kind`` is that of the option; ``touches``
    the memory that a task said it would touch. ``occurrence`` counts, from 1, the steps of a run
    of which all three are equal. In a finding ``step`` is its number in the run, and ``words`` say
    what it was about if the label does not; neither is part of the name.
    """

    label: str
    occurrence: int = 1
    kind: str = "task"
    touches: str = ""
    step: int = field(default=0, compare=False)
    words: str = field(default="", compare=False)

    @property
    def strikes(self) -> bool:
        """Whether it never has to happen: a fault, or an orphan that takes effect."""
        return self.kind in (FAULT, ORPHAN)


@dataclass(frozen=True, slots=True)
class Constraint:
    """What has to come ``before`` what, for the rule to break: the cause of a finding in an order.

    ``checked`` says that a run was executed in which this one was turned round, or its fault left
    out, and that the rule held there. All others are kept in it, but for those that no run can
    keep without this one.
    """

    before: StepName
    after: StepName
    checked: bool = False

    @property
    def reversed(self) -> Constraint:
        """The other order of the same two steps."""
        return Constraint(self.after, self.before)


#: How shrinking ends when nothing more can be left out.
ONE_MINIMAL = "one-minimal"


@dataclass(frozen=True, slots=True)
class Shrinking:
    """What the shrinker did: sizes before and after, runs spent, and what ended it.

    ``tried`` names the candidates that were executed in vain, for whoever goes on from here.
    """

    steps: tuple[int, int] = (0, 0)
    choices: tuple[int, int] = (0, 0)
    faults: tuple[int, int] = (0, 0)
    runs: int = 0
    budget: int = 0
    ended_by: str = ONE_MINIMAL
    tried: tuple[str, ...] = ()
    operations: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken run, minimal if it was shrunk.

    ``violations`` holds the first violation and what followed from it in the same run, in order;
    ``held`` names the invariants that saw nothing wrong. ``order`` is what the schedule needs:
    ``batch-legal`` (stock trio could do it with real input and output), ``any``, or ``real`` if
    real processes did it. ``reason`` says
    why it was kept as a regression, if it was. ``constraints`` are the orders that make the bug;
    ``orders_tried`` says in how many of how many other runs that kept them the rule broke.
    ``blast_radius`` is what the scenario measured of the damage, the most telling fact first.
    ``module`` and ``file`` say where the scenario is declared, the file below the project's folder.
    ``sources`` has a digest of each file of the target that did something in the run.
    """

    scenario: str
    token: str
    seed: int
    digest: str
    violations: tuple[Violation, ...]
    deviations: tuple[Deviation, ...]
    steps: int
    ended_at_ms: int
    order: str
    history: tuple[Event, ...]
    variant: Mapping[str, str] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    counterfactuals: tuple[Counterfactual, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    orders_tried: tuple[int, int] = (0, 0)
    blast_radius: tuple[Fact, ...] = ()
    replays: tuple[int, int] = (0, 0)
    replay_ms: int = 0
    strategy: str = ""
    schedule_number: int = 0
    schedules_planned: int = 0
    seconds: float = 0.0
    profile: str = ""
    shrinking: Shrinking = field(default_factory=Shrinking)
    versions: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    file: str = ""
    saved: str = ""
    reason: str = ""

    @property
    def identity(self) -> str:
        """The short name by which a finding is addressed: six hexadecimal digits of its digest."""
        return self.digest[:6]

    @property
    def violation(self) -> Violation:
        """What broke first."""
        return self.violations[0]
