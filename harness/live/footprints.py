"""What the steps of a run touch: who can trade places with whom, and nobody would notice.

PostgreSQL keeps versions of rows, so who reads does not see what is not committed. A statement
*reads* what is committed; it *locks* what it writes, at once; what it wrote is *visible* at the
end of its transaction. The order of two steps matters if both lock, or if what one makes visible
is read, locked or made visible by the other. That is READ COMMITTED; of every other isolation
level, and of all that :mod:`harness.live.sql` does not understand, each order is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.invariants import Invariant
from harness.live.lanes import DATABASE, Lane
from harness.live.parameters import Parameter, bound
from harness.live.ports import Answer, Request
from harness.live.processes import Process
from harness.live.sql import COMMIT, ROLLBACK, UNDO, Reader, Rows, Statement, resource
from harness.live.wire import EXTENDED, FLUSH, QUERY, Conversation
from harness.live.wire import Answer as SqlAnswer
from harness.live.world import LiveWorld
from harness.schedule.choices import Footprint

READ, WRITE = "read", "write"
#: What a client may ask for when it connects, and SQL means what it meant.
HARMLESS_SETTINGS = frozenset(
    "user database application_name client_encoding datestyle timezone extra_float_digits".split()  # noqa: SIM905
)
Touch = tuple[str, str]
#: What gets in the way of everything.
ALL = "*"
EVERYTHING: Touch = (ALL, WRITE)


@dataclass(slots=True)
class Happened:
    """What happened in one step: who was answered, who waits, whose connection was closed.

    ``touches`` are those that were known beforehand.
    """

    touches: tuple[Touch, ...] = ()
    answered: list[tuple[Lane, Request, Answer]] = field(default_factory=list)
    waiting: list[tuple[Lane, Request]] = field(default_factory=list)
    closed: list[Lane] = field(default_factory=list)
    ended: list[Process] = field(default_factory=list)


def memory_of(process: Process) -> Touch:
    """A process goes on: it may remember anything, and do anything next."""
    return (f"process/{process.service}/{process.incarnation}", WRITE)


def life_of(process: Process) -> str:
    """Whether a process lives, as a resource."""
    return f"life/{process.service}/{process.incarnation}"


def of_lane(lane: Lane) -> tuple[Touch, ...]:
    """What every step of a connection touches: it is its next one, and its process still lives."""
    if lane.peer.name != DATABASE:
        return (EVERYTHING,)
    return ((f"lane/{lane.name}", WRITE), (life_of(lane.process), READ))


def of_service(name: str) -> tuple[Touch, ...]:
    """What every step of a restart touches: how far it is, and who lives."""
    return ((f"service/{name}", WRITE), (f"life/{name}/*", READ))


def of_strike(kind: str, old: Process) -> tuple[Touch, ...]:
    """What a fault touches that strikes a service; a stopped process may keep anything waiting."""
    restart = (*of_service(old.service), ("faults", WRITE))
    if kind in ("crash", "stop"):
        return (*restart, memory_of(old), (life_of(old), WRITE))
    return restart if kind in ("rolling", "overlap") else (EVERYTHING,)


class Footprints:
    """Follows the transactions of one run, step by step."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        #: What each connection has locked since its transaction began.
        self._held: dict[str, set[str]] = {}
        #: Whether something has happened after which nothing is sure.
        self.clouded = False
        #: The step that goes on, and those of which nobody has asked yet what they touched.
        self.now = Happened()
        self._unasked: list[Happened] = []

    def begin(self, touches: tuple[Touch, ...]) -> None:
        """A step begins that touches this in any case."""
        self.now = Happened(touches)
        self._unasked.append(self.now)

    def of_last_step(self, world: LiveWorld, rules: Iterable[Invariant]) -> Footprint:
        """What the last step touched, with the rules that judged it."""
        touches: set[Touch] = set()
        for happened in self._unasked:
            touches = self._of(happened)
        self._unasked.clear()
        changed = {
            name
            for name, (of, query) in world.observed.items()
            if (of == DATABASE and self._shows(touches, query)) or EVERYTHING in touches
        }
        touches |= {(f"observed/{name}", WRITE) for name in changed}
        # Rules keep records of their own.
        touches |= {(f"rules/{rule.name}", WRITE) for rule in rules if changed & set(rule.on)}
        for what, text in world.asked:
            touches |= {(f"observed/{text}", READ)} if what == "observed" else self._reads(text)
        return Footprint(sorted(touches))

    def _of(self, happened: Happened) -> set[Touch]:
        """What a step has touched."""
        touches = set(happened.touches)
        for lane, request in happened.waiting:
            touches |= self._asked(lane, request)
            # Of a deadlock the victim is who closes the circle: whoever holds what is waited for.
            touches |= _locked(self._held.get(lane.name, ()))
        for lane, request, answer in happened.answered:
            touches.add(memory_of(lane.process))
            if lane.peer.name != DATABASE:
                touches.add(EVERYTHING)
                self.clouded |= lane.peer.watched  # whoever was asked goes on as it likes
                continue
            if request.visible:
                touches |= self._asked(lane, request)
            touches |= self._answered(lane, request, answer)
            if lane.loses:
                touches.add(EVERYTHING)  # its connection is cut, and what it holds is free
                self._held.pop(lane.name, None)
        for lane in happened.closed:
            touches |= _locked(self._held.pop(lane.name, ()))
        for process in happened.ended:
            touches |= {memory_of(process), (life_of(process), WRITE)}
        return {EVERYTHING} if self.clouded or EVERYTHING in touches else touches

    def _reads(self, sql: str) -> set[Touch]:
        """What a query of the harness itself reads."""
        if self.clouded:
            return {(ALL, READ)}
        found: set[Touch] = set()
        for statement in self._reader.read(sql):
            known = statement.known and not statement.writes
            found |= _seen(statement.reads, ()) if known else {(ALL, READ)}
        return found

    def _shows(self, touches: Iterable[Touch], query: str) -> bool:
        """Whether a step that touches this may have changed what a query says."""
        reads = self._reads(query)
        made = [each for each in touches if each[1] == WRITE and each[0].startswith(("rows/", ALL))]
        return Footprint(made).conflicts(Footprint(reads)) or (bool(made) and (ALL, READ) in reads)

    # --- one request ----------------------------------------------------------------------------

    def _statements(self, request: Request) -> list[tuple[Statement, tuple[Parameter, ...]]]:
        if request.kind not in (QUERY, EXTENDED):
            return [(Statement(known=False, clouds=request.kind != "cancel"), ())]
        values = bound(request.raw) if request.kind == EXTENDED else []
        found: list[tuple[Statement, tuple[Parameter, ...]]] = []
        for index, text in enumerate(request.statements):
            given = values[index] if index < len(values) else ()
            found += [(statement, given) for statement in self._reader.read(text)]
        return found

    def _asked(self, lane: Lane, request: Request) -> set[Touch]:
        """What a request reads and locks, whether or not it gets that far."""
        touches: set[Touch] = set()
        # In a transaction that is not understood (another isolation level) nothing is.
        if ALL in self._held.get(lane.name, ()):
            touches.add(EVERYTHING)
        if isinstance(lane.talk, Conversation):
            self.clouded |= not lane.talk.settings <= HARMLESS_SETTINGS
        if request.kind == FLUSH and not request.statements:
            return touches
        for statement, values in self._statements(request):
            self.clouded |= statement.clouds
            if not statement.known:
                touches.add(EVERYTHING)
            touches |= _seen((*statement.reads, *statement.writes), values)
            touches |= _locked(resource(rows, values) for rows in statement.writes)
            touches |= {(f"sequence/{name}", WRITE) for name in statement.sequences}
        return touches

    def _answered(self, lane: Lane, request: Request, answer: Answer) -> set[Touch]:
        """What is visible and free now, if this was the end of a transaction."""
        held = self._held.setdefault(lane.name, set())
        statements = self._statements(request) if request.statements else []
        deeds = [statement.deed for statement, _ in statements]
        for statement, values in statements:
            held |= {resource(rows, values) for rows in statement.writes}
            self.clouded |= statement.clouds
            if not statement.known:
                held.add(ALL)
        if {COMMIT, ROLLBACK} & set(deeds[:-1]):
            held.add(ALL)  # a transaction ended in the middle of a request
        if answer.transaction == "T" and UNDO not in deeds:
            return set()
        touches = _locked(held)
        if answer.transaction == "I":
            failed = isinstance(answer, SqlAnswer) and answer.error
            if not failed and ROLLBACK not in deeds:
                touches |= {(f"rows/{each}", WRITE) for each in held}
            self._held[lane.name] = set()
        return touches


def _seen(rows: Iterable[Rows], values: tuple[Parameter, ...]) -> set[Touch]:
    return {(f"rows/{resource(each, values)}", READ) for each in rows}


def _locked(resources: Iterable[str]) -> set[Touch]:
    return {EVERYTHING if each == ALL else (f"locks/{each}", WRITE) for each in resources}
