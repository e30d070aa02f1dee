"""Mode controls with one defect each: they say, or do, what was not decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import trio

from target_stub.cloud.mode_control import ModeTold
from target_stub.cloud.retry import retrying
from target_stub.cloud.staged_modes import ASK_AGAIN_S, StagedModeControl
from target_stub.core import Mode, SetMode, State
from target_stub.defects.bug import Bug


class FinishesWhatWasBegun(StagedModeControl):
    """Takes a decision that was begun before it was restarted for one that was taken."""

    begun = False

    async def decide(self, mode: Mode) -> ModeTold:
        """Remember whether the row says that somebody was at it."""
        row = await self.read()
        self.begun = not self._asked and row["sequence"] > row["held"]
        return await super().decide(mode)

    def command_of(self, decision: ModeTold) -> SetMode:
        """Only tell the chain what holds already, so it checks no stage."""
        return replace(super().command_of(decision), is_decided=self.begun)


class WritesBeforeItAsks(StagedModeControl):
    """Writes down that a decision holds, and asks the chain until that agrees."""

    async def step(self) -> bool:
        """It always agrees in the end, so the row is right, nearly always."""
        async for attempt in retrying():
            with attempt:
                state: State = await self.network.call("chain", "state", None)
                decision = await self.decide(state.mode)
        async for attempt in retrying():
            with attempt:
                await self.record(decision)
        while not await self.ask_chain(decision):
            await trio.sleep(ASK_AGAIN_S)
        await self.announce(decision)
        return True


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "stage_begun_is_stage_done": Bug(
        text="mode control that was restarted takes a stage that was begun for one that is over",
        breaks="no_stage_is_skipped",
        incident=(
            "BitMEX, 13 May 2021: one stage of the way back lifted the suspension of the engine "
            "while the exchange was still in maintenance"
        ),
        family="acts during maintenance",
        budget=500,
        scenario="reopening",
        replaces={StagedModeControl: FinishesWhatWasBegun},
    ),
    "mode_written_before_decided": Bug(
        text="mode control writes a mode down before the chain has decided it",
        breaks="announced_mode_is_decided",
        incident=(
            "NYSE, 24 January 2023: the primary system took the markets for open because another "
            "system still said so, and 2,824 symbols had no opening auction"
        ),
        family="acknowledged before it is true",
        budget=400,
        scenario="reopening",
        replaces={StagedModeControl: WritesBeforeItAsks},
    ),
}
