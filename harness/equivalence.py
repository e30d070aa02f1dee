"""Crash equivalence: whatever is crashed when, the state is that of a core that never crashed.

A *twin* stands beside a service: a pure sequential core that is fed every command which the service
made durable, in that order, and is never restarted. Equality at the moment of recovery is not
enough (in github.com/bnb-chain/node issue 158 the hashes after the restart are equal, and the next
block is not), so both are compared whenever something happens, and a run goes on until the declared
milestones have all come after its last restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, Generic, TypeVar

from harness.errors import UsageError, closest
from harness.history import Event, brief
from harness.invariants import NOTHING_TO_JUDGE, Broken, invariant_of
from harness.world.world import World

S = TypeVar("S")
#: A state in named parts that can be compared one by one.
Parts = Mapping[str, object]
RULE, VACUITY = "equal_to_never_crashed", "runs_on_after_every_restart"
_ABSENT = "nothing"


@dataclass(slots=True, kw_only=True)
class Twin(Generic[S]):
    """A core that never crashes, beside the service that it must equal; ``fed`` counts commands.

    ``actual`` is what the service shows now, or nothing while there is nothing to compare.
    """

    name: str
    state: S
    apply: Callable[[S, Any], S]
    expected: Callable[[S], Parts]
    actual: Callable[[], Parts | None]
    on: tuple[str, ...]
    fed: int = 0
    compared_at: int = -1

    def durable(self, command: object) -> None:
        """Do what the service has just made durable."""
        self.state = self.apply(self.state, command)
        self.fed += 1


class Equivalence:
    """The twins of one run and what has to happen after every restart.

    ``volatile`` are the parts that a restart may lose, as ``twin/part`` (or the beginning of it,
    with a ``/`` at the end), each with the reason. A restart of any service counts, whoever does
    it.
    """

    def __init__(
        self,
        world: World,
        *,
        milestones: Iterable[str],
        volatile: Mapping[str, str] | None = None,
    ) -> None:
        self.world = world
        self.milestones = tuple(milestones)
        self.volatile = dict(volatile or {})
        self.twins: dict[str, Twin[Any]] = {}
        self.restarted = False
        self._since: set[str] = set()
        self._by_resource: dict[str, tuple[Twin[Any], ...]] = {}
        for milestone in self.milestones:
            world.reachable(_mark(milestone))
        world.watch("", self._observe)
        world.add_invariants(
            invariant_of(
                self._judge,
                name=RULE,
                describe=(
                    "Who restarts goes on as if nothing had happened: the same commands make the "
                    "same state, at once and ever after."
                ),
            ),
            invariant_of(
                self._judge_end,
                name=VACUITY,
                describe=(
                    "A restart that nothing followed proves nothing: what was lost shows when it "
                    "is used."
                ),
                at_end=True,
            ),
        )

    def twin(
        self,
        name: str,
        state: S,
        apply: Callable[[S, Any], S],
        *,
        expected: Callable[[S], Parts],
        actual: Callable[[], Parts | None],
        on: Iterable[str],
    ) -> Twin[S]:
        """Compare a service with a core, after every step that did something ``on`` a resource.

        ``apply`` makes the next state of a state and a command. Raises :class:`UsageError` for a
        name that is taken.
        """
        if name in self.twins or name in self.milestones:
            raise UsageError(f"{name!r} exists already; twins and milestones have different names")
        if isinstance(on, str):
            raise UsageError(f"on takes several resources: write ({on!r},)")
        made = Twin(
            name=name, state=state, apply=apply, expected=expected, actual=actual, on=tuple(on)
        )
        self.twins[name] = made
        self._by_resource.clear()
        return made

    def passed(self, milestone: str) -> None:
        """Say that one of the milestones has come; UsageError for one that was not declared."""
        if milestone not in self.milestones:
            raise closest(milestone, self.milestones, kind="milestone")
        self._since.add(milestone)
        if self.restarted:
            self.world.reach(_mark(milestone))

    @property
    def missing(self) -> tuple[str, ...]:
        """What has not come since the last restart: milestones, and twins to be compared."""
        if len(self._since) == len(self.milestones) + len(self.twins):
            return ()
        # Where the rule itself is switched off nobody compares, so nobody may wait for that.
        compared = any(rule.name == RULE for rule in self.world.judge.invariants)
        awaited = (*self.milestones, *self.twins) if compared else self.milestones
        return tuple(name for name in awaited if name not in self._since)

    async def run_on(self) -> None:
        """Wait until no restart goes on and all that has to happen happened after the last one.

        The last thing that a story does: a restart may still come while it waits, and then it
        waits for all of it again. Raises :class:`UsageError` for a volatile part of no twin.
        """
        for name in self.volatile:
            if name.partition("/")[0] not in self.twins:
                raise closest(
                    name, self.twins, kind="volatile part: what is before its / is a twin"
                )
        while self._going_on():
            await self.world.simulation.operate(
                "run on",
                lambda: None,
                enabled=lambda: not self._going_on(),
                describe_wait=lambda: f"{', '.join(self._going_on())} did not come",
            )

    def _going_on(self) -> tuple[str, ...]:
        return self.missing or tuple(
            f"the end of the restart of {service.name}"
            for service in self.world.services.values()
            if service.restarting or service.struck
        )

    # --- what is judged ------------------------------------------------------------------------

    def _observe(self, event: Event) -> None:
        """A restart begins, or is over: what came before it says nothing."""
        if event.kind == "phase":
            self.restarted |= not event.lane.endswith("#1")
            self._since.clear()
        elif event.kind == "fault" and event.operation == "crash":
            self.restarted = True
            self._since.clear()

    def _judge(self, event: Event) -> object:
        judged = NOTHING_TO_JUDGE
        for twin in self._concerned(event.resource):
            if twin.compared_at != event.step:
                judged |= self.compare(twin)
                twin.compared_at = event.step
        return judged

    def _concerned(self, resource: str) -> tuple[Twin[Any], ...]:
        """The twins that are compared when something happens to a resource."""
        found = self._by_resource.get(resource)
        if found is None:
            found = tuple(twin for twin in self.twins.values() if resource.startswith(twin.on))
            self._by_resource[resource] = found
        return found

    def compare(self, twin: Twin[Any]) -> bool:
        """Compare a service with its twin now; whether there was anything to compare.

        Raises :class:`Broken` with the first part that differs.
        """
        actual = twin.actual()
        if actual is None:
            return False
        self._since.add(twin.name)
        expected = twin.expected(twin.state)
        different = [
            part
            for part in dict.fromkeys((*expected, *actual))
            if actual.get(part, _ABSENT) != expected.get(part, _ABSENT)
            and not self._is_volatile(f"{twin.name}/{part}")
        ]
        if not different:
            return True
        first = different[0]
        part, mine, wanted = _apart(first, actual.get(first, _ABSENT), expected.get(first, _ABSENT))
        raise Broken(
            f"At {twin.name}, {part} is {brief(mine)}. A core that never crashed and did the same "
            f"{twin.fed} commands has {brief(wanted)}."
            + (f" {', '.join(different[1:])} differ, too." if different[1:] else ""),
            resource=f"{twin.name}/{first}",
            before=brief(wanted),
            after=brief(mine),
        )

    def _is_volatile(self, part: str) -> bool:
        for name in self.volatile:
            if part == name or (name.endswith("/") and part.startswith(name)):
                return True
        return False

    def _judge_end(self) -> object:
        if not self.restarted:
            return NOTHING_TO_JUDGE
        if missing := self.missing:
            raise RuntimeError(
                f"{', '.join(missing)} did not come after the last restart; "
                "let the story end with run_on()"
            )
        return None


def _apart(part: str, mine: object, wanted: object) -> tuple[str, object, object]:
    """The first place in a part where the two differ, and what is there."""
    fields: Mapping[str, tuple[object, object]] = {}
    if isinstance(mine, Mapping) and isinstance(wanted, Mapping):
        keys = dict.fromkeys((*wanted, *mine))
        fields = {str(k): (mine.get(k, _ABSENT), wanted.get(k, _ABSENT)) for k in keys}
    elif is_dataclass(mine) and type(mine) is type(wanted):
        names = [field.name for field in dataclass_fields(mine)]
        fields = {name: (getattr(mine, name), getattr(wanted, name)) for name in names}
    for name, (here, there) in fields.items():
        if here != there:
            return _apart(f"{part}/{name}", here, there)
    return part, mine, wanted


def _mark(milestone: str) -> str:
    return f"{milestone} after a restart"
