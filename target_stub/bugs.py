"""The planted bugs: each a small patch of one place, with the incident it is modelled on.

A bug replaces a class by a subclass with one method changed. The services themselves know nothing
of it, so a bug can never be half on. Every bug names the rule that must catch it; all but those
of the first incarnation need a restart to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from target_stub.chain import Chain, ChainNode
from target_stub.cloud.market_data import MarketData
from target_stub.cloud.trader import Trader
from target_stub.defects import ledger, market_data
from target_stub.guards import EPOCH_FENCE, MODE_GATE

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """One planted bug.

    ``breaks`` is the rule that must catch it; the rules in ``also`` may see it too, and nobody
    else does. ``guards`` are those without which it is no bug: a defect of a guard needs the
    guard. ``budget`` is how many schedules the default search may need. Incarnations before
    ``since`` are correct, so that a bug of booting is behind a service that runs for weeks.
    """

    text: str
    breaks: str
    incident: str
    budget: int
    replaces: Mapping[type, type] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    since: int = 1

    def variant(self, correct: type[T], incarnation: int = 1) -> type[T]:
        """The class that plays the part of ``correct`` in this incarnation."""
        if incarnation < self.since:
            return correct
        return cast("type[T]", self.replaces.get(correct, correct))


NO_BUG = Bug(text="nothing is wrong", breaks="", incident="", budget=0)

#: All planted bugs by name, in the order of the rules that catch them.
BUGS: Mapping[str, Bug] = {
    "index_zero": Bug(
        text="market data ticks before it has hydrated: funding indices become 0",
        breaks="funding_index_step_is_bounded",
        incident=(
            "Paradex, 19 January 2026: a service restarted during a database upgrade saved and "
            "published default values; funding indices of some markets became 0"
        ),
        budget=100,
        also=(
            "nothing_reverts_to_a_default",
            "nobody_writes_before_it_is_ready",
            "liquidations_are_justified",
        ),
        replaces={MarketData: market_data.PublishesBeforeHydrated},
        since=2,
    ),
    "price_zero": Bug(
        text="market data takes a missing price for 0: mark prices become 0",
        breaks="nothing_reverts_to_a_default",
        incident=(
            "Paradex, 19 January 2026, as the press of that day told it: BTC, ETH and SOL at 0.00"
        ),
        budget=100,
        also=("liquidations_are_justified",),
        replaces={MarketData: market_data.TakesMissingPriceForZero},
        since=2,
    ),
    "reset_after_load": Bug(
        text="market data resets premium and averages after it has loaded them",
        breaks="recovered_state_is_durable_state",
        incident=("github.com/qubic/core pull 421: counters were reset after loading the snapshot"),
        budget=20,
        replaces={MarketData: market_data.ResetsAfterLoading},
        since=2,
    ),
    "announced_before_commit": Bug(
        text="market data announces values that it has not committed yet",
        breaks="published_is_committed",
        incident=(
            "github.com/etcd-io/etcd issue 13766: what had been applied and what was saved of it "
            "were written apart, and a crash between left members that disagree"
        ),
        budget=100,
        replaces={MarketData: market_data.AnnouncesBeforeCommit},
        since=2,
    ),
    "epoch_checked_once": Bug(
        text="market data checks its epoch before the transaction, not in it",
        breaks="older_incarnation_never_overwrites",
        incident=(
            "AWS DynamoDB, 19 October 2025: a delayed worker applied an old plan after a check of "
            "its freshness that it had made once, at the start"
        ),
        budget=200,
        replaces={MarketData: market_data.ChecksEpochOnce},
        guards=(EPOCH_FENCE,),
    ),
    "half_a_bust": Bug(
        text="the chain busts a trade but keeps the buyer's side of it",
        breaks="positions_sum_to_zero",
        incident=(
            "Starknet, 5 January 2026: the executor kept a write of a call that was reverted"
        ),
        budget=200,
        also=("cash_is_conserved",),
        replaces={Chain: ledger.KeepsHalfOfABust},
        guards=(MODE_GATE,),
    ),
    "credit_from_old_balance": Bug(
        text="the chain books a deposit on a balance that it read before it waited",
        breaks="cash_is_conserved",
        incident=(
            "BitMEX, 23 March 2023: a race in internal transfers; the audit of the balances halted "
            "the exchange"
        ),
        budget=200,
        replaces={ChainNode: ledger.CreditsFromAnOldBalance},
    ),
    "liquidator_believed": Bug(
        text="the chain liquidates whom it is told to, without looking again",
        breaks="liquidations_are_justified",
        incident=(
            "dYdX, 10 October 2025: accounts were liquidated on values that were no longer true"
        ),
        budget=50,
        replaces={Chain: ledger.BelievesTheLiquidator},
    ),
    "new_id_on_retry": Bug(
        text="a client gives a command a new id whenever it sends it again",
        breaks="effects_happen_once",
        incident=(
            "github.com/deepentropy/ibx pull 361: executions that were sent again after a restart "
            "were booked twice"
        ),
        budget=50,
        replaces={Trader: ledger.NewIdOnEveryAttempt},
    ),
    "trades_gated_only": Bug(
        text="the chain's mode gate stops trades, but not liquidations",
        breaks="mode_gates_fills_and_liquidations",
        incident=(
            "BitMEX, 13 May 2021: stops and liquidations ran while the exchange was still in "
            "maintenance"
        ),
        budget=50,
        replaces={Chain: ledger.GatesTradesOnly},
        guards=(MODE_GATE,),
    ),
    "ticks_while_it_loads": Bug(
        text="market data ticks the markets it has loaded while it loads the others",
        breaks="nobody_writes_before_it_is_ready",
        incident=(
            "Base, 5 August 2025: a sequencer that was still being provisioned was made the leader"
        ),
        budget=50,
        also=("recovered_state_is_durable_state",),
        replaces={MarketData: market_data.TicksWhileItLoads},
        since=2,
    ),
}
