"""The nemesis that restarts services: when it could strike, and the lanes in which it works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import closest
from harness.schedule.choices import writes
from harness.world.service import PAUSE, RESTART_KINDS, Service

if TYPE_CHECKING:
    from harness.schedule.simulation import Simulation


def named(kind: str, name: str) -> str:
    """What the nemesis does to a service, in words."""
    return f"pause {name}" if kind == PAUSE else f"{kind} restart of {name}"


class Nemesis:
    """Restarts the services of one run at any moment that the schedule chooses."""

    def __init__(self, simulation: Simulation, services: Mapping[str, Service]) -> None:
        self.simulation = simulation
        self.services = services
        self._lanes = 0
        self._restartable: set[str] = set()
        self._recovering: set[str] = set()

    def changed(self, service: Service) -> None:
        """Note what could be done to a service now; it is asked at every step of a run."""
        for names, can in (
            (self._restartable, service.restartable),
            (self._recovering, service.recovering is not None),
        ):
            (names.add if can else names.discard)(service.name)

    def allow(
        self, name: str, kinds: tuple[str, ...], *, delay_s: float, in_recovery: bool
    ) -> None:
        """Offer restarts of a service, and power cuts of what is just coming back."""
        for kind in kinds:
            if kind not in RESTART_KINDS:
                raise closest(kind, RESTART_KINDS, kind="kind of restart")
            self.simulation.offer_fault(
                named(kind, name),
                lambda kind=kind: self._restart(name, kind, delay_s),  # type: ignore[misc]
                available=lambda: name in self._restartable,
                footprint=writes(f"lifecycle/{name}"),
            )
        if in_recovery:
            self.simulation.offer_fault(
                f"crash of {name} in recovery",
                lambda: self._cut_short(name, delay_s),
                available=lambda: name in self._recovering,
                footprint=writes(f"lifecycle/{name}"),
            )

    def _restart(self, name: str, kind: str, delay_s: float) -> None:
        service, lane = self._at_work(name)
        lives = service.cut(kind)
        work = partial(service.change, lives, kind, delay_s)
        self._spawn(service, lane, named(kind, name), work)

    def _cut_short(self, name: str, delay_s: float) -> None:
        service, lane = self._at_work(name)
        crashed = service.recovering
        assert crashed is not None  # or it would not have been offered
        service.crash(crashed)
        work = partial(service.relapse, crashed, lane, delay_s=delay_s)
        self._spawn(service, lane, f"crash of {name} in recovery", work)

    def _at_work(self, name: str) -> tuple[Service, str]:
        """The service at which it goes to work, and in which lane."""
        self._lanes += 1
        lane = "nemesis" if self._lanes == 1 else f"nemesis.{self._lanes}"
        service = self.services[name]
        service.touches()
        service.struck.append(lane)
        return service, lane

    def _spawn(
        self, service: Service, lane: str, what: str, work: Callable[[], Awaitable[None]]
    ) -> None:
        service.changed()

        async def nemesis() -> None:
            await work()
            service.touches()
            service.struck.remove(lane)
            service.changed()

        nemesis.__name__ = what
        self.simulation.spawn(lane, nemesis)
