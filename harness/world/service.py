"""The life of a service: boot, hydrate, ready, drain, stop, crash, and the next incarnation.

A service is a plain async function that is handed its life. Restarts are steps of a nemesis or an
operator, and two incarnations may be alive at once. A crash is a power cut: nothing of the dead
incarnation runs again, not even its ``finally``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import trio

from harness.errors import UsageError, closest
from harness.schedule.choices import reads, writes

if TYPE_CHECKING:
    from harness.schedule.lanes import Lane
    from harness.schedule.simulation import Simulation
    from harness.world.coverage import Coverage

#: The kind that restarts nothing: the process stands still for a while, and knows nothing of it.
PAUSE = "pause"
#: How a service can be restarted: power cut and start; drain, stop and start; start the next
#: incarnation, wait until it is ready, then drain and stop the old one; or fail over: power cut
#: while the next incarnation already boots. A ``power cut`` takes what the disks of the machine had
#: not synced as well; a crash leaves that, as the end of a process leaves the page cache.
RESTART_KINDS = ("crash", "stop", "rolling", "failover", "power cut", PAUSE)
#: The phase of an incarnation that stands still.
PAUSED = "paused"


class Fails(Protocol):
    """A disk: without power it loses what was not synced."""

    def power_cut(self) -> None:
        """Lose it."""


class Life:
    """What one incarnation knows of itself; handed to the service's function."""

    def __init__(self, service: Service, incarnation: int) -> None:
        self.service = service
        self.incarnation = incarnation
        self.name = f"{service.name}#{incarnation}"
        self._phase = "boot"
        #: In which phase it was when it was paused.
        self.paused_in = ""
        self._stop = trio.Event()
        self._ready = trio.Event()
        self.lane: Lane | None = None

    def enter(self, phase: str) -> None:
        """Say which phase begins: ``hydrate``, ``ready``, ``drain``, or a name of your own."""
        before, self._phase = self._phase, phase
        self.service.touches()
        self.service.simulation.emit(
            "phase", phase, lane=self.name, resource=self.name, before=before, after=phase
        )
        if phase == "ready":
            self._ready.set()
        self.service.tells = True
        self.service.changed()

    @property
    def phase(self) -> str:
        """The phase in which it is: boot, what it has said since, stopped, or down."""
        self.service.touches("read")
        return self._phase

    @property
    def settled(self) -> bool:
        """Whether it has come up and nobody wants it gone; a phase after that is its own affair."""
        if self._phase in ("ready", "drain"):
            return self._phase == "ready"
        return self._ready.is_set() and not self._stop.is_set()

    @property
    def stopping(self) -> bool:
        """Whether somebody asked this incarnation to stop."""
        self.service.touches("read")
        return self._stop.is_set()

    async def stop_requested(self) -> None:
        """Return when somebody asks this incarnation to drain and stop."""
        self.service.touches("read")
        await self._stop.wait()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        self.service.touches("read")
        return self._runs

    @property
    def _runs(self) -> bool:
        lane = self.lane
        running = lane is not None and lane.alive and not lane.finished
        return running and self._phase != "stopped"


