"""The protections that can be switched on one by one, each with what it would have stopped.

All off is the exchange of 19 January 2026. A guard is a protection of the service that has it, so
each is consulted in one place only.
"""

from __future__ import annotations

from collections.abc import Mapping

WRITE_BOUND = "write_bound"
CHECKPOINT = "checkpoint"
DOUBLE_CHECK = "double_check"
MODE_GATE = "mode_gate"
EPOCH_FENCE = "epoch_fence"

#: In the order in which a wrong value would meet them.
GUARDS: Mapping[str, str] = {
    EPOCH_FENCE: "market data may write only under the epoch it took while it hydrated",
    WRITE_BOUND: "market data refuses to persist a step that no funding rate can explain",
    CHECKPOINT: "the publisher compares every value with the last published one before the chain",
    MODE_GATE: "the chain knows the mode and liquidates, triggers and settles only when it is ok",
    DOUBLE_CHECK: "the liquidator recomputes with prices and indices of its own before it acts",
}
