"""Gateways with one defect each: they count anew, forget, or call the unknown failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from target_stub.api.channels import News
from target_stub.api.gateway import Gateway
from target_stub.api.messages import ApiError
from target_stub.core import State
from target_stub.core.events import OrderAccepted
from target_stub.defects.bug import Bug


class CountsFromZero(Gateway):
    """Numbers what it tells by a counter in memory."""

    def next_seq_no(self) -> int:
        """One more than the last one of this incarnation."""
        self._seq_no += 1
        return self._seq_no


class CallsTheUnknownFailed(Gateway):
    """Tells that an order has failed when it has only not heard of it in time."""

    def unknown(self) -> ApiError:
        """As if nothing had happened and nothing would."""
        return ApiError(503, "SERVICE_UNAVAILABLE", "matching did not answer")


class BeginsItsHistoryNow(Gateway):
    """Rebuilds balances and positions at its start, and not what was told of earlier blocks."""

    async def read_chain(self) -> Any:
        """The first time, the state of now without the blocks that led to it."""
        state, blocks = await super().read_chain()
        if self.chain is not None or not blocks:
            return state, blocks
        self._height, self._fork = blocks[-1].height, blocks[-1].fork
        return state, ()


class AnswersFromItsStart(Gateway):
    """Goes on telling the positions that it read when it started, a replica that stands still."""

    def take_over(self, state: State, blocks: Any, followed: Any) -> News:
        """Take over the logs, but not the state beside them."""
        return super().take_over(self.chain or state, blocks, followed)


class RestoresOldAcceptances(Gateway):
    """Rebuilds its orders at its start, and then lets old acceptances come in once more."""

    def take_over(self, state: State, blocks: Any, followed: Any) -> News:
        """The first time, what was accepted is taken over again after all that came of it."""
        first = self.cloud is None
        news = super().take_over(state, blocks, followed)
        for command, events in followed.done if first else ():
            accepted = [event for event in events if isinstance(event, OrderAccepted)]
            self.records.follow_matching(command.id, command.at_ms, accepted)
        return news


BUGS: Mapping[str, Bug] = {
    "seq_no_from_zero": Bug(
        text="the gateway numbers its messages by a counter that a restart sets back",
        breaks="sequence_numbers_increase",
        incident=(
            "github.com/qubic/core pull 421: counters were set to 0 after the snapshot was loaded"
        ),
        family="reset after load",
        budget=200,
        scenario="real-client",
        replaces={Gateway: CountsFromZero},
    ),
    "unknown_is_failed": Bug(
        text="the gateway tells that an order failed when nobody answered in time",
        breaks="acknowledgements_are_true",
        incident=(
            "Hyperliquid, 29 July 2025: the API answered with errors and the orders were executed"
        ),
        family="error returned but executed",
        budget=200,
        scenario="real-client",
        replaces={Gateway: CallsTheUnknownFailed},
    ),
    "history_begins_now": Bug(
        text="a restarted gateway knows positions, but no fill from before its start",
        breaks="told_fills_happened",
        incident=(
            "Paradex, 19 January 2026: balances were right again, portfolio pages and history were "
            "not until 26 January"
        ),
        family="one of two copies restored",
        budget=200,
        scenario="real-client",
        also=("positions_add_up_to_fills",),
        replaces={Gateway: BeginsItsHistoryNow},
        since=2,
    ),
    "answers_from_its_start": Bug(
        text="a restarted gateway goes on telling the positions that it read when it started",
        breaks="positions_add_up_to_fills",
        incident=(
            "GitHub, 21 October 2018: after a failover users were shown data that was out of date"
        ),
        family="stale copy after failover",
        budget=200,
        scenario="real-client",
        replaces={Gateway: AnswersFromItsStart},
        since=2,
    ),
    "old_acceptances": Bug(
        text="a restarted gateway brings closed orders back when it reads old acceptances again",
        breaks="closed_orders_stay_closed",
        incident=(
            "github.com/nautechsystems/nautilus_trader pull 4991: a replay met live events, and an "
            "old acceptance brought a closed order back"
        ),
        family="replay meets live events",
        budget=200,
        scenario="real-client",
        replaces={Gateway: RestoresOldAcceptances},
        since=2,
    ),
}
