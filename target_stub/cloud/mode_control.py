"""Mode control: the system state that the operator sets and everybody else obeys.

The mode is a row in the database and a message to the cloud; with the mode gate it is a command to
the chain as well, which then enforces it whatever the cloud believes.
"""

from __future__ import annotations

import trio

from target_stub.cloud.retry import retrying
from target_stub.core import Mode, SetMode
from target_stub.guards import MODE_GATE, NO_GUARDS, Guards
from target_stub.ports import Life, Network, Request

ADDRESS = "mode"
TOPIC = "mode"


class ModeControl:
    """One incarnation of mode control."""

    def __init__(self, life: Life, *, network: Network, guards: Guards = NO_GUARDS) -> None:
        self.life = life
        self.network = network
        self.guards = guards

    async def run(self) -> None:
        """Serve for ever."""
        self.life.enter("ready")
        async for request in self.network.listen(ADDRESS):
            await self.answer(request)

    async def answer(self, request: Request) -> None:
        """``set`` a mode: the chain first, if it is to know, then the cloud."""
        if request.method != "set":
            await request.fail(ValueError(f"mode control has no method {request.method!r}"))
            return
        mode = Mode(request.payload)
        now_ms = round(trio.current_time() * 1000)
        if MODE_GATE in self.guards:
            command = SetMode(id=f"mode-{mode}-{now_ms}", at_ms=now_ms, mode=mode)
            async for attempt in retrying():
                with attempt:
                    await self.network.call("chain", "submit", command)
        await self.network.publish(TOPIC, mode)
        await request.reply(mode)
