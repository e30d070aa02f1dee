"""One scenario through the gate: search it, save what is found, and say how it came out.

Both doors go through here, so that a test and a command can never judge differently. Nothing is
printed here; the words are in :mod:`harness.doors.wordings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.campaign import Campaign, Plan, explore
from harness.errors import RefusedError, UntrustworthyError
from harness.findings import store
from harness.findings.finding import Finding
from harness.repeat import Difference
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import parse_names
from harness.settings import Profile
from harness.statistics import Statistics

#: How a scenario comes out. Only ``held`` says something good about the target.
HELD, VIOLATED, VACUOUS, UNKNOWN = "held", "violated", "vacuous", "unknown"
INTERRUPTED, NOTHING_RAN = "interrupted", "nothing ran"
NOT_DETERMINISTIC, NOT_JUDGED = "not deterministic", "cannot be judged"

_EXIT_CODES = {
    HELD: 0,
    VACUOUS: 0,
    UNKNOWN: 0,
    VIOLATED: 1,
    INTERRUPTED: 2,
    NOT_DETERMINISTIC: 3,
    NOT_JUDGED: 3,
    NOTHING_RAN: 5,
}
#: Which exit code counts when scenarios differ: being cut short first, then what was confirmed.
_PRECEDENCE = (2, 1, 3, 0, 5)


@dataclass(slots=True)
class Result:
    """What one scenario came to; plain data that can be sent from one process to another.

    ``error`` is why nothing could be judged; ``remarks`` are what the user should know about the
    files, ``warnings`` what went wrong with them.
    """

    scenario: str
    plan: Plan
    statistics: Statistics = field(default_factory=Statistics)
    findings: list[Finding] = field(default_factory=list)
    difference: Difference | None = None
    difference_token: str = ""
    error: str = ""
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
        if self.error or self.difference is not None:
            return NOT_JUDGED if self.error else NOT_DETERMINISTIC
        if self.findings:
            return VIOLATED
        if self.interrupted or not self.statistics.schedules:
            return INTERRUPTED if self.interrupted else NOTHING_RAN
        if not self.statistics.overlapped_runs:
            return VACUOUS
        return UNKNOWN if self.unknown else HELD

    @property
    def unknown(self) -> dict[str, str]:
        """The rules about which nothing can be said, with the reason."""
        never = dict.fromkeys(self.statistics.never_judged, "never had anything to judge")
        return {**never, **self.statistics.unknown}

    def exit_code(self, *, strict: bool = False) -> int:
        """The exit code if this were the only scenario; ``strict`` lets nothing unproved pass."""
        if self.interrupted:
            return 2
        if strict and self.outcome in (VACUOUS, UNKNOWN):
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
) -> Plan:
    """The plan that a profile makes for a scenario, in the variant that is asked for."""
    return Plan(
        seed=seed,
        schedules=profile.schedules,
        time_limit_s=profile.time_limit_s,
        strategies=parse_names(profile.strategy),
        shrink_budget=profile.shrink_budget,
        keep_going=profile.keep_going,
        variant=scenario.variant(guards=guards, bug=bug),
        profile=profile.name,
        share=share,
    )


class Keeper:
    """Saves findings as a campaign hands them out: first as found, then the smaller one.

    A finding that cannot be saved is still reported, with a warning. The unshrunk file of this
    run is replaced by the shrunk one once that is safely written, never before.
    """

    def __init__(self, root: Path = store.ROOT) -> None:
        self.root = root
        self.kept: list[Finding] = []
        self.remarks: list[str] = []
        self.warnings: list[str] = []
        self._made: set[Path] = set()

    def __call__(self, found: Finding, unshrunk: Finding | None) -> Finding:
        """Save one; returns it with the place where it was saved."""
        before = set((self.root / "findings").glob("*.json"))
        try:
            path = store.save(found, self.root)
        except store.StoreError as error:
            if unshrunk is None:
                self.warnings.append(
                    f"the finding could not be saved: {error}; its token is all that is needed "
                    f"to run it again, keep it: {found.token}"
                )
            return self._remember(found, unshrunk)
        if path not in before:
            self._made.add(path)
        saved = replace(found, saved=path.as_posix())
        if unshrunk is not None and unshrunk.saved:
            old = Path(unshrunk.saved)
            if old != path and old in self._made:
                old.unlink(missing_ok=True)
                self.remarks.append(f"{path} replaces the unshrunk {old.name} of this run")
        return self._remember(saved, unshrunk)

    def _remember(self, found: Finding, unshrunk: Finding | None) -> Finding:
        if unshrunk is not None and self.kept:
            self.kept.pop()
        self.kept.append(found)
        return found


def search(
    scenario: Scenario,
    plan: Plan,
    *,
    root: Path = store.ROOT,
    on_progress: Callable[[int, int], None] = lambda schedules, findings: None,
) -> Result:
    """Search one scenario to its result, whatever goes wrong; ``on_progress`` gets two counts."""
    keeper = Keeper(root)
    result = Result(scenario.name, plan)

    def progress(campaign: Campaign) -> None:
        result.statistics = campaign.statistics
        on_progress(campaign.statistics.schedules, len(campaign.findings))

    try:
        done = explore(scenario, plan, on_finding=keeper, on_progress=progress)
    except (UntrustworthyError, RefusedError) as error:
        result.error = str(error)
    except KeyboardInterrupt:
        result.ended_by = INTERRUPTED
    else:
        result.statistics = done.statistics
        result.difference, result.difference_token = done.difference, done.difference_token
        result.ended_by = done.ended_by
    result.findings = keeper.kept
    result.remarks, result.warnings = keeper.remarks, keeper.warnings
    return result
