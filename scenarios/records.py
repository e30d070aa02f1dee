"""What is kept of a run of the exchange, and judged by: wherever its services run.

A simulated world and real processes tell it the same things, what committed and which blocks the
chain made, and the same rules read it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from harness.history import Event as HistoryEvent
from harness.history import Told
from scenarios.deployment import JANUARY, Deployment
from scenarios.opening import opening_state
from scenarios.people import Population
from scenarios.rules.view import Wronged
from scenarios.shadow import Shadow
from target_stub.chain import MARK_AGE_MS_MAX, Block, Chain
from target_stub.cloud.market_data import MarketData
from target_stub.cloud.oracle_feed import Prices
from target_stub.cloud.trader import Trader
from target_stub.core import (
    Event,
    ExchangeSpec,
    Filled,
    FillType,
    Liquidated,
    MarketSpec,
    PublishMarket,
    State,
)
from target_stub.core.events import BridgeMoved, Deposited, MarketPublished, ModeChanged, Triggered
from target_stub.defects.bug import Bug
from target_stub.guards import FRESHNESS, MODE_GATE, Guards, Refusal
from target_stub.ports import Row

#: What a run reaches, for whoever counts: wrong values that came so far.
WRONG_COMMITTED, WRONG_PUBLISHED = "wrong value committed", "wrong value published"
#: What has to happen in some run, or nothing was put to the test.
LIQUIDATED = "somebody is liquidated"
MARKETS_TAKEN_OVER = "a new market data commits"
PUBLISHING_TAKEN_OVER = "a new publisher publishes"
MUST_REACH = (LIQUIDATED, MARKETS_TAKEN_OVER, PUBLISHING_TAKEN_OVER)
#: What a refusal's note says it stopped.
WRONG, RIGHT = "wrong", "not wrong"


class Tables(Protocol):
    """What is committed in the database of the exchange."""

    @property
    def name(self) -> str:
        """As the history calls it."""

    def table(self, table: str) -> Mapping[str, Row]:
        """All rows of a table by key."""


class Records(ABC):
    """The records of one run; who keeps them says when it is, and where things are told."""

    database: Tables

    def __init__(
        self,
        *,
        spec: ExchangeSpec,
        markets: Sequence[MarketSpec],
        rows: Mapping[str, Row],
        people: Population,
        prices: Prices,
        deployment: Deployment = JANUARY,
        bug: Bug,
        guards: Iterable[str],
    ) -> None:
        self.deployment = deployment
        self.spec = spec
        self.markets = tuple(markets)
        self.people = people
        self.prices = prices
        self.bug = bug
        self.guards = Guards({*guards, *bug.guards}, tell=self.observe_refusal)
        self.market_data: dict[str, MarketData] = {}
        self.traders: list[Trader] = []
        self.versions: list[Mapping[str, Row]] = [dict(rows)]
        self.wronged: list[Wronged] = []
        self.liquidated = 0
        self.block_at_ms: dict[int, int] = {}
        self.chain = bug.variant(Chain)(
            opening_state(spec, markets, rows, people),
            mode_gate=MODE_GATE in self.guards or deployment.staged_modes,
            mark_age_ms_max=MARK_AGE_MS_MAX if FRESHNESS in self.guards else None,
            clock_ms=lambda: self.now_ms,
            observer=self.observe_block,
            tell=self.observe_refusal,
        )
        self.shadow = Shadow(self.chain.genesis, rows, prices, fair_width=deployment.fair_width)

    # --- who keeps them -----------------------------------------------------------------------

    @property
    @abstractmethod
    def now_ms(self) -> int:
        """The time of the run."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """How many steps were made."""

    @abstractmethod
    def reach(self, mark: str) -> None:
        """Count that the run came to an interesting place."""

    @abstractmethod
    def tell(self, told: Told) -> None:
        """Write something into the history."""

    @abstractmethod
    def phase_of(self, lane: str) -> str:
        """In which phase of its life an incarnation is."""

    # --- what happened ------------------------------------------------------------------------

    def observe_rows(self, symbol: str, rows: Mapping[str, Row], lane: str) -> None:
        """Remember a committed version of the market rows, in which ``lane`` has written one."""
        if lane.startswith("market_data#") and lane != "market_data#1":
            self.reach(MARKETS_TAKEN_OVER)
        self.versions.append(dict(rows))
        if not self.shadow.explains(symbol, rows[symbol]):
            self.reach(WRONG_COMMITTED)

    def observe_submission(self, event: HistoryEvent) -> None:
        """Note that a publisher goes on where another one has ended."""
        if event.lane.startswith("publisher#") and event.lane != "publisher#1":
            self.reach(PUBLISHING_TAKEN_OVER)

    def observe_refusal(self, refusal: Refusal) -> None:
        """Tell the history that a guard refused something, and whether that was wrong.

        A row is wrong if clean values cannot explain it, a liquidation if the shadow would not do
        it.
        """
        now_ms = self.now_ms
        wrong = any(not self.shadow.explains(symbol, row) for symbol, row in refusal.rows.items())
        wrong |= any(not self.shadow.would_liquidate(name, now_ms) for name in refusal.accounts)
        self.tell(
            Told(
                f"{refusal.guard} refused",
                f"guards/{refusal.guard}",
                refusal.why,
                after=WRONG if wrong else RIGHT,
                kind="note",
            )
        )

    def observe_block(self, before: State, block: Block) -> None:
        """Tell the history what the chain did, and let the shadow do it too."""
        self.block_at_ms[block.height] = self.now_ms
        if isinstance(block.command, PublishMarket):
            symbol, row = block.command.market, self.shadow.row_of(block.command)
            if not self.shadow.explains(symbol, row):
                self.reach(WRONG_PUBLISHED)
        for event in block.events:
            if isinstance(event, Liquidated):
                self.judge_liquidation(event)
            told = told_as(event)
            if told is not None:
                self.tell(of_chain(told))
        self.shadow.follow(block)

    def judge_liquidation(self, event: Liquidated) -> None:
        """Would the shadow, with clean values, have liquidated this account?"""
        self.liquidated += 1
        self.reach(LIQUIDATED)
        wronged = self.shadow.judge(event, step=self.steps, at_ms=self.now_ms)
        if wronged is not None:
            self.wronged.append(wronged)


def of_chain(told: Told) -> Told:
    """The same, told of the chain."""
    return told._replace(resource=f"chain/{told.resource}", peer="chain")


def told_as(event: Event) -> Told | None:
    """What of an event of the chain is worth telling, if anything."""
    told = None
    match event:
        case MarketPublished(market=market, index_before=before, index=index):
            mark = f"mark {event.mark}"
            told = Told(f"publish {market}", f"markets/{market}", mark, before, index)
        case Liquidated(account=account):
            cut = f"{event.share * 100:f} % for {event.penalty}"
            told = Told(f"liquidate {account}", f"liquidations/{account}", cut)
        case Deposited():
            told = Told(f"deposit {event.amount}", f"accounts/{event.account}")
        case Filled() if event.fill_type is FillType.FILL:
            told = Told(f"settle {event.size} at {event.price}", f"trades/{event.market}")
        case ModeChanged():
            told = Told(f"mode {event.mode}", "mode", "", event.before, event.mode)
        case Triggered():
            told = Told("trigger", "triggers")
        case BridgeMoved(transfer=transfer):
            said = f"{transfer.direction} of {transfer.amount}".lower()
            told = Told(said, f"bridge/{transfer.id}", "", "", transfer.status)
    return told
