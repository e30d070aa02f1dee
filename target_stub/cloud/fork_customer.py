"""A customer who has a list of things to do, and does each of them once, whatever gets lost.

He names the fork that he saw before he sent something. What nobody answered he sends again under
its id, as every client library does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from target_stub.cloud.retry import retrying
from target_stub.core import Command, Event, Mode
from target_stub.forks import OnFork, Standing
from target_stub.ports import Network

#: How long he waits for an answer before he sends again.
TIMEOUT_S = 1.0
#: How often he looks whether the exchange is open again, and after how long he gives up.
LOOK_S, PATIENCE_S = 0.2, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Something to be done at a time, or as soon as the exchange is open again (``at_s`` None)."""

    make: Callable[[str, int], Command]
    at_s: float | None = None


class ForkCustomer:
    """One customer with his intents, in their order."""

    def __init__(
        self,
        name: str,
        *,
        network: Network,
        intents: Sequence[Intent],
        does: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.name = name
        self.network = network
        self.intents = intents
        self.does = does
        self.answers: dict[str, Sequence[Event]] = {}

    async def run(self) -> None:
        """Do one thing after the other."""
        for number, intent in enumerate(self.intents):
            await self.wait_for(intent)
            if self.does(self.name):
                name = f"{self.name}-{number}"
                now_ms = round(trio.current_time() * 1000)
                self.answers[name] = await self.send(intent.make(name, now_ms))

    async def wait_for(self, intent: Intent) -> None:
        """Wait for the time of an intent, or for the exchange to be open on a new fork."""
        if intent.at_s is not None:
            await trio.sleep_until(intent.at_s)
            return
        until_s = trio.current_time() + PATIENCE_S
        while trio.current_time() < until_s:
            standing = await self.look()
            if standing.fork and standing.state.mode is Mode.OK:
                return
            await trio.sleep(LOOK_S)

    async def look(self) -> Standing:
        """Where the chain stands."""
        async for attempt in retrying():
            with attempt:
                standing: Standing = await self.network.call("chain", "standing", None)
        return standing

    async def send(self, command: Command) -> Sequence[Event]:
        """Send a command until somebody answers; the id stays the same."""
        events: Sequence[Event] = ()
        async for attempt in retrying():
            with attempt:
                fork = (await self.look()).fork
                message = OnFork(fork=fork, command=command)
                events = await self.network.call("chain", "submit", message, TIMEOUT_S)
        return events
