"""Services that lose at a crash what they had promised, or forget what they had done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import trio

from target_stub.chain import BLOCKS, Chain, ChainNode
from target_stub.cloud.durable_matching import DurableMatching
from target_stub.cloud.market_data import MarketData
from target_stub.cloud.order_desk import OrderDesk
from target_stub.cloud.snapshots import Snapshots
from target_stub.core import Command, Deposit, Duplicate, Event, Reason, Rejected
from target_stub.core.funding import premium
from target_stub.core.state import AppliedIds
from target_stub.defects.bug import Bug
from target_stub.ports import Life, Network, Request, Row

WHOLE = "whole-exchange"
PAYDAY = "payday"
#: How long a node collects what it has to write, or to answer, before it does it all at once.
FLUSH_S = 1.0


class AnswersInBatches(ChainNode):
    """A node that does everything at once and answers a deposit a little later: no defect yet."""

    async def run(self) -> None:
        """Serve for ever, and let the answers wait beside."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            await super().run()

    async def answer(self, request: Request) -> None:
        """Everything but a deposit is answered at once."""
        deposit = request.payload
        if not isinstance(deposit, Deposit):
            await super().answer(request)
            return
        events = self.submit(deposit)
        await self.network.publish(BLOCKS, self.chain.blocks[-1])
        self.nursery.start_soon(self.reply, request, events)

    def submit(self, command: Command) -> tuple[Event, ...]:
        """Do it."""
        return self.chain.submit(command)

    async def reply(self, request: Request, events: tuple[Event, ...]) -> None:
        """Answer with the next batch."""
        await trio.sleep(FLUSH_S)
        await request.reply(events)


class AcknowledgesBeforeItBooks(ChainNode):
    """Answers a deposit as soon as it knows that it is valid, and books it with the next flush."""

    async def run(self) -> None:
        """Serve for ever, and let the flushes run beside."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            await super().run()

    async def answer(self, request: Request) -> None:
        """Everything but a deposit is booked at once."""
        deposit = request.payload
        if not isinstance(deposit, Deposit) or deposit.id in self.chain.state.applied:
            await super().answer(request)
            return
        _, events = self.chain.execute(self.chain.state, deposit)
        await request.reply(events)
        self.nursery.start_soon(self.flush, deposit)

    async def flush(self, deposit: Deposit) -> None:
        """A second later all is well, nearly always."""
        await trio.sleep(FLUSH_S)
        self.chain.submit(deposit)
        await self.network.publish(BLOCKS, self.chain.blocks[-1])


class RemembersSinceBoot(AnswersInBatches):
    """Keeps the ids of what it has done in memory, and begins with none when it boots."""

    def __init__(self, life: Life, *, chain: Chain, network: Network) -> None:
        super().__init__(life, chain=chain, network=network)
        self.applied = AppliedIds()

    def submit(self, command: Command) -> tuple[Event, ...]:
        """Who asks again asks the node that did it, nearly always."""
        before = self.chain.state
        forgotten = command.id in before.applied and command.id not in self.applied
        self.applied = self.applied.added(command.id)
        if not forgotten:
            return self.chain.submit(command)
        state, events = self.chain.execute(replace(before, applied=AppliedIds()), command)
        self.chain.append(command, events, replace(state, applied=before.applied))
        return events


class RefusesDuplicates(AnswersInBatches):
    """Tells whoever sends a command again that it is refused, because it is known."""

    async def reply(self, request: Request, events: tuple[Event, ...]) -> None:
        """Nobody sends again what was answered."""
        command_id = request.payload.id
        if any(isinstance(event, Duplicate) for event in events):
            events = (Rejected(command_id=command_id, reason=Reason.CREDITED_BEFORE),)
        await super().reply(request, events)


class ReplaysTheLastBlock(ChainNode):
    """Goes on from its last snapshot, which it takes for one block older than it is."""

    def __init__(self, life: Life, *, chain: Chain, network: Network) -> None:
        super().__init__(life, chain=chain, network=network)
        if life.incarnation > 1 and chain.blocks:
            last = chain.blocks[-1].command
            forgetful = replace(chain.state, applied=AppliedIds())
            state, events = chain.execute(forgetful, last)
            chain.append(last, events, replace(state, applied=chain.state.applied))


class ComputesPremiumAnew(MarketData):
    """Does not load the premium, which it can compute from the price, and does so from today's."""

    def take_over(self, rows: Mapping[str, Row]) -> None:
        """The price is the one of the last tick, nearly."""
        quoted = self.state.markets
        super().take_over(rows)
        markets = {}
        for symbol, market in self.state.markets.items():
            spot_usd = quoted[symbol].known("spot_usd")
            usdc_price = quoted[symbol].known("usdc_price")
            due = premium(market.known("rate"), spot_usd, usdc_price)
            markets[symbol] = replace(market, premium_usdc=due)
        self.state = replace(self.state, markets=markets)


