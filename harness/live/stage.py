"""A run of a scenario with real processes: the second implementation of a stage.

Between two steps everybody is at rest. The options are what is held: requests at the gate, ends of
connections, starts and signals that are due, and the faults of the nemesis. A step lets one of
them go on and ends when everybody is at rest again; whatever was answered meanwhile happened at
the same time, and is told in one fixed order.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Self

from harness.errors import RefusedError
from harness.findings.finding import Violation
from harness.history import Event, digest
from harness.invariants import Judge
from harness.live import servers
from harness.live.channels import past_the_gate
from harness.live.chronicle import TEXT_MAX, Chronicle
from harness.live.client import ServerError
from harness.live.clock import RealClock
from harness.live.clusters import Cluster
from harness.live.databases import Database
from harness.live.disasters import Disasters, cluster_of
from harness.live.footprints import Footprints, Touch, memory_of, of_service, of_strike
from harness.live.gate import Gate
from harness.live.incarnations import Incarnations
from harness.live.lanes import Lane
from harness.live.options import NEMESIS, Act, Acts
from harness.live.peers import database_peer, services_of, why_stuck
from harness.live.ports import COMING, LISTENS, NEVER, Request, WireError
from harness.live.processes import Process
from harness.live.settle import Settler, is_closing, is_dead
from harness.live.sleeps import Sleeps
from harness.live.world import LiveWorld
from harness.scenario import LostAnswerFault, RestartFault, Scenario
from harness.schedule import choices
from harness.schedule.books import Ending, Limits
from harness.schedule.choices import Footprint, Option, labels
from harness.schedule.stage import LANE_FAILS, Summary, bad_ending

#: What is said of who was struck.
AFTER = {"crash": "down", "stop": "told to stop", "pause": "paused", "failover": "paused"}
STOPS = "A service that is told to stop by SIGTERM stops."


class LiveStage:
    """One run of real processes; enter it, take options until there are none, leave it."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        variant: Mapping[str, str],
        deploy: Callable[[LiveWorld], None],
    ) -> None:
        guards, bug = scenario.settings_of(variant)
        self.scenario = scenario
        self._deploy = deploy
        self.world = LiveWorld(seed=seed, guards=guards, bug=bug)
        self.judge: Judge = self.world.judge
        chronicle = self.chronicle = Chronicle(
            self.world,
            when=lambda: (self.steps, self.now_ms),
            restarting=lambda: any(each.restart for each in self.services.values()),
        )
        self.history, self.emit = chronicle.history, chronicle.emit
        self.limits = Limits(scenario.steps_max, scenario.time_max_s, scenario.step_wall_s)
        self.clock = RealClock()
        self.applied: list[Option] = []
        self.ending: Ending | None = None
        self.services: dict[str, Incarnations] = {}
        self.faults_left = scenario.faults_max
        acts = self._acts = Acts(self.applied)
        self._act, self.deed = acts.of_lane, acts.of_nemesis
        self._server: servers.Server | Cluster | None = None
        self._database: Database | None = None

    # --- the beginning and the end --------------------------------------------------------------

    def __enter__(self) -> Self:
        self._deploy(self.world)
        cluster = cluster_of(self.scenario, self.world.settings)
        server = self._server = cluster or servers.shared()
        self._database = server.databases.take(self.world.schema, waits=False)
        self._footprints = Footprints(self._database.reader)
        self._disasters = Disasters(self, cluster, self._database)
        self.gate = Gate([database_peer(server, self._database)], self.clock)
        self.settler = Settler(self.gate, server.control, limit_s=self.limits.step_wall_s)
        try:
            self.world.client = self._database.client
            self.world.ahead = self.gate.peers[0].ahead
            self.services = services_of(self.world, self.gate)
            for service in self.services.values():
                if service.start_due:
                    self._start(service)
            self._happen(lambda: None)
            # Up to now nothing has passed that could meet rows, or who is just beginning.
            self._database.client.ordered()
            self._database.greeted.processes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        with ExitStack() as stack:  # whatever fails, all the rest is done
            if self._server is not None and self._database is not None:
                databases = self._server.databases
                stack.callback(databases.give_back, self.world.schema, self._database)
            for lane in self.gate.lanes:
                stack.callback(lane.forget_backend)
            stack.callback(self.gate.close)
            for service in self.services.values():
                stack.callback(service.close)
            for lane in self.gate.lanes:
                stack.callback(self.settler.thaw, lane)
            for process in self.gate.processes:
                stack.callback(process.end)

    # --- the System protocol --------------------------------------------------------------------

    def options(self) -> Sequence[Option]:
        """What could happen next, first-in-first-out first; empty when the run is over."""
        if self.ending is not None:
            return ()
        if self._is_over:
            self.ending = Ending("finished")
            return ()
        found = sorted(self._possible(), key=lambda act: act.place)
        if any(not act.optional for act in found):
            return found
        waiting = list(filter(None, map(why_stuck, self.gate.lanes)))
        self.ending = Ending("stuck", "\n".join(waiting)) if waiting else Ending("finished")
        return ()

    def apply(self, option: Option) -> None:
        """Make one option happen and return when nothing moves any more without us."""
        assert isinstance(option, Act)
        if len(self.applied) >= self.limits.steps:
            self.ending = Ending("step limit", f"{self.limits.steps:,} steps without finishing")
            return
        self.applied.append(option)
        self._acts.latest[option.lane] = option
        self.world.asked.clear()
        self.world.steps = len(self.applied)
        self._happen(option.perform, option.touches)

    def touched(self) -> Footprint:
        """What the last step touched, and the rules that judged it."""
        self._footprints.clouded |= bool(past_the_gate(self.gate))
        return self._footprints.of_last_step(self.world, self.judge.invariants)

    def _happen(self, perform: Callable[[], None], touches: tuple[Touch, ...] = ()) -> None:
        """Let something happen, wait until everybody is at rest, and tell what came of it."""
        self._footprints.begin(touches)
        try:
            perform()
            self.settler.settle()
            self._tell()
        except (RefusedError, WireError, ServerError) as error:
            self.ending = Ending("refused", str(error))

    # --- what is possible -------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        """Whether those have ended with whom the run ends."""
        last = [self.services[name] for name in self.world.ends_with]
        return bool(last) and not any(each.living or each.start_due for each in last)

    def _possible(self) -> list[Act]:
        found: list[Act] = []
        for lane in self.gate.lanes:
            found += self._of_lane(lane)
        for service in self.services.values():
            found += self._of_service(service)
        return found + self._alarms() + self._disasters.possible()

    def _alarms(self) -> list[Act]:
        """The alarms that may ring: the next one, and all that are due before a stall is over."""
        lives = [life.name for service in self.services.values() for life in service.living]
        alarms, now = self.gate.alarms, self.clock.now
        coming = alarms.coming(lives, self.scenario.stall_s)
        return [self._acts.of_alarm(each, partial(alarms.ring, each), now) for each in coming]

    def _of_lane(self, lane: Lane) -> list[Act]:
        if lane.over or (lane.running is not None and not lane.waits):
            return []
        known = (lane.name, lane.choices)
        closes = self._act(
            ("closes", *known), lane, "the connection closes", lambda: self._close(lane)
        )
        if is_closing(lane):
            return [closes]
        if lane.running is not None:
            return self._acts.of_waiting(lane, lane.running)
        return self._of_request(lane, lane.held[0], closes) if lane.held else []

    def _of_request(self, lane: Lane, request: Request, closes: Act) -> list[Act]:
        """What can become of the oldest request of a lane."""
        known, text, state = (lane.name, lane.choices), request.text[:TEXT_MAX], lane.peer.state()
        if is_dead(lane):
            sent = self._act(
                ("orphan", *known), lane, f"orphan {text}", lambda: self._release(lane)
            )
            sent.kind = choices.ORPHAN
            return [closes, sent] if state == LISTENS else [closes]
        if state == COMING:
            return []
        if state == NEVER:
            refuse = partial(self.gate.refuse, lane)
            return [self._act(("refused", *known), lane, f"refused {text}", refuse)]
        found = [self._act(("held", *known), lane, text, lambda: self._release(lane))]
        fault = LostAnswerFault(lane.process.service, lane.peer.name)
        if self.faults_left and fault in self.scenario.faults and request.changes:
            words = f"lose the answer to {lane.name}: {text}"
            act = self.deed(("lost", *known), words, lambda: self._lose(lane))
            act.kind = choices.FAULT
            found.append(act)
        return found

    def _of_service(self, service: Incarnations) -> list[Act]:
        name, found, count = service.name, list[Act](), len(service.lives)
        service.notice()
        changes = of_service(name)
        if service.may_start and count:
            text = f"start {name}#{count + 1}"
            key = ("start", name, count)
            found.append(self.deed(key, text, lambda: self._start(service), changes))
        if service.term_due:
            old = service.living[0]
            key, text = ("term", name, count), f"SIGTERM to {old.name}"
            told = (*changes, memory_of(old))
            found.append(self.deed(key, text, lambda: self._terminate(service), told))
        if (paused := service.paused) is not None:
            text = f"continue {paused.name}"
            found.append(self.deed(("continue", name, count), text, lambda: self._go_on(paused)))
        for life in service.living:
            if life.sleeps is not None and life.sleeps.held:
                key = ("sleep", life.name, life.sleeps.over)
                wake = partial(self._wake, life.name, life.sleeps)
                found.append(self.deed(key, f"{life.name} has slept", wake, (memory_of(life),)))
        ordered = next((kind for each, kind in self.world.ordered if each == name), "")
        if ordered and service.restartable:
            key, text = ("ordered", name, count), f"{ordered} restart of {name}, as ordered"
            found.append(self.deed(key, text, lambda: self._obey(service, ordered)))
        if self.faults_left and service.restartable:
            for fault in self.scenario.faults:
                if isinstance(fault, RestartFault) and fault.service == name:
                    found += [self._strike_of(service, kind) for kind in fault.kinds]
        return found

    def _strike_of(self, service: Incarnations, kind: str) -> Act:
        key = ("fault", service.name, kind, len(service.lives))
        text = f"{kind} restart of {service.name}" if kind != "pause" else f"pause {service.name}"
        touches = of_strike(kind, service.living[0])
        act = self.deed(key, text, lambda: self._strike(service, kind), touches)
        act.kind = choices.FAULT
        return act

    # --- what happens -----------------------------------------------------------------------------

    def _release(self, lane: Lane) -> None:
        self.chronicle.asked(lane, self.gate.release(lane))

    def _close(self, lane: Lane) -> None:
        self._footprints.now.closed.append(lane)
        self.gate.leave(lane)
        self.emit("note", "the connection closes", lane=lane.process.name, peer=lane.peer.name)

    def _start(self, service: Incarnations) -> None:
        life = service.start().name
        self.emit("phase", "boot", lane=life, resource=life, after="boot")

    def _terminate(self, service: Incarnations) -> None:
        old = service.terminate().name
        self.emit("fault", "stop", lane=NEMESIS, resource=old, after="told to stop", peer=old)

    def _go_on(self, process: Process) -> None:
        process.go_on()
        self.emit("note", "goes on", lane=process.name, resource=process.name, after="alive")

    def _lose(self, lane: Lane) -> None:
        self.faults_left -= 1
        self.chronicle.overlapped += 1
        lane.loses = True
        name = lane.process.name
        self.emit("fault", "lost answer", lane=NEMESIS, resource=name, after="hears no answer")
        self._release(lane)

    def _wake(self, name: str, sleeps: Sleeps) -> None:
        sleeps.let_go()
        self.emit("note", "has slept", lane=name)

    def _obey(self, service: Incarnations, kind: str) -> None:
        self.world.ordered.remove((service.name, kind))
        self._restart(service, kind)

    def _strike(self, service: Incarnations, kind: str) -> None:
        self.faults_left -= 1
        self._restart(service, kind)

    def _restart(self, service: Incarnations, kind: str) -> None:
        old = service.strike(kind).name
        after = AFTER.get(kind, "is followed by another")
        self.emit("fault", kind, lane=NEMESIS, resource=old, after=after, peer=old)
        if kind in ("rolling", "overlap"):
            self._start(service)

    # --- what came of it --------------------------------------------------------------------------

    def _tell(self) -> None:
        """Write down what a step did: the requests that were answered, and what that changed."""
        mine = self.applied[-1].lane if self.applied else ""
        done, self.gate.completions = self.gate.completions, []
        self._disasters.acknowledged(done)
        now = self._footprints.now
        now.answered += [(each.lane, each.request, each.answer) for each in done]
        blocked = self.settler.newly_blocked
        now.waiting += [(lane, lane.running) for lane in blocked if lane.running is not None]
        chronicle = self.chronicle
        chronicle.answered(done, mine)
        chronicle.blocked(blocked)
        blocked.clear()
        now.ended += chronicle.lives(self.gate.processes)
        if not self.applied or not done or any(each.answer.transaction == "I" for each in done):
            chronicle.changes(mine.partition(".")[0] or "harness")

    # --- the books --------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return len(self.applied)

    @property
    def now_ms(self) -> int:
        """What services with a clock of the run see on it, in milliseconds."""
        return round(self.clock.now * 1000)

    def observe(self, events: tuple[Event, ...]) -> None:
        """Tell those who watch."""
        for event in events:
            for prefix, function in self.world.watchers:
                if event.resource.startswith(prefix):
                    function(event)

    def digest(self) -> str:
        """The sha256 of every step taken and every event."""
        events = [event.canonical() for event in self.history]
        return digest([*labels(self.applied), *events, f"{self.ending}"])

    def summary(self) -> Summary:
        """What the run adds up to."""
        self.world.take_measures()
        return Summary(
            restarts=sum(max(0, len(each.lives) - 1) for each in self.services.values()),
            writes=self.chronicle.writes,
            overlapped=self.chronicle.overlapped,
            faults=self.scenario.faults_max - self.faults_left,
            reached=self.world.reached,
            notes=self.world.said(),
            blast_radius=self.world.blast_radius,
        )

    def judge_ending(self, ending: Ending) -> None:
        """Add what went wrong with the run itself."""
        self.settler.refuse_children(self.gate.processes)
        for process in self.gate.processes:
            if process.failure:
                self.accuse("no_lane_fails", f"{process.name} {process.failure}", LANE_FAILS)
            elif process.alive and signal.SIGTERM in process.signals and not self._waits(process):
                text = f"{process.name} ignores SIGTERM: it was told to stop, and still runs"
                self.accuse("stops_when_told", text, STOPS)
        last = labels(self.applied[-6:])
        self.judge.violations += bad_ending(ending, steps=self.steps, at_ms=self.now_ms, last=last)

    def _waits(self, process: Process) -> bool:
        """Whether a process would go on if it were let, and the run has only ended before that."""
        asks = any(lane.held or lane.running for lane in self.gate.lanes if lane.process is process)
        sleeps = process.sleeps is not None and process.sleeps.held
        return bool(asks or sleeps or process.paused or self.gate.alarms.of(process.name))

    def accuse(self, rule: str, message: str, describe: str) -> None:
        """Note a violation, found at this step, of a rule that is told in these words."""
        self.judge.violations.append(Violation(rule, message, self.steps, self.now_ms, describe))
