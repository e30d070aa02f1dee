"""How a scenario comes out of the gate, and the exit code of that.

Both doors judge here, so that a test and a command can never judge differently. The words are in
:mod:`harness.doors.wordings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.campaign import INTERRUPTED, NOT_DETERMINISTIC, Plan
from harness.doors.regressions import DOES_NOT_FIT, Regression
from harness.errors import UsageError
from harness.findings.finding import Finding
from harness.repeat import Difference
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import FINITE, parse_names
from harness.settings import Profile
from harness.statistics import Statistics

#: How a scenario comes out. Only ``held`` says something good about the target.
HELD, VIOLATED, VACUOUS, UNKNOWN = "held", "violated", "vacuous", "unknown"
NOTHING_RAN, NOT_JUDGED, MISUSED = "nothing ran", "cannot be judged", "wrongly used"

_EXIT_CODES = {
    HELD: 0,
    VACUOUS: 0,
    UNKNOWN: 0,
    VIOLATED: 1,
    INTERRUPTED: 2,
    NOT_DETERMINISTIC: 3,
    NOT_JUDGED: 3,
    MISUSED: 4,
    NOTHING_RAN: 5,
}
#: Which exit code counts when scenarios differ: being cut short first, then what was confirmed.
_PRECEDENCE = (2, 1, 3, 4, 0, 5)
#: How many real seconds a finding may be made smaller: a run of real processes is a hundred times
#: slower than a simulated one.
SHRINK_WALL_S, SHRINK_LIVE_WALL_S = 30.0, 180.0


@dataclass(slots=True)
class Result:
    """What one scenario came to.

    ``error`` is why nothing could be judged, ``misused`` that the scenario itself is wrong;
    ``quarantined`` the file of a schedule that cannot be
    repeated; ``remarks`` are what the user should know about the files, ``warnings`` what went
    wrong with them.
    """

    scenario: str
    plan: Plan
    statistics: Statistics = field(default_factory=Statistics)
    findings: list[Finding] = field(default_factory=list)
    difference: Difference | None = None
    difference_token: str = ""
    quarantined: str = ""
    regressions: list[Regression] = field(default_factory=list)
    error: str = ""
    misused: bool = False
    ended_by: str = ""
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.ended_by == INTERRUPTED

    @property
    def outcome(self) -> str:
        """How it came out, in one of the words of this module."""
        if self.misused:
            return MISUSED
        if self.error or self.difference is not None:
            return NOT_JUDGED if self.error else NOT_DETERMINISTIC
        if self.findings:
            return VIOLATED
        if self.interrupted or not self.statistics.schedules:
            return INTERRUPTED if self.interrupted else NOTHING_RAN
        if self.statistics.vacuous:
            return VACUOUS
        return UNKNOWN if self.statistics.unproved else HELD

    def exit_code(self, *, strict: bool = False) -> int:
        """The exit code if this were the only scenario; ``strict`` lets nothing unproved pass."""
        if self.interrupted:
            return 2
        unproved = self.outcome in (VACUOUS, UNKNOWN)
        lost = any(each.outcome == DOES_NOT_FIT for each in self.regressions)
        if strict and (unproved or (lost and self.outcome == HELD)):
            return 1
        return _EXIT_CODES[self.outcome]


def exit_code(results: Iterable[Result], *, strict: bool = False) -> int:
    """The exit code of a whole run."""
    codes = {result.exit_code(strict=strict) for result in results}
    return next((code for code in _PRECEDENCE if code in codes), 5)


def plan_of(
    profile: Profile,
    scenario: Scenario,
    *,
    seed: int,
    guards: str | None = None,
    bug: str | None = None,
    share: tuple[int, int] = (1, 1),
    endless: bool = False,
) -> Plan:
    """The plan that a profile makes for a scenario, in the variant that is asked for.

    An ``endless`` one has no limits of its own. Raises :class:`UsageError` when all schedules are
    asked for and a strategy never comes to an end.
    """
    strategies = parse_names(profile.strategy)
    going_on = [name for name in dict.fromkeys(strategies) if name not in FINITE]
    if profile.schedules is None and profile.time_limit_s is None and not endless and going_on:
        raise UsageError(
            f"{going_on[0]} never has tried all it has; ask for all schedules of "
            f"{', '.join(FINITE)}, or set a time limit"
        )
    return Plan(
        seed=seed,
        schedules=None if endless else profile.schedules,
        time_limit_s=None if endless else profile.time_limit_s,
        strategies=strategies,
        shrink_budget=profile.shrink_budget,
        shrink_wall_s=SHRINK_WALL_S if scenario.stage is None else SHRINK_LIVE_WALL_S,
        keep_going=profile.keep_going,
        variant=scenario.variant(guards=guards, bug=bug),
        profile=profile.name,
        share=share,
    )
