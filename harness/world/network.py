"""A network between lanes: calls, one-way messages, topics, and everything that goes wrong there.

Every arrival is an operation of its own, so delay is only a matter of the schedule. Messages of
one lane to one address stay in order, as on a TCP connection, unless the network is unordered.
The nemesis may drop, duplicate or cut off where :meth:`Network.allow` lets it. A message that
arrived at a dead process is never answered: its sender learns that the connection is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import trio
from outcome import Error, Outcome, Value

from harness.errors import closest
from harness.history import Site
from harness.schedule.choices import Footprint
from harness.schedule.sites import site_of_caller
from harness.world.messages import Call, Endpoint, Inbox, Request, Subscription
from harness.world.wire import Flight, Wire

if TYPE_CHECKING:
    from harness.schedule.lanes import Lane
    from harness.schedule.simulation import Simulation

#: Who gets a request if several processes listen at an address: the one that came last, every
#: one (the first answer counts), or each in its turn, as behind a load balancer.
ROUTES = ("newest", "all", "round")


class Network:
    """Addresses at which services listen, and topics to which they subscribe."""

    def __init__(
        self, simulation: Simulation, name: str, *, ordered: bool = True, route: str = "newest"
    ) -> None:
        self.simulation = simulation
        self.name = name
        self.wire = Wire(simulation, name, ordered=ordered)
        self._route = _known_route(route)
        self._routes: dict[str, str] = {}
        self._endpoints: dict[str, list[Endpoint]] = {}
        self._topics: dict[str, list[Subscription]] = {}
        self._calls: dict[Call, None] = {}
        simulation.crash_hooks.append(self._lane_ended)
        simulation.finish_hooks.append(self._lane_ended)

    # --- for the target ----------------------------------------------------------------------

    def listen(self, address: str) -> Endpoint:
        """Receive what is sent to an address from now on; others may listen there already."""
        endpoint = Endpoint(self, address, self.simulation.current_lane)
        self._endpoints.setdefault(address, []).append(endpoint)
        self._listeners_change(address)
        return endpoint

    async def call(
        self, address: str, method: str, payload: Any = None, timeout_s: float | None = None
    ) -> Any:
        """Ask the service at an address and wait for its answer.

        Raises what the service failed with, :class:`ConnectionError` if nobody listens or the
        service dies, :class:`TimeoutError` after ``timeout_s`` seconds. After these two the
        request may still have taken effect.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        call = Call(
            self.simulation.current_lane,
            address,
            f"{address}.{method}",
            timed=timeout_s is not None,
        )
        self._calls[call] = None
        self._send(address, method, payload, call, site_of_caller())
        if timeout_s is None:
            return await call.answer(self._drop_call)
        with trio.move_on_after(timeout_s) as patience:  # noqa: F841 - of_timer() looks for it
            return await call.answer(self._drop_call)
        raise TimeoutError(f"{call.label} did not answer within {timeout_s} s")

    async def send(self, address: str, message: Any) -> None:
        """Send a message to an address and go on; it is lost if nobody listens on its arrival."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._send(address, "", message, None, site_of_caller())
        await trio.lowlevel.cancel_shielded_checkpoint()

    def subscribe(self, topic: str) -> Subscription:
        """Receive what is published on a topic from now on."""
        subscription = Subscription(self, topic, self.simulation.current_lane)
        self._topics.setdefault(topic, []).append(subscription)
        self._listeners_change(topic)
        return subscription

    async def publish(self, topic: str, message: Any) -> None:
        """Send a message to everyone who is subscribed to a topic now."""
        await trio.lowlevel.checkpoint_if_cancelled()
        sender = self.simulation.current_lane
        self.simulation.touches(f"{self.name}/listeners/{topic}", "read")
        self._tell("send", "publish", topic, sender, message, site=site_of_caller())
        for subscription in self._topics.get(topic, ()):
            self._publish_to(subscription, sender, message)
        await trio.lowlevel.cancel_shielded_checkpoint()

    # --- for the scenario --------------------------------------------------------------------

    def route(self, address: str, how: str) -> None:
        """Decide who gets a request if several listen at an address: newest, all or round."""
        self._routes[address] = _known_route(how)

    def allow(
        self,
        *,
        drop: bool | Collection[str] = False,
        duplicate: bool | Collection[str] = False,
        partition: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Let the nemesis drop or duplicate messages, and cut pairs of services off for a while.

        ``drop`` and ``duplicate`` are True or name addresses and topics; answers can be dropped,
        too. What was dropped of a call shows as its timeout, or without one as a lost
        connection. Every partition heals.
        """
        self.wire.drops = drop
        self.wire.duplicates = duplicate
        for one, other in partition:
            self.wire.allow_partition(one, other)

    def partition(self, one: str, other: str) -> None:
        """Let nothing pass between two services until it heals, which the schedule decides."""
        self.wire.partition(one, other)

    def heal(self, one: str, other: str) -> None:
        """Let everything pass again that waited."""
        self.wire.heal(one, other)

    # --- requests and answers ----------------------------------------------------------------

    def _send(
        self, address: str, method: str, payload: Any, call: Call | None, site: Site | None
    ) -> None:
        sender = self.simulation.current_lane
        label = call.label if call else address
        self._tell("send", "call" if call else "send", label, sender, payload, site=site)

        def lost() -> None:
            if call is not None:
                self._silence(call)

        self.wire.launch(
            Flight(
                f"deliver {label}",
                lambda: self._deliver(sender, address, method, payload, call),
                sender=sender,
                receiver=lambda: self._service_at(address),
                place=address,
                resource=f"{self.name}/{address}",
                connection=(sender.name, address),
                lost=lost,
            )
        )

    def _listeners_change(self, place: str) -> None:
        """Whoever looks up who listens at an address, or to a topic, finds something else now."""
        self.simulation.touches(f"{self.name}/listeners/{place}")
        self.simulation.touches(f"{self.name}/{place}")

    def _call_changes(self, call: Call) -> None:
        """Whoever waits for an answer, or serves it, finds something else now."""
        self.simulation.touches(f"{self.name}/answers/{call.lane.name}")

    def _service_at(self, address: str) -> str:
        endpoints = self._endpoints.get(address)
        return endpoints[-1].lane.service if endpoints else ""

    def _deliver(
        self, sender: Lane, address: str, method: str, payload: Any, call: Call | None
    ) -> None:
        endpoints = self._endpoints.get(address)
        if not endpoints:
            if call is not None:
                self._settle(call, Error(ConnectionRefusedError(f"nobody listens at {address}")))
            return
        route = self._routes.get(address, self._route)
        if route == "round":
            endpoints.append(endpoints.pop(0))
        for endpoint in endpoints[:] if route == "all" else endpoints[-1:]:
            server = endpoint.lane
            if call is not None:
                self._call_changes(call)
                call.servers.append(server)
            label = call.label if call else address
            self._tell("receive", "request", label, server, payload, peer=sender.name)
            endpoint.arrive(Request(self, address, method, payload, sender.name, server, call))

    def send_answer(self, server: Lane, call: Call, outcome: Outcome[Any]) -> None:
        """Send what a service answers back to its caller, if that still waits."""
        self._call_changes(call)
        if call not in self._calls:
            return
        answer = Flight(
            f"answer {call.label} to {call.lane.name}",
            lambda: self._receive_answer(server, call, outcome),
            sender=server,
            receiver=lambda: call.lane.service,
            place=call.address,
            resource=f"{self.name}/answers/{call.lane.name}",
            lost=lambda: self._silence(call),
            boundary=True,
        )
        self.wire.launch(answer)
        call.answers.append(answer)

    def _receive_answer(self, server: Lane, call: Call, outcome: Outcome[Any]) -> None:
        said = outcome.value if isinstance(outcome, Value) else outcome
        self._tell("receive", "answer", call.label, call.lane, said, peer=server.name)
        self._settle(call, outcome)

    def _settle(self, call: Call, outcome: Outcome[Any]) -> None:
        self._drop_call(call)
        call.settle(outcome)

    def _drop_call(self, call: Call) -> None:
        """Nobody waits for this answer any more."""
        self._call_changes(call)
        if call in self._calls:
            for server in call.servers:  # whose end would have lost this call
                self.simulation.touches(f"{self.name}/serving/{server.name}")
            del self._calls[call]
            for answer in call.answers:
                self.wire.recall(answer)
            if call.loss is not None:
                self.simulation.withdraw(call.loss)

    def _silence(self, call: Call) -> None:
        """A message of this call was dropped: its caller waits for the timeout, if it has one."""
        if not call.timed:
            self._lose(call)

    def _lose(self, call: Call) -> None:
        """The connection of a call breaks, which its caller learns some time later."""
        self._call_changes(call)
        if call not in self._calls or call.loss is not None:
            return

        def effect() -> None:
            call.loss = None
            self._settle(call, Error(ConnectionResetError(f"connection to {call.address} lost")))

        call.loss = self.simulation.post(
            f"connection of {call.label} is lost",
            effect,
            lane=call.lane.name,
            footprint=Footprint(((f"{self.name}/answers/{call.lane.name}", "write"),)),
            on_crash="drop",
        )

    # --- topics ------------------------------------------------------------------------------

    def _publish_to(self, subscription: Subscription, sender: Lane, message: Any) -> None:
        topic, reader = subscription.address, subscription.lane

        def deliver() -> None:
            self._tell("receive", "message", topic, reader, message, peer=sender.name)
            subscription.arrive(message)

        self.wire.launch(
            Flight(
                f"deliver {topic} to {reader.name}",
                deliver,
                sender=sender,
                receiver=lambda: reader.service,
                place=topic,
                resource=f"{self.name}/{topic}/{reader.name}",
                connection=(sender.name, f"{topic}/{reader.name}"),
                target=subscription,
                boundary=True,
            )
        )

    # --- the end of a listener ---------------------------------------------------------------

    def closed(self, inbox: Inbox[Any]) -> None:
        """An endpoint or a subscription does not listen any more."""
        self._listeners_change(inbox.address)
        self.simulation.touches(f"{self.name}/{inbox.place}")
        if isinstance(inbox, Subscription):
            self._topics[inbox.address].remove(inbox)
            self.wire.recall_all_to(inbox)
        elif isinstance(inbox, Endpoint):
            self._endpoints[inbox.address].remove(inbox)
            self.simulation.touches(f"{self.name}/serving/{inbox.lane.name}", "read")
            for request in inbox.unread:
                if request.call is not None:
                    self._server_gone(request.call, inbox.lane)

    def _lane_ended(self, lane: Lane) -> None:
        """The sockets of a dead process are closed: who waits for it learns that."""
        self.simulation.touches(f"{self.name}/serving/{lane.name}", "read")
        inboxes: list[Inbox[Any]] = []
        for endpoints in self._endpoints.values():
            inboxes += endpoints
        for subscriptions in self._topics.values():
            inboxes += subscriptions
        for inbox in inboxes:
            if inbox.lane is lane:
                inbox.close()
        for call in list(self._calls):
            if call.lane is lane:
                self._drop_call(call)
            else:
                self._server_gone(call, lane)

    def _server_gone(self, call: Call, lane: Lane) -> None:
        if lane in call.servers:
            self._call_changes(call)
            call.servers.remove(lane)
            if not call.servers and not any(answer.is_sure for answer in call.answers):
                self._lose(call)

    def _tell(
        self,
        kind: str,
        verb: str,
        resource: str,
        lane: Lane,
        value: Any,
        *,
        peer: str = "",
        site: Site | None = None,
    ) -> None:
        self.simulation.emit(
            kind,
            verb,
            lane=lane.name,
            resource=f"{self.name}/{resource}",
            value=value,
            peer=peer or self.name,
            site=site,
        )


def _known_route(route: str) -> str:
    if route not in ROUTES:
        raise closest(route, ROUTES, kind="route")
    return route
