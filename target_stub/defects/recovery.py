"""Ways back with one defect each: they repeat, forget, or open before they have looked.

Most of them need a restart to show: the procedure that was tried out once, in one go, is correct.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from target_stub.cloud.compensation import Payment, Plan, make_plan
from target_stub.cloud.payouts import OUTSIDE, transfers_outside
from target_stub.cloud.projections import Content, Projections
from target_stub.cloud.recovery import Recovery
from target_stub.cloud.recovery_commands import now_ms, payment_id, transfer_of
from target_stub.core import Deposit, Event, Mode, PublishMarket, Reason, SetMode, State, Usdc
from target_stub.defects.bug import Bug
from target_stub.forks import Abandon, ForkingChain, ForkingNode, Journal, OnFork
from target_stub.ports import Row

SCENARIO = "recovery-drill"
#: The drill in which a bridge stands still and answers get lost.
LATECOMERS = "recovery-latecomers"


class PaysUnderItsOwnName(Recovery):
    """Names every payment after the incarnation that makes it, so that it knows its own."""

    async def pay(self, plan: Plan, payment: Payment) -> None:
        """What the one before has paid has another name."""
        command = transfer_of(plan, payment)
        await self.submit(replace(command, id=f"{command.id}-by-{self.life.incarnation}"))


class PaysOutOfNothing(Recovery):
    """Credits what is owed instead of moving it: a deposit is never refused for lack of margin."""

    async def pay(self, plan: Plan, payment: Payment) -> None:
        """The refund has the same name and the same amount."""
        if payment.amount_usdc < 0:
            await super().pay(plan, payment)
            return
        await self.submit(
            Deposit(
                id=payment_id(plan, payment.account),
                at_ms=now_ms(),
                account=payment.account,
                amount=Usdc(payment.amount_usdc),
            )
        )


class BeginsAtTheEnd(Recovery):
    """Fills the indices of the snapshot in when it needs them, from the values that it has then."""

    async def plan(self) -> Plan:
        """After a restart what is at hand is the end of the fork that was left."""

        async def make() -> Plan:
            journal, fork = await self.journal(), await self.fork()
            (branch,) = (each for each in journal.abandoned if each.fork == fork)
            snapshot = journal.state_at(branch.height)
            last = {
                block.command.market: block.command.funding_index
                for block in branch.blocks
                if isinstance(block.command, PublishMarket)
            }
            markets = {
                symbol: replace(market, funding_index=last.get(symbol, market.funding_index))
                for symbol, market in snapshot.markets.items()
            }
            return make_plan(
                branch,
                snapshot=replace(snapshot, markets=markets),
                now=journal.state_at(len(journal.blocks)),
                outside=transfers_outside(await self.rows(OUTSIDE)),
            )

        plan: Plan = await self.decided("plan", make)
        return plan


class TrustsTheOneBefore(Recovery):
    """Leaves out the audit when it goes on for somebody: who came before must have looked."""

    async def audit(self) -> None:
        """What is to be paid is decided all the same, when it is paid."""


class TakesAnyStageForTheLast(Recovery):
    """Goes on after the reopening if the exchange is not closed any more."""

    async def reopen(self) -> None:
        """Whoever came before has reopened it, or has begun to."""
        if (await self.standing()).state.mode is Mode.MAINTENANCE:
            await super().reopen()


class LeavesTheBridgeOpen(Recovery):
    """Restricts the exchange only: the bridge pays what the chain has, and the chain is closed."""

    async def close_bridge(self) -> None:
        """What the bridge has read already, it pays."""


class AddsToItsHistory(Projections):
    """Adds what is new to the history that it has shown: what happened, happened."""

    def rebuilt(self, journal: Journal, name: str, before: Row) -> Row:
        """All other projections are made anew."""
        row = super().rebuilt(journal, name, before)
        if name != "history":
            return row
        return {**row, "content": Content({**before["content"].rows, **row["content"].rows})}


class KeepsTheExits(ForkingNode):
    """Holds TP/SL orders in memory since it started, and they survive: nobody cancelled them."""

    def receive(self, message: OnFork) -> tuple[Event, ...]:
        """When the exchange opens again it puts them back."""
        command = message.command
        events = super().receive(message)
        opens = isinstance(command, SetMode) and command.mode is Mode.CANCEL_ONLY
        if opens and self.chain.abandoned:
            head = self.chain.abandoned[-1].blocks[-1].state
            kept = replace(command, id=f"{command.id}-exits")
            self.chain.append(kept, (), with_exits(self.chain.state, head))
        return events


def with_exits(state: State, head: State) -> State:
    """A state whose accounts have the TP/SL orders of another one."""
    accounts = {}
    for name, account in state.accounts.items():
        exits = {order.id: order for order in head.accounts[name].waiting_orders()}
        accounts[name] = replace(account, orders={**account.orders, **exits})
    return replace(state, accounts=accounts)


class TakesWhatIsUnderWay(ForkingChain):
    """Takes whatever the fork that was left still has under way: it was signed, after all."""

    def objection(self, message: OnFork) -> Reason | None:
        """Everything else about a message is asked."""
        return super().objection(replace(message, fork=self.fork))


class ForgetsItsIds(ForkingChain):
    """Knows the ids of the fork that counts, as its state has them."""

    def used_before(self, command_id: str) -> bool:
        """What was rolled back never happened."""
        return False


class OpensWithTheSnapshot(ForkingChain):
    """Takes the mode from the snapshot, too; closing is the operator's next step."""

    def close(self, order: Abandon) -> None:
        """A moment later nobody can act any more."""


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "refund_paid_twice": Bug(
        text="a new incarnation of the operator pays refunds under new names",
        breaks="nobody_is_settled_with_twice",
        incident=(
            "Solana, 1 June 2022: a durable-nonce transaction that had failed could be processed a "
            "second time"
        ),
        family="executed twice on redelivery",
        budget=600,
        scenario=SCENARIO,
        also=("accounts_end_at_their_counterfactual",),
        replaces={Recovery: PaysUnderItsOwnName},
    ),
    "refund_out_of_nothing": Bug(
        text="a new incarnation of the operator credits refunds that the vault does not pay",
        breaks="refunds_equal_the_vaults_outflow",
        incident=(
            "Bithumb, 6 February 2026: 620,000 BTC were credited to 695 accounts; some 40,000 were "
            "there"
        ),
        family="credited without cover",
        budget=200,
        scenario=SCENARIO,
        replaces={Recovery: PaysOutOfNothing},
        since=2,
    ),
    "refund_at_wrong_index": Bug(
        text="a new incarnation of the operator begins its counterfactual at the wrong index",
        breaks="accounts_end_at_their_counterfactual",
        incident=(
            "github.com/michaeljfazio/dugite issue 736: a field was not loaded, and computed again "
            "from a later state; the amounts were wrong at the next epoch"
        ),
        family="recomputed from a later state",
        budget=200,
        scenario=SCENARIO,
        replaces={Recovery: BeginsAtTheEnd},
        since=2,
    ),
    "reopened_before_audit": Bug(
        text="a new incarnation of the operator leaves the audit to the one before",
        breaks="it_opens_after_the_audit",
        incident=(
            "Nasdaq, 18 May 2012: to go on at last, the validation check was removed; the backup "
            "that went on had missed 19 minutes"
        ),
        family="a check left out to go on",
        budget=200,
        scenario=SCENARIO,
        replaces={Recovery: TrustsTheOneBefore},
        since=2,
    ),
    "stuck_in_a_stage": Bug(
        text="a new incarnation of the operator takes a stage of reopening for the last one",
        breaks="the_drill_completes",
        incident=(
            "AWS DynamoDB, 19 October 2025: the automation found a state that it did not expect, "
            "and did not go on until people did it by hand"
        ),
        family="recovery without an end",
        budget=400,
        scenario=SCENARIO,
        replaces={Recovery: TakesAnyStageForTheLast},
        since=2,
    ),
    "withdrawal_forgotten": Bug(
        text="the operator leaves the bridge open while it books what crossed it",
        breaks="what_crossed_the_bridge_is_booked",
        incident=(
            "Flow, 27 December 2025: the proposed rollback would have doubled what had been "
            "bridged out; it was abandoned"
        ),
        family="one of two copies rolled back",
        budget=500,
        scenario=LATECOMERS,
        also=("accounts_end_at_their_counterfactual",),
        replaces={Recovery: LeavesTheBridgeOpen},
    ),
    "projection_left_behind": Bug(
        text="a new incarnation of the projections leaves the history that was rolled back",
        breaks="projections_belong_to_one_height",
        incident=(
            "Paradex, 19 to 26 January 2026: portfolio and vault pages still showed data that had "
            "not been rolled back with the chain"
        ),
        family="one of two copies rolled back",
        budget=200,
        scenario=SCENARIO,
        replaces={Projections: AddsToItsHistory},
        since=2,
    ),
    "exits_outlive_positions": Bug(
        text="a new incarnation of the node keeps TP/SL orders that the rollback undid",
        breaks="exits_fit_their_positions",
        incident=(
            "Paradex, 19 January 2026: all open orders were cancelled except TP/SL, and positions "
            "were rolled back"
        ),
        family="one of two copies rolled back",
        budget=200,
        scenario=SCENARIO,
        replaces={ForkingNode: KeepsTheExits},
        since=2,
    ),
    "in_flight_accepted": Bug(
        text="the chain takes messages that were sent to the fork that it has left",
        breaks="messages_end_with_their_fork",
        incident=(
            "Starknet, 2 September 2025: sequencers saw different states of the layer below, and "
            "two reorganisations followed"
        ),
        family="in flight across a rollback",
        budget=200,
        scenario=LATECOMERS,
        replaces={ForkingChain: TakesWhatIsUnderWay},
    ),
    "client_ids_forgotten": Bug(
        text="the chain forgets the ids of the fork that it has left",
        breaks="an_id_counts_on_one_fork",
        incident=(
            "github.com/deepentropy/ibx pull 361: executions that were sent again after a restart "
            "were booked twice"
        ),
        family="executed twice on redelivery",
        budget=400,
        scenario=LATECOMERS,
        also=("accounts_end_at_their_counterfactual",),
        replaces={ForkingChain: ForgetsItsIds},
    ),
    "open_for_a_moment": Bug(
        text="the rollback brings the mode of the snapshot back, which was open",
        breaks="nothing_happens_before_its_stage",
        incident=(
            "BitMEX, 13 May 2021: stops and liquidations ran while the exchange was still in "
            "maintenance"
        ),
        family="acts during maintenance",
        budget=200,
        scenario=SCENARIO,
        also=("accounts_end_at_their_counterfactual",),
        replaces={ForkingChain: OpensWithTheSnapshot},
    ),
}
