"""The protections that can be switched on one by one, each with what it would have stopped.

All off is the exchange of 19 January 2026. A guard is a protection of the service that has it, so
each is consulted in one place only; whoever refuses something because of a guard says so here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from target_stub.ports import Row

WRITE_BOUND = "write_bound"
CHECKPOINT = "checkpoint"
DOUBLE_CHECK = "double_check"
MODE_GATE = "mode_gate"
EPOCH_FENCE = "epoch_fence"
FRESHNESS = "freshness"
POST_ONLY_BAND = "post_only_band"
TWO_SIDED_OPENING = "two_sided_opening"

#: In the order in which a wrong value would meet them.
GUARDS: Mapping[str, str] = {
    EPOCH_FENCE: "market data may write only what it computed under the epoch that it holds",
    WRITE_BOUND: "market data refuses to persist a step that no funding rate can explain",
    CHECKPOINT: "the publisher compares every value with the last published one before the chain",
    MODE_GATE: "the chain knows the mode and liquidates, triggers and settles only when it is ok",
    FRESHNESS: "the chain liquidates and settles only at mark prices that are not too old",
    DOUBLE_CHECK: "the liquidator recomputes with prices and indices of its own before it acts",
}

#: Those of the second wave: what Paradex added after the incident, and what an opening needs.
REOPENING_GUARDS: Mapping[str, str] = {
    POST_ONLY_BAND: "in post-only mode no order may be more than 5 basis points too aggressive",
    TWO_SIDED_OPENING: "mode control opens trading only on books that have both sides",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a guard refused: market rows that were not written, accounts that were not touched."""

    guard: str
    why: str
    rows: Mapping[str, Row] = field(default_factory=dict)
    accounts: tuple[str, ...] = ()


class Guards:
    """The guards that are on, and where a refusal is told."""

    def __init__(
        self, names: Iterable[str] = (), *, tell: Callable[[Refusal], None] = lambda refusal: None
    ) -> None:
        self.names = frozenset(names)
        self.tell = tell

    def __contains__(self, name: str) -> bool:
        return name in self.names


NO_GUARDS = Guards()