class Service:
    """A restartable service of the world and its incarnations."""

    def __init__(
        self,
        simulation: Simulation,
        name: str,
        run: Callable[[Life], Awaitable[object]],
        coverage: Coverage,
        *,
        on_change: Callable[[Service], None] = lambda service: None,
        disks: Sequence[Fails] = (),
    ) -> None:
        self.simulation = simulation
        #: What is on its machine.
        self.disks = disks
        #: How often their power was cut.
        self.power_cuts = 0
        self.name = name
        self.run = run
        self.lives: list[Life] = []
        self.restarts = 0
        self.pauses = 0
        self.was_ready = False
        #: Whether its incarnations say in which phase they are.
        self.tells = False
        self.restarting = False
        self.restartable = False
        #: The nemeses that are at work on it, oldest first; until they are done none restarts it.
        self.struck: list[str] = []
        #: The newest incarnation that is alive while a restart goes on.
        self.recovering: Life | None = None
        #: Of which kind the restart is that goes on or comes next; empty if nobody said.
        self.kind = ""
        self.coverage = coverage
        self.on_change = on_change

    def start(self) -> Life:
        """Start the next incarnation, beside one that is still alive if there is one."""
        self.touches()
        life = Life(self, len(self.lives) + 1)
        self.lives.append(life)
        self.simulation.emit("phase", "boot", lane=life.name, resource=life.name, after="boot")
        if life.incarnation > 1:
            self.restarts += 1

        async def live() -> None:
            try:
                await self.run(life)
            finally:
                if life._runs:
                    self.touches()
                    life._phase = "stopped"
                    self.simulation.emit(
                        "phase", "stopped", lane=life.name, resource=life.name, after="stopped"
                    )
                    self.changed()

        name = getattr(self.run, "__name__", "run")
        live.__name__ = "run" if name == "<lambda>" else name
        life.lane = self.simulation.spawn(self.name, live, incarnation=life.incarnation)
        self.changed()
        return life

    def touches(self, how: str = "write") -> None:
        """Say that the step which goes on changes, or reads, in which phase of life this is."""
        self.simulation.touches(f"lifecycle/{self.name}", how)

    @property
    def interrupted(self) -> bool:
        """Whether an incarnation followed another one, or stood still; one that ends is neither."""
        return bool(self.restarts or self.pauses)

    @property
    def alive(self) -> list[Life]:
        """The incarnations that run now, oldest first."""
        self.touches("read")
        return [life for life in self.lives if life._runs]

    def changed(self) -> None:
        """A phase began or a life ended: say whether a restart is going on or could begin.

        It goes on while nobody is ready or somebody is not; the first boot of all is no restart, a
        pause counts as one.
        Of a service that never says that it is ready, a lone incarnation counts as that.
        """
        living = self.alive
        paused = any(life._phase == PAUSED for life in living)
        settled = len(living) == 1 and not paused and (living[0].settled or not self.tells)
        self.was_ready = self.was_ready or (settled and self.tells)
        last = self.lives[-1]
        retired = not living and last._phase == "stopped" and not last.stopping
        begun = self.was_ready or len(self.lives) > 1 or not living or paused
        ended = self.restarting
        self.restarting = begun and not settled and not retired
        ended = ended and not self.restarting
        self.kind = "" if ended else self.kind
        if self.restarting:
            self.kind = self.kind or self._kind_by_hand(living)
            phase = "+".join(life._phase for life in living) or last._phase
            self.coverage.changed(self, self.kind, phase)
        elif ended:
            self.coverage.changed(self, "", "")
        self.recovering = living[-1] if living and self.restarting else None
        self.restartable = len(living) == 1 and not self.restarting and not self.struck
        self.on_change(self)

    def _kind_by_hand(self, living: list[Life]) -> str:
        """Of which kind a restart is that began without anybody saying so."""
        last = self.lives[-1]
        if len(living) > 1:
            return "rolling"
        if not living:
            return "crash" if last._phase == "down" else "stop"
        if last._phase == PAUSED:
            return PAUSE
        return "start" if last.incarnation > 1 and last._phase == "boot" else "stop"

    def pause(self, life: Life) -> None:
        """Let an incarnation stand still, as a collection of garbage or a busy host does.

        Who stands still already goes on with the first one who lets it.
        """
        if life._phase == PAUSED:
            return
        before, life.paused_in = life._phase, life._phase
        self.pauses += 1
        if life.lane is not None:
            self.simulation.pause(life.lane)
        self._step_in_phase(life, before, PAUSED, PAUSE)

    def go_on(self, life: Life) -> None:
        """Let an incarnation that stood still go on, if it is still there."""
        if life._runs and life._phase == PAUSED and life.lane is not None:
            self.simulation.go_on(life.lane)
            self._step_in_phase(life, PAUSED, life.paused_in, "goes on")

    def _step_in_phase(self, life: Life, before: str, after: str, what: str) -> None:
        self.simulation.emit(
            "fault", what, resource=life.name, before=before, after=after, peer=life.name
        )
        self.touches()
        life._phase = after
        self.changed()

    def crash(self, life: Life | None = None) -> None:
        """Cut the power of an incarnation, by default of the oldest that is alive."""
        life = life or next(iter(self.alive), None)
        if life is None or life.lane is None:
            raise UsageError(f"service {self.name!r} is not running, it cannot crash")
        self.simulation.emit(
            "fault", "crash", resource=life.name, before=life._phase, after="down", peer=life.name
        )
        self.touches()
        life._phase = "down"
        self.coverage.power_cut(self, life.name)
        self.simulation.crash(life.lane)
        self.changed()

    async def stop(self, life: Life | None = None) -> None:
        """Ask an incarnation to drain and stop, and wait until it is gone."""
        life = life or next(iter(self.alive), None)
        if life is None:
            return
        await self.simulation.operate(
            f"stop {life.name}", life._stop.set, footprint=writes(f"lifecycle/{self.name}")
        )
        await self.gone(life)

    async def gone(self, life: Life) -> None:
        """Return when an incarnation has ended, by whatever cause."""
        await self.simulation.operate(
            f"wait for the end of {life.name}",
            lambda: None,
            footprint=reads(f"lifecycle/{self.name}"),
            enabled=lambda: not life._runs,
            describe_wait=lambda: f"{life.name} is in phase {life._phase}",
            on_crash="drop",
        )

    async def ready(self, life: Life | None = None) -> None:
        """Return when an incarnation (by default the newest) is ready, or dead."""
        if life is None and not self.lives:
            raise UsageError(f"service {self.name!r} was never started; call start() first")
        life = life or self.lives[-1]
        await self.simulation.operate(
            f"wait until {life.name} is ready",
            lambda: None,
            footprint=reads(f"lifecycle/{self.name}"),
            enabled=lambda: life._ready.is_set() or not life._runs,
            describe_wait=lambda: f"{life.name} is in phase {life._phase}",
            on_crash="drop",
        )

    async def restart(self, kind: str, *, delay_s: float = 0.0) -> None:
        """Restart in one of the :data:`RESTART_KINDS`, and return when that is done.

        ``delay_s`` is the time for which it is down or paused, where it is that at all. A service
        that is down already is started. A rolling restart whose new incarnation dies keeps the old.
        """
        await self.change(self.cut(kind), kind, delay_s)

    def cut(self, kind: str) -> tuple[Life | None, Life | None]:
        """The part of a restart that takes no time: who was there, and who came at once."""
        if kind not in RESTART_KINDS:
            raise closest(kind, RESTART_KINDS, kind="kind of restart")
        if not self.restarting:
            self.kind = kind
        old = next(iter(self.alive), None)
        new = self.start() if kind == "failover" else None
        if kind in ("crash", "failover") and old is not None:
            self.crash(old)
        if kind == PAUSE and old is not None:
            self.pause(old)
        if kind == "power cut":
            for life in self.alive:
                self.crash(life)
            self.power_cuts += bool(self.disks)
            for disk in self.disks:
                disk.power_cut()
        return old, new

    async def relapse(self, crashed: Life, nemesis: str, *, delay_s: float) -> None:
        """After a crash in the middle of a restart: see to it that the restart is done after all.

        What was going on comes first to its end, which may already have brought a successor. Who
        was to be replaced by the one that crashed is replaced by the next one.
        """
        await self.simulation.operate(
            f"wait for the restart of {self.name} that was cut short",
            lambda: None,
            footprint=reads(f"lifecycle/{self.name}"),
            enabled=lambda: self.struck[0] == nemesis,
            describe_wait=lambda: f"{self.struck[0]} is at work on {self.name}",
        )
        await trio.sleep(delay_s)
        old = next(iter(self.alive), None)
        if old is None or old.incarnation < crashed.incarnation:
            await self.change((old, None), "rolling", 0.0)

    async def change(
        self, lives: tuple[Life | None, Life | None], kind: str, delay_s: float
    ) -> None:
        """The rest of it, up to the moment at which the new incarnation alone is there."""
        old, new = lives
        if kind == PAUSE and old is not None:
            await trio.sleep(delay_s)
            await self.simulation.operate(
                f"continue {old.name}",
                lambda: self.go_on(old),
                footprint=writes(f"lifecycle/{self.name}"),
            )
            return
        if kind == "stop" and old is not None:
            await self.stop(old)
        if delay_s and kind in ("crash", "stop", "power cut"):
            await trio.sleep(delay_s)
        if new is None and kind != "rolling":
            new = next(iter(self.alive), None)  # somebody else has started it meanwhile
        new = new or self.start()
        await self.ready(new)
        if kind == "rolling" and old is not None and new.alive:
            await self.stop(old)
