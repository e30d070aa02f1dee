"""The twin of the liquidator: after every health check, who should have been liquidated."""

from __future__ import annotations

from typing import NamedTuple

from harness.equivalence import Equivalence, Parts
from harness.history import Event as HistoryEvent
from scenarios.exchange import Exchange
from target_stub.core import LIQUIDATOR_VAULT, Liquidate, State, is_due


class Check(NamedTuple):
    """One health check: the state that was looked at, and who was liquidated because of it."""

    state: State
    liquidated: list[str]


class HealthCheckTwin:
    """Looks at the same states as the liquidator, and remembers nothing from one to the next."""

    def __init__(self, exchange: Exchange, equivalence: Equivalence, *, milestone: str) -> None:
        self.equivalence = equivalence
        self.milestone = milestone
        self._booted: set[str] = set()
        self._going_on: dict[str, Check] = {}
        self._done: Check | None = None
        place = f"{exchange.network.name}/chain."
        nobody: tuple[str, ...] = ()
        self.twin = equivalence.twin(
            "health checks",
            nobody,
            lambda due, state: due_in(state),
            expected=lambda due: {"liquidated": due},
            actual=self.actual,
            on=(f"{place}state",),
        )
        exchange.world.watch(place, self.observe)

    def observe(self, event: HistoryEvent) -> None:
        """The liquidator got an answer, or sends somebody to be liquidated."""
        if not event.lane.startswith("risk#"):
            return
        command = event.value
        if event.kind == "send" and isinstance(command, Liquidate):
            liquidated = self._going_on[event.lane].liquidated
            if command.account not in liquidated:  # sent again, after an answer was lost
                liquidated.append(command.account)
        elif event.kind == "receive" and isinstance(event.value, State):
            self.begin(event.lane, event.value)

    def begin(self, lane: str, state: State) -> None:
        """A check begins, so the one before is over; what is read at boot is none."""
        self._done = self._going_on.get(lane)
        if self._done is not None:
            self.twin.durable(self._done.state)
            self.equivalence.passed(self.milestone)
        if lane in self._booted:
            self._going_on[lane] = Check(state, [])
        self._booted.add(lane)

    def actual(self) -> Parts | None:
        """Who was liquidated by the check that is just over."""
        return None if self._done is None else {"liquidated": tuple(self._done.liquidated)}


def due_in(state: State) -> tuple[str, ...]:
    """Who is due in a state, in the order of their names."""
    prices, usdc_price = state.known_prices(), state.known_usdc_price()
    return tuple(
        name
        for name, account in sorted(state.accounts.items())
        if name != LIQUIDATOR_VAULT
        and account.positions
        and is_due(account, prices, usdc_price, state.rules)
    )
