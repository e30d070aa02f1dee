"""Messages in flight: their order on a connection, what cuts them off, and what befalls them.

A flight lands when the scheduler says so, but not before an earlier one of its connection, and
not while its two services are partitioned. What the nemesis may do to a flight is offered for as
long as it is in the air. Nothing here knows who reads what.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.schedule.choices import Footprint, reads

if TYPE_CHECKING:
    from harness.schedule.lanes import Lane
    from harness.schedule.operations import Fault, Operation
    from harness.schedule.simulation import Simulation


class Flight:
    """One message on its way.

    ``deliver`` is what happens when it lands, ``lost`` when it never does. ``receiver`` names the
    service it goes to now; ``connection`` orders it among others, None if nothing does.
    ``place`` is the address or topic, and ``target`` whatever would have to live to receive it. A
    ``boundary`` tells others what the sender has done.
    """

    __slots__ = (
        "boundary",
        "connection",
        "deliver",
        "in_air",
        "label",
        "lost",
        "offers",
        "operation",
        "place",
        "queue",
        "receiver",
        "resource",
        "sender",
        "target",
    )

    def __init__(
        self,
        label: str,
        deliver: Callable[[], None],
        *,
        sender: Lane,
        receiver: Callable[[], str],
        place: str,
        resource: str,
        connection: tuple[str, str] | None = None,
        lost: Callable[[], None] | None = None,
        target: object = None,
        boundary: bool = False,
    ) -> None:
        self.label = label
        self.deliver = deliver
        self.sender = sender
        self.receiver = receiver
        self.place = place
        self.resource = resource
        self.connection = connection
        self.lost = lost
        self.target = target
        self.boundary = boundary
        self.in_air = False
        self.queue: deque[Flight] | None = None
        self.offers: list[Fault] = []
        self.operation: Operation

    @property
    def is_next(self) -> bool:
        """Whether nothing of the same connection has to land before."""
        return self.queue is None or self.queue[0] is self

    @property
    def is_sure(self) -> bool:
        """Whether it lands some day: it is in the air, and its sender lives or ended in peace."""
        return self.in_air and self.sender.alive


class Wire:
    """All flights of one network."""

    def __init__(self, simulation: Simulation, name: str, *, ordered: bool) -> None:
        self.simulation = simulation
        self.name = name
        self.ordered = ordered
        self.drops: bool | Collection[str] = False
        self.duplicates: bool | Collection[str] = False
        self._flights: dict[Flight, None] = {}
        self._queues: dict[tuple[str, str], deque[Flight]] = {}
        self._cuts: list[tuple[str, str]] = []

    def launch(self, flight: Flight) -> None:
        """Send a message off."""
        if self.ordered and flight.connection is not None:
            flight.queue = self._queues.setdefault(flight.connection, deque())
            flight.queue.append(flight)
        self._flights[flight] = None
        flight.in_air = True
        flight.operation = self.simulation.post(
            flight.label,
            lambda: self._land(flight),
            lane=flight.sender.name,
            footprint=Footprint(((flight.resource, "write"),)),
            enabled=lambda: self._can_land(flight),
            condition=reads(f"{self.name}/cuts", f"{self.name}/listeners/{flight.place}"),
            queue="" if flight.queue is None else "/".join((self.name, *(flight.connection or ()))),
            on_crash="orphan",
            boundary=flight.boundary,
        )
        if self.drops or self.duplicates:
            self._offer_faults(flight)

    def recall(self, flight: Flight) -> None:
        """Let a flight never land."""
        if flight.in_air:
            self._forget(flight)
            self.simulation.withdraw(flight.operation)

    def recall_all_to(self, target: object) -> None:
        """Nobody is there any more to receive these."""
        for flight in [flight for flight in self._flights if flight.target is target]:
            self.recall(flight)

    def _can_land(self, flight: Flight) -> bool:
        if flight.queue is not None and flight.queue[0] is not flight:
            return False
        return not self._cuts or not self.is_cut(flight.sender.service, flight.receiver())

    def _land(self, flight: Flight) -> None:
        self._forget(flight)
        flight.deliver()

    def _forget(self, flight: Flight) -> None:
        del self._flights[flight]
        flight.in_air = False
        if flight.queue is not None:
            flight.queue.remove(flight)
        for fault in flight.offers:
            self.simulation.faults.remove(fault)
        flight.offers.clear()

    # --- faults ------------------------------------------------------------------------------

    def partition(self, one: str, other: str) -> None:
        """Let nothing pass between two services until it heals, which the schedule decides."""
        self.simulation.touches(f"{self.name}/*")
        self._cuts.append((one, other))
        self.simulation.emit("fault", "partition", value=f"{one} from {other}", peer=self.name)
        self.simulation.post(
            f"heal {one} and {other}",
            partial(self.heal, one, other),
            lane="nemesis",
            footprint=Footprint(((f"{self.name}/*", "write"),)),
        )

    def heal(self, one: str, other: str) -> None:
        """Let everything pass again that waited."""
        self.simulation.touches(f"{self.name}/*")
        if (one, other) in self._cuts:
            self._cuts.remove((one, other))
            self.simulation.emit("fault", "heal", value=f"{one} and {other}", peer=self.name)

    def is_cut(self, one: str, other: str) -> bool:
        """Whether nothing passes between two services."""
        return (one, other) in self._cuts or (other, one) in self._cuts

    def allow_partition(self, one: str, other: str) -> None:
        """Let the nemesis cut two services off from each other."""
        self.simulation.offer_fault(
            f"partition {one} from {other}",
            partial(self.partition, one, other),
            available=lambda: not self.is_cut(one, other),
            footprint=Footprint(((f"{self.name}/*", "write"),)),
        )

    def _offer_faults(self, flight: Flight) -> None:
        if _concerns(self.drops, flight.place):
            self._offer(flight, "drop", self._drop)
        if flight.connection is not None and _concerns(self.duplicates, flight.place):
            self._offer(flight, "duplicate", self._duplicate)

    def _offer(self, flight: Flight, verb: str, action: Callable[[Flight], Any]) -> None:
        fault = self.simulation.offer_fault(
            f"{verb} {flight.sender.name}: {flight.label}",
            partial(action, flight),
            available=lambda: flight.is_next,
            footprint=Footprint(((flight.resource, "write"),)),
        )
        flight.offers.append(fault)

    def _drop(self, flight: Flight) -> None:
        self.recall(flight)
        self.simulation.emit("fault", f"dropped: {flight.label}", peer=self.name)
        if flight.lost is not None:
            flight.lost()

    def _duplicate(self, flight: Flight) -> None:
        self.simulation.emit("fault", f"duplicated: {flight.label}", peer=self.name)
        self.launch(
            Flight(
                f"{flight.label} again",
                flight.deliver,
                sender=flight.sender,
                receiver=flight.receiver,
                place=flight.place,
                resource=flight.resource,
                connection=flight.connection,
                target=flight.target,
                boundary=flight.boundary,
            )
        )


def _concerns(allowed: bool | Collection[str], place: str) -> bool:
    return allowed if isinstance(allowed, bool) else place in allowed