class ShortensBeforeItSaves(DurableMatching):
    """Shortens its journal first; the snapshot comes with the next flush."""

    async def shorten(self, snapshots: Snapshots, length: int, desk: OrderDesk) -> None:
        """A second later all is well, nearly always."""
        await self.journal.shorten(length)
        await trio.sleep(FLUSH_S)
        await snapshots.save(length, desk)


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "acknowledged_then_lost": Bug(
        text="the chain's node acknowledges a deposit before it books it",
        breaks="effects_happen_once",
        incident=(
            "Jepsen, NATS 2.12.1, 8 December 2025: messages were acknowledged before they were "
            "flushed to disk, and a crash lost them"
        ),
        family="acknowledged then lost",
        budget=20,
        scenario=PAYDAY,
        also=("answers_are_true",),
        replaces={ChainNode: AcknowledgesBeforeItBooks},
    ),
    "ids_since_boot": Bug(
        text="the chain's node remembers the ids of what it did since it booted",
        breaks="effects_happen_once",
        incident=(
            "github.com/deepentropy/ibx pull 361: executions that were sent again after a restart "
            "were booked twice"
        ),
        family="executed twice on redelivery",
        budget=40,
        scenario=PAYDAY,
        also=("copies_agree",),
        replaces={ChainNode: RemembersSinceBoot},
    ),
    "duplicate_refused": Bug(
        text="the chain's node refuses a deposit that is sent again, although it is done",
        breaks="answers_are_true",
        incident=(
            "Hyperliquid, 29 July 2025: the interface answered with errors, and the orders were "
            "executed"
        ),
        family="error returned but executed",
        budget=40,
        scenario=PAYDAY,
        replaces={ChainNode: RefusesDuplicates},
    ),
    "last_block_replayed": Bug(
        text="the chain's node executes its last block again when it boots",
        breaks="effects_happen_once",
        incident=(
            "github.com/bnb-chain/node issue 158: after a restart and a replay of three blocks the "
            "node went on from another height than the others"
        ),
        family="replayed once too often",
        budget=20,
        scenario=PAYDAY,
        also=("copies_agree",),
        replaces={ChainNode: ReplaysTheLastBlock},
    ),
    "shortened_before_saved": Bug(
        text="matching shortens its journal before the snapshot of what it deletes is durable",
        breaks="recovery_completes",
        incident=(
            "github.com/nats-io/nats-server issue 8425: installing a snapshot compacts the Raft "
            "log before the data that the log has covered is durable"
        ),
        family="log shortened too early",
        budget=250,
        scenario="crash-equivalence",
        also=("finishes_within_limits",),
        replaces={DurableMatching: ShortensBeforeItSaves},
    ),
    "premium_recomputed": Bug(
        text="market data computes the premium anew when it loads, from a later price",
        breaks="recovered_state_is_durable_state",
        incident=(
            "github.com/michaeljfazio/dugite issue 736: a field was empty after loading and was "
            "computed from a later state, which showed at the next epoch only"
        ),
        family="recomputed from a later state",
        budget=100,
        scenario=WHOLE,
        replaces={MarketData: ComputesPremiumAnew},
        since=2,
    ),
}
