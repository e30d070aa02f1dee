"""The gate between services and whom they ask: it moves bytes, and lets no request pass by itself.

Every incarnation has a port of its own for every peer, on the loopback interface, so that any
driver in any language needs only a host and a port, and every connection is known by whose it is.
There is one thread and no await: what is read is cut into requests at once, so nothing is ever read
and unseen.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter

from harness.errors import RefusedError
from harness.live import quiescence
from harness.live.clock import Alarms, RealClock
from harness.live.lanes import HANDED_ON_MAX, Completion, Lane, Stream
from harness.live.places import LOOPBACK
from harness.live.ports import CANCEL, TERMINATE, Answer, Done, Peer, Request, WireError
from harness.live.processes import WRITTEN_MAX, Process
from harness.live.quiescence import Sockets
from harness.live.sleeps import Sleeps
from harness.live.wire import cancelled_backend

#: How many connections one incarnation may have at a time.
CONNECTIONS_MAX = 40
#: The numbers that select(2) can wait for are below it.
_SELECTED_MAX = 1024


class Gate:
    """The ports, connections and processes of one run; ``peers`` are all that services can ask."""

    def __init__(self, peers: Sequence[Peer] = (), clock: RealClock | None = None) -> None:
        self.peers = list(peers)
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._listeners: dict[tuple[str, str], socket.socket] = {}
        self.sockets = Sockets()
        self.alarms = Alarms(clock or RealClock(), self._watch, self._forget)
        self.lanes: list[Lane] = []
        self.processes: list[Process] = []
        #: Grows with everything that happens; who sees it unchanged has missed nothing.
        self.version = 0
        #: What was answered since somebody last took it away.
        self.completions: list[Completion] = []
        #: The processes of the server that were told to give up what they do.
        self.cancelled: list[int] = []

    # --- who is there ------------------------------------------------------------------------

    def listen(self, service: str) -> dict[str, socket.socket]:
        """New ports of the loopback interface for an incarnation: one for each peer but itself."""
        found: dict[str, socket.socket] = {}
        for peer in self.peers:
            if peer.name != service:
                listener = socket.create_server((LOOPBACK, 0), backlog=CONNECTIONS_MAX)
                listener.setblocking(False)
                found[peer.name] = listener
        return found

    def admit(self, process: Process, listeners: Mapping[str, socket.socket]) -> None:
        """Let an incarnation use its ports, and watch it."""
        self.processes.append(process)
        for peer in self.peers:
            if (listener := listeners.get(peer.name)) is not None:
                self._listeners[process.name, peer.name] = listener
                accept = partial(self._accept, process, peer, listener)
                self._watch(listener.fileno(), accept)
        self._watch(process.output.fileno(), partial(self._written, process))
        self._watch(process.pidfd, partial(self._ended, process))
        if process.sleeps is not None:
            self._watch(process.sleeps.listener, partial(self._sleeps, process.sleeps))

    def part_from(self, process: Process) -> None:
        """A process rests: watch it no more, and leave its ports to whoever wakes it."""
        self.version += 1
        process.rest()
        numbers = [process.pidfd, process.output.fileno()]
        numbers += [process.sleeps.listener] if process.sleeps is not None else []
        for peer in self.peers:
            if (listener := self._listeners.pop((process.name, peer.name), None)) is not None:
                numbers.append(listener.fileno())
        for number in numbers:
            self._forget(number)

    def _watch(self, number: int, handler: Callable[[int], None]) -> None:
        self._handlers[number] = handler
        self._epoll.register(number, select.EPOLLIN)

    def _forget(self, number: int) -> None:
        if self._handlers.pop(number, None) is not None:
            self._epoll.unregister(number)

    # --- what happens ------------------------------------------------------------------------

    def pump(self, wait_s: float = 0.0, *, awake_s: float = 0.0) -> bool:
        """Move what can be moved, waiting so long for the first of it; whether anything was.

        For the first ``awake_s`` we do not sleep: being woken may take longer than the answer.
        """
        awake_until = perf_counter() + awake_s
        while not (events := self._epoll.poll(0)) and perf_counter() < awake_until:
            pass
        if wait_s and not events:
            if wait_s < 0.001 and self._epoll.fileno() < _SELECTED_MAX:
                select.select((self._epoll,), (), (), wait_s)  # epoll itself counts in milliseconds
                wait_s = 0.0
            events = self._epoll.poll(wait_s)
        for number, mask in sorted(events):
            handler = self._handlers.get(number)
            if handler is not None:
                self.version += 1
                handler(mask)
        return bool(events)

    def _accept(self, process: Process, peer: Peer, listener: socket.socket, mask: int) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The lane is there at once: a connection that is accepted and unknown would be lost.
            mine = [lane for lane in self.lanes if lane.process is process]
            number = sum(lane.peer is peer for lane in mine)
            self.lanes.append(lane := Lane(process, peer, client, number=number))
            self._watch(client.fileno(), partial(self._from_client, lane))
            if sum(lane.client.open for lane in mine) >= CONNECTIONS_MAX:
                raise RefusedError(
                    f"{process.name} has more than {CONNECTIONS_MAX} connections at a time"
                )

    def _written(self, process: Process, mask: int) -> None:
        if not process.read_output():
            self._forget(process.output.fileno())
        if process.written > WRITTEN_MAX:
            raise RefusedError(
                f"{process.name} floods its output: more than {WRITTEN_MAX:,} bytes; "
                f"it begins with {process.words[:200]!r}"
            )

    def _sleeps(self, sleeps: Sleeps, mask: int) -> None:
        if not sleeps.take():
            self._forget(sleeps.listener)

    def _ended(self, process: Process, mask: int) -> None:
        self._forget(process.pidfd)
        process.reap()
        self.alarms.end(process.name)
        for peer in self.peers:
            listener = self._listeners.pop((process.name, peer.name), None)
            if listener is not None:
                self._accept(process, peer, listener, mask)  # nobody is lost who came before
                self._forget(listener.fileno())
                listener.close()

    # --- from the client ----------------------------------------------------------------------

    def _from_client(self, lane: Lane, mask: int) -> None:
        stream = lane.client
        if mask & select.EPOLLOUT:
            self._flush(stream)
        if not mask & ~select.EPOLLOUT:
            return
        data = stream.receive()
        if data is None:
            return
        if data:
            try:
                requests = lane.talk.feed_client(data)
            except WireError as error:
                raise WireError(f"{lane.name}: {error}") from None
            if lane.peer.ahead is not None:
                lane.peer.ahead.notice(sql for each in requests for sql in each.statements)
            lane.take([each for each in requests if not self._has_passed(lane, each)])
            return
        self._forget(stream.socket.fileno())
        stream.close()
        lane.client_gone = True
        if not lane.talk.ready and lane.server is None:
            lane.held.clear()

    def _has_passed(self, lane: Lane, request: Request) -> bool:
        """Let what concerns nobody else pass; whether it was that."""
        beginning = lane.talk.beginning(request)
        if beginning is None:
            return False
        said, asked = beginning
        self._send(lane.client, said)
        ahead = lane.peer.ahead
        if asked and ahead and lane.server is None and (end := ahead.take(asked)):
            lane.attach(end)
            self._watch(end.fileno(), partial(self._from_server, lane))
        elif asked:
            self._send(self._server_of(lane), asked)
        return True

    def _server_of(self, lane: Lane) -> Stream:
        if lane.server is None:
            server = lane.connect()
            self._watch(server.socket.fileno(), partial(self._from_server, lane))
        assert lane.server is not None
        return lane.server

    def _send(self, stream: Stream, data: bytes) -> None:
        stream.send(data)
        self._want_room(stream)

    def _flush(self, stream: Stream) -> None:
        stream.flush()
        self._want_room(stream)

    def _want_room(self, stream: Stream) -> None:
        if stream.open and stream.socket.fileno() in self._handlers:
            wanted = select.EPOLLIN | (select.EPOLLOUT if stream.unsent else 0)
            self._epoll.modify(stream.socket.fileno(), wanted)

    # --- from the server ----------------------------------------------------------------------

    def _from_server(self, lane: Lane, mask: int) -> None:
        stream = lane.server
        assert stream is not None
        if mask & select.EPOLLOUT:
            self._flush(stream)
        if not mask & ~select.EPOLLOUT:
            return
        data = stream.receive()
        if data is None:
            return
        if not data:
            self._server_left(lane)
            return
        try:
            deliveries = lane.talk.feed_server(data)
        except WireError as error:
            raise WireError(f"{lane.name}: {lane.peer.name} answers: {error}") from None
        for delivery in deliveries:
            if lane.loses:
                if delivery.answer is not None:
                    self._complete(lane, delivery.answer)
                    self.hang_up(lane)
                continue
            lane.handing_on += delivery.raw
            complete = delivery.answer is not None
            if complete or lane.running is None or len(lane.handing_on) > HANDED_ON_MAX:
                self._hand_on(lane)
            if delivery.answer is not None:
                self._complete(lane, delivery.answer)
        lane.note_backend()

    def _server_left(self, lane: Lane) -> None:
        answer = lane.talk.lost()
        if lane.is_cancel:
            answer = Done()  # the server never answers a cancel, it only hangs up
            self.cancelled += [cancelled_backend(lane.running)] if lane.running else []
        if answer is not None and lane.running is not None:
            self._complete(lane, answer)
        self._hand_on(lane)
        self.hang_up(lane)

    def _hand_on(self, lane: Lane) -> None:
        self._send(lane.client, bytes(lane.handing_on))
        lane.handing_on.clear()

    def hand_on_beginnings(self) -> bool:
        """Hand on what there is of answers whose rest may be long in coming; whether any is."""
        begun = [lane for lane in self.lanes if lane.handing_on and lane.peer.watched]
        for lane in begun:
            lane.streams = True
            self._hand_on(lane)
        return bool(begun)

    def _complete(self, lane: Lane, answer: Answer) -> None:
        assert lane.running is not None
        self.completions.append(Completion(lane, lane.running, answer))
        lane.running, lane.blocked, lane.waits, lane.streams = None, 0, 0, False

    # --- what the scheduler does ----------------------------------------------------------------

    def release(self, lane: Lane) -> Request:
        """Let the oldest held request of a lane pass."""
        request = lane.held.popleft()
        lane.choices += 1
        self.version += 1
        try:
            server = self._server_of(lane)
        except OSError:
            self.refuse(lane)
            return request
        if request.kind == CANCEL or lane.talk.release(request):
            lane.running = request
        elif request.kind != TERMINATE and request.visible:
            self.completions.append(Completion(lane, request, Done()))
        if lane.peer.ahead is not None:
            lane.peer.ahead.passed()
        self._send(server, request.raw)
        return request

    def refuse(self, lane: Lane) -> None:
        """Nobody listens at the other end: the client finds its connection cut."""
        lane.choices += 1
        self.hang_up(lane)

    def leave(self, lane: Lane) -> None:
        """Close a lane's connection to the server, which then rolls back what is open."""
        self.version += 1
        lane.choices += 1
        lane.held.clear()
        if lane.waits:
            lane.running, lane.waits = None, 0  # it waits no more, and nobody is told
        if lane.server is not None:
            self._forget(lane.server.socket.fileno())
            lane.server.close()
            lane.server = None
            if lane.backend is not None:
                self._watch(lane.backend, partial(self.session_ended, lane))

    def hang_up(self, lane: Lane) -> None:
        """Close both ends of a lane."""
        if lane.client.open:
            lane.client.flush()
            self._forget(lane.client.socket.fileno())
        self.leave(lane)
        lane.hang_up()

    def has_read_all(self, process: Process) -> bool:
        """Whether a process has taken in everything that was sent to it, or all it waits for."""
        for lane in self.lanes:
            if lane.process is process and lane.client.open:
                if lane.server is not None and not lane.talk.ready and not lane.is_cancel:
                    return False
                if not self._has_read(process, lane.client, lane.port, lane.gate_port):
                    return False
            if (
                lane.server_process is process
                and lane.server is not None
                and not self._has_read(process, lane.server, *lane.server_ports)
            ):
                return False
        alarm = self.alarms.connection(process.name)
        return alarm is None or self._has_read(process, *alarm)

    def _has_read(self, process: Process, ours: Stream, port: int, our_port: int) -> bool:
        """Whether a process has read all of one connection, or waits for something else now.

        Nothing may be under way either, to it or to us: what it sent before it slept we have read.
        """
        if ours.unsent:
            return False
        end = self.sockets.ask(port, our_port)
        if end is None:
            return True
        if end.closed or end.unsent or end.came not in (-1, ours.sent):
            return False
        if end.went not in (-1, ours.received):
            return False
        return not end.unread or quiescence.waits_elsewhere(process.pid, end.inode, process.before)

    def connections_of(self, process: Process) -> Iterator[Lane]:
        """The lanes at one of whose ends a process is."""
        return (lane for lane in self.lanes if process in (lane.process, lane.server_process))

    def close(self) -> None:
        """Close every port and connection; the processes are somebody else's."""
        for lane in self.lanes:
            self.hang_up(lane)
        for listener in self._listeners.values():
            listener.close()
        self.alarms.close()
        self._epoll.close()
        self.sockets.close()

    def left(self) -> list[Lane]:
        """The lanes that were left and whose session the server has not ended yet."""
        return [lane for lane in self.lanes if lane.server is None and lane.backend is not None]

    def session_ended(self, lane: Lane, mask: int = 0) -> None:
        """The server has ended the session of a lane that was left: its locks are free now."""
        assert lane.backend is not None
        self.version += 1
        self._forget(lane.backend)
        lane.forget_backend()
