"""The rules of a run and the judge that applies them after every step.

An invariant judges a state or an event; a checker judges a whole history. Each says in money words
what it means. A rule that raises anything but :class:`Broken` (or fails an assertion) is
*unknown*, never held; a rule that never had anything to judge is unknown as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.findings.finding import Change, Violation
from harness.history import Event, History
from harness.raised import failed_assertion, place_of

#: What a rule returns when there was nothing to judge yet.
NOTHING_TO_JUDGE = False


class Broken(Exception):
    """Raised by a rule that does not hold; every field is text for the report.

    ``resource`` changed from ``before`` to ``after``; ``consequence`` is what it costs if left
    alone; ``accounts`` were wronged and together lost ``loss_usdc``. A rule that judges later
    than it breaks says at which ``step`` and time it did.
    """

    def __init__(
        self,
        message: str,
        *,
        resource: str = "",
        before: object = "",
        after: object = "",
        consequence: str = "",
        accounts: Sequence[str] = (),
        loss_usdc: object = "",
        site: str = "",
        lane: str = "",
        operation: str = "",
        changes: Sequence[Change] = (),
        step: int | None = None,
        at_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.step = step
        self.at_ms = at_ms
        self.violation = Violation(
            invariant="",
            message=message,
            step=0,
            resource=resource,
            before=str(before),
            after=str(after),
            consequence=consequence,
            accounts=tuple(accounts),
            loss_usdc=str(loss_usdc),
            site=site,
            lane=lane,
            operation=operation,
            changes=tuple(changes),
        )


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule: ``check`` is called after every step, or for every event on the resources of ``on``.

    ``on`` holds prefixes of resources; with none, ``check()`` runs after every step. A check with
    a parameter gets each matching event (with no ``on``, every one), and at the end the history. It
    raises :class:`Broken`, or returns ``False`` when there was nothing to judge.
    """

    name: str
    check: Callable[..., Any]
    describe: str
    on: tuple[str, ...] = ()
    takes_event: bool = False
    takes_history: bool = False
    at_end: bool = False


def invariant_of(
    check: Callable[..., Any],
    *,
    name: str = "",
    describe: str = "",
    on: Iterable[str] = (),
    at_end: bool = False,
) -> Invariant:
    """The invariant that a plain function states; its docstring is the description."""
    if inspect.iscoroutinefunction(check):
        raise UsageError(f"a rule is an ordinary function; {check.__name__} is async")
    resources = (on,) if isinstance(on, str) else tuple(on)
    takes_one = _takes_one(check)
    takes_event = takes_one and not at_end
    return Invariant(
        name=name or check.__name__,
        check=check,
        describe=describe or inspect.cleandoc(check.__doc__ or name or check.__name__),
        on=resources or (("",) if takes_event else ()),
        takes_event=takes_event,
        takes_history=takes_one and at_end,
        at_end=at_end,
    )


def _takes_one(check: Callable[..., Any]) -> bool:
    """Whether a rule wants something to judge; what has a default it has brought itself."""
    parameters = inspect.signature(check).parameters.values()
    return any(parameter.default is parameter.empty for parameter in parameters)


class Moment(NamedTuple):
    """When something was judged: the step, and the virtual time in milliseconds."""

    step: int
    at_ms: int


class Judge:
    """Applies the rules of one run and remembers what each of them saw.

    ``phase_of`` gives the phase of life in which a lane is.
    """

    def __init__(self, phase_of: Callable[[str], str] = lambda lane: "") -> None:
        self.phase_of = phase_of
        self.invariants: list[Invariant] = []
        self.violations: list[Violation] = []
        self.judged: dict[str, int] = {}
        self.unknown: dict[str, str] = {}
        self.every_step: list[Invariant] = []
        self._by_resource: dict[str, tuple[Invariant, ...]] = {}
        self._told: set[str] = set()

    def add(self, invariant: Invariant) -> None:
        """Apply one more rule from now on."""
        self.invariants.append(invariant)
        self.judged.setdefault(invariant.name, 0)
        self._by_resource.clear()
        if not invariant.on and not invariant.at_end:
            self.every_step.append(invariant)

    def watching(self, resource: str) -> tuple[Invariant, ...]:
        """The rules that judge events on this resource."""
        found = self._by_resource.get(resource)
        if found is None:
            found = tuple(
                rule
                for rule in self.invariants
                if rule.on and not rule.at_end and resource.startswith(rule.on)
            )
            self._by_resource[resource] = found
        return found

    def after_step(self, events: Sequence[Event], moment: Moment) -> None:
        """Judge what one step did."""
        last = events[-1] if events else None
        for rule in self.every_step:
            self._apply(rule, (), last, moment)
        touched: list[tuple[Invariant, Event]] = []
        for event in events:
            for rule in self.watching(event.resource):
                if rule.takes_event:
                    self._apply(rule, (event,), event, moment)
                else:
                    # Two rules may have one name, so that which rule it is decides, not its name.
                    touched = [other for other in touched if other[0] is not rule]
                    touched.append((rule, event))
        for rule, event in touched:
            self._apply(rule, (), event, moment)

    def at_end(self, history: History, moment: Moment) -> None:
        """Let the checkers judge the whole history."""
        for rule in self.invariants:
            if rule.at_end:
                arguments = (history,) if rule.takes_history else ()
                self._apply(rule, arguments, None, moment)

    def _apply(
        self, rule: Invariant, arguments: tuple[Any, ...], event: Event | None, moment: Moment
    ) -> None:
        try:
            judged = rule.check(*arguments)
        except Broken as broken:
            judged = True
            self.report(rule, broken, event, moment)
        except AssertionError as failure:
            judged = True
            # What pytest's rewriting adds to a message of the author's own is of no use to readers.
            message = str(failure).partition("\nassert ")[0] or failed_assertion(failure)
            message = message or f"{rule.name} does not hold"
            self.report(rule, Broken(message), event, moment)
        except Exception as error:
            judged = NOTHING_TO_JUDGE
            what, place = f"{type(error).__name__}: {error}", place_of(error)
            self.unknown[rule.name] = f"{what} ({place})" if place else what
        if judged is not NOTHING_TO_JUDGE:
            self.judged[rule.name] += 1

    def report(self, rule: Invariant, broken: Broken, event: Event | None, moment: Moment) -> None:
        """Record a violation; what stays broken on the same resource is told once."""
        violation = replace(
            broken.violation,
            invariant=rule.name,
            describe=rule.describe,
            step=moment.step if broken.step is None else broken.step,
            at_ms=moment.at_ms if broken.at_ms is None else broken.at_ms,
        )
        told = f"{rule.name} {violation.resource}"
        if event is not None:
            if rule.on:
                told += event.resource
            site = f"{event.site} {event.site.function}" if event.site else ""
            violation = replace(
                violation,
                lane=violation.lane or event.lane,
                operation=violation.operation or event.operation,
                site=violation.site or site,
                resource=violation.resource or event.resource,
            )
        if told not in self._told:
            self._told.add(told)
            self.violations.append(replace(violation, phase=self.phase_of(violation.lane)))

    @property
    def held(self) -> tuple[str, ...]:
        """The rules that judged something and were never broken."""
        broken = {violation.invariant for violation in self.violations}
        return tuple(
            rule.name
            for rule in self.invariants
            if rule.name not in broken and rule.name not in self.unknown and self.judged[rule.name]
        )
