"""Until nothing moves without us: the moment at which the next choice can be made.

No grace time anywhere. A pause here only says how often we look again; what is looked at decides.
Whoever never comes to rest is named, with what keeps it from that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from harness.errors import RefusedError
from harness.live import locks, sleeps
from harness.live.gate import Gate
from harness.live.lanes import BOOT, Lane
from harness.live.ports import CANCEL, TERMINATE
from harness.live.processes import Process
from harness.live.quiescence import (
    ASLEEP,
    GONE,
    RUNS,
    Sleep,
    children_of,
    has_ended,
    is_stopped,
    session_members,
    sleep_of,
)

#: After which time we look whether the server waits for a lock; how long we stay awake until it
#: answers; in seconds.
SERVER_PAUSE_S, AWAKE_S = 0.001, 0.0001
#: How soon we look again at processes, at first and at last, in seconds, and how that grows.
PROCESS_PAUSE_S, PROCESS_PAUSE_MAX_S, GROWTH = 0.00005, 0.0015, 2.0


class Settler:
    """Brings the processes and connections of one run to rest, within ``limit_s`` a step."""

    def __init__(self, gate: Gate, control: locks.Asked, *, limit_s: float) -> None:
        self.gate = gate
        self.control = control
        self.limit_s = limit_s
        #: Lanes that have begun to wait for a lock, in that order, since somebody last looked.
        self.newly_blocked: list[Lane] = []
        self._blocks = 0
        #: At which version of the gate all servers had said what they had to say.
        self._asked_at = -1
        #: Who was last seen in a timer that nobody holds, in words; empty if nobody was.
        self._uncontrolled = ""
        self._known: set[str] = set()

    def settle(self) -> None:
        """Return when nobody can move any more; :class:`RefusedError` names who does not rest."""
        gate, deadline = self.gate, time.monotonic() + self.limit_s
        pause = PROCESS_PAUSE_S
        while True:
            if time.monotonic() > deadline:
                raise RefusedError(self._restless())
            if gate.pump() or self._cancel() or self._pass_invisible() or not self._resolve():
                continue
            version, self._uncontrolled = gate.version, ""
            if not self._at_rest():
                happened = gate.pump(pause)
                pause = PROCESS_PAUSE_S if happened else min(GROWTH * pause, PROCESS_PAUSE_MAX_S)
                continue
            if gate.pump() or gate.version != version:
                continue
            if gate.hand_on_beginnings():
                continue
            if self._uncontrolled:
                raise RefusedError(self._uncontrolled)
            break
        new = [process for process in gate.processes if process.name not in self._known]
        self._known.update(process.name for process in new)
        self.refuse_children(new)

    # --- requests that nobody else can notice -------------------------------------------------

    def _pass_invisible(self) -> bool:
        passed = False
        for lane in self.gate.lanes:
            if lane.over or lane.running is not None or lane.server is None:
                continue
            if is_closing(lane):
                if not lane.in_transaction:
                    self.gate.leave(lane)
                    passed = True
            elif lane.held and not lane.held[0].visible:
                if is_dead(lane):
                    lane.held.popleft()  # it was on its way when the power was cut
                else:
                    self.gate.release(lane)
                passed = True
        return passed

    # --- requests that run --------------------------------------------------------------------

    def _resolve(self) -> bool:
        """Whether every request that runs is answered or waits for a lock, and is stopped there."""
        running = [lane for lane in self.gate.lanes if lane.awaited]
        awake = [lane for lane in running if not lane.frozen]
        if awake and self.gate.pump(SERVER_PAUSE_S, awake_s=AWAKE_S):
            return False
        if not self._look_who_waits():
            return False
        if not running:
            return True
        graph = locks.waiting(self.control)
        if not awake:
            for lane in sorted(running, key=lambda each: each.blocked):
                if lane.talk.backend_pid not in graph:
                    self.thaw(lane)
                    return False
            return True
        for lane in awake:
            pid = lane.talk.backend_pid
            # Who closes a circle is woken by PostgreSQL, which looks for deadlocks at once.
            if pid in graph and not locks.in_circle(pid, graph):
                self._freeze(lane)
        return False

    def _look_who_waits(self) -> bool:
        """Ask servers in which commands wait; whether all was said before we asked them."""
        if self._asked_at == self.gate.version:
            return True
        for peer in self.gate.peers:
            mine = [lane for lane in self.gate.lanes if lane.peer is peer and lane.server]
            if peer.waits is None or not mine:
                continue
            awake = [lane for lane in mine if lane.awaited]
            waiting = peer.waits.waiting()
            if self.gate.pump():
                return False
            for lane in awake:
                if lane.running is not None and lane.running.waits:
                    lane.waits = waiting.get(lane.server_ports[1], 0)
                    self.newly_blocked += [lane] if lane.waits else []
            if awake:
                return False
        self._asked_at = self.gate.version
        return True

    def _freeze(self, lane: Lane) -> None:
        assert lane.backend is not None
        if lane.running is not None and locks.freeze(lane.talk.backend_pid, lane.backend):
            self._blocks += 1
            lane.blocked, lane.frozen = self._blocks, True
            self.newly_blocked.append(lane)

    def thaw(self, lane: Lane) -> None:
        """Let the server go on with a lane that has waited."""
        if lane.frozen and lane.backend is not None:
            locks.thaw(lane.backend)
        lane.blocked, lane.frozen = 0, False

    def _cancel(self) -> bool:
        """Who was told to give up what it does has to go on to notice."""
        told, self.gate.cancelled = self.gate.cancelled, []
        for lane in self.gate.lanes:
            if lane.talk.backend_pid in told:
                self.thaw(lane)
        return bool(told)

    # --- processes ----------------------------------------------------------------------------

    def _at_rest(self) -> bool:
        gate = self.gate
        if left := gate.left():
            going_on = locks.sessions(self.control, [lane.talk.backend_pid for lane in left])
            for lane in left:
                if lane.talk.backend_pid not in going_on:
                    gate.session_ended(lane)
            return False
        for lane in gate.lanes:
            # Who listens may be told something at any moment, but not while it sleeps.
            if (
                lane.talk.listens
                and lane.running is None
                and lane.backend is not None
                and sleep_of(lane.talk.backend_pid).kind != ASLEEP
            ):
                return False
        return all(self._is_quiet(process) for process in gate.processes)

    def _is_quiet(self, process: Process) -> bool:
        """Whether a process cannot move; the order of the looks is that of the proof."""
        if not process.alive:
            return not any(
                lane.client.open if lane.process is process else lane.server is not None
                for lane in self.gate.connections_of(process)
            )
        if process.paused:
            return is_stopped(process.pid)
        if process.stops_itself and is_stopped(process.pid):
            if not any(lane.client.open for lane in self._lanes_of(process)):
                self.gate.part_from(process)
            return False
        if has_ended(process.pidfd) or not self.gate.has_read_all(process):
            return False
        sleep = sleep_of(process.pid, process.before)
        # Interpreters ask others while they start (ldconfig, …), and wait for what those say.
        if sleep.kind in (RUNS, GONE) or children_of(process.pid):
            return False
        return sleep.kind == ASLEEP or self._is_held(process, sleep)

    def _lanes_of(self, process: Process) -> Iterator[Lane]:
        return (lane for lane in self.gate.lanes if lane.process is process and not lane.over)

    def _is_held(self, process: Process, sleep: Sleep) -> bool:
        """Whether nothing but a choice ends the timer in which a process waits."""
        if sleep.is_sleep and process.sleeps is not None:
            return bool(process.sleeps.held)  # if it is not, we are about to be told
        if any(lane.held or lane.running for lane in self._lanes_of(process)):
            return True  # it waits for an answer, and looks at a clock besides
        if process.housekeeps:
            return True  # so the scenario says; if its timers do matter, runs differ
        # Not yet refused: what it waits for may be the answer to something we have yet to receive.
        self._uncontrolled = (
            f"uncontrolled timer: {process.name} waits for input or for {sleep.timeout_ms} ms "
            "(-1: unknown), which nobody can hold here; only sleep() and nanosleep() of a service "
            "can be held. If its timers change nothing that others see, declare it with "
            f"housekeeping=True {sleeps.missing()}".rstrip()
        )
        return True

    def refuse_children(self, processes: Sequence[Process]) -> None:
        """A service that starts processes of its own cannot be judged: nobody watches those."""
        living = {process.pid: process for process in processes if process.alive}
        for leader, children in session_members(*living).items():
            raise RefusedError(
                f"forks: {living[leader].name} has started {len(children)} process(es) of its own, "
                "which nobody watches; start each as a service of the scenario, or with exec"
            )

    # --- who does not rest ----------------------------------------------------------------------

    def _restless(self) -> str:
        within = f"within {self.limit_s:g} s"
        for lane in self.gate.lanes:
            if lane.awaited and lane.running is not None and not lane.blocked:
                return f"server busy: {lane.name} has no answer to {lane.running.text!r} {within}"
        for process in self.gate.processes:
            if not process.alive or self._is_quiet(process):
                continue
            for lane in self._lanes_of(process):
                if lane.client.open and lane.state == BOOT:
                    return f"never connected: {lane.name} has not finished its start-up {within}"
            if not self.gate.has_read_all(process):
                return f"never reads: {process.name} has not read what was sent to it {within}"
            self.refuse_children([process])
            return f"never quiet: {process.name} has not come to rest {within}; does it compute?"
        return f"never quiet: the server has not ended a connection {within}"


def is_dead(lane: Lane) -> bool:
    """Whether the client of a lane died of a signal: what it was about to send may be lost."""
    status = lane.process.status
    return lane.client_gone and status is not None and status < 0


def is_closing(lane: Lane) -> bool:
    """Whether the next thing that happens to a lane is its end."""
    if lane.held:
        return lane.held[0].kind == TERMINATE
    return lane.client_gone and not (lane.running and lane.running.kind == CANCEL)
