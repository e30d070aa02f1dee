"""The recovery drill: from a fault that was published to an exchange that is open again.

Restrict access, cancel all orders but TP/SL, find the last good snapshot, put the cloud's values
right, roll the chain back, rebuild every projection, book again what happened outside, audit,
compensate from the liquidator vault, reopen in stages: what Paradex did on 19 January 2026.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from target_stub.cloud.compensation import Payment, Plan, make_plan
from target_stub.cloud.counterfactual import first_wrong, replayed
from target_stub.cloud.feed import TABLE as MARKETS
from target_stub.cloud.payouts import GATE, GATES, OUTSIDE, gate, transfers_outside
from target_stub.cloud.projections import PROJECTIONS
from target_stub.cloud.projections import TABLE as PROJECTED
from target_stub.cloud.recovery_audit import AuditFailed, problems
from target_stub.cloud.recovery_commands import now_ms, restored, transfer_of
from target_stub.cloud.retry import retrying
from target_stub.cloud.runbook import Runbook
from target_stub.core import CancelAll, Command, Event, Mode, Rejected, SetMode
from target_stub.core.commands import AdvanceWithdrawal
from target_stub.core.transfers import (
    NEXT,
    Direction,
    Transfer,
    TransferStatus,
    disagreements,
)
from target_stub.forks import Abandon, Journal, OnFork, Standing
from target_stub.ports import Database, Life, Network, ObjectStore, Row

#: The object in cloud storage that says what an audit found.
AUDIT = "recovery/audit"
#: How a withdrawal goes on until it is complete.
_WAY = (TransferStatus.AVAILABLE, TransferStatus.COMPLETED)

#: The drill, step by step: each is a method of :class:`Recovery`.
STEPS = (
    "begin",
    "restrict",
    "close_bridge",
    "cancel_orders",
    "find_snapshot",
    "repair_values",
    "roll_back",
    "rebuild",
    "restore_transfers",
    "keep_closed",
    "audit",
    "compensate",
    "reopen",
    "open_bridge",
)


#: What a drill decides once.
DECISIONS = ("fork", "target", "plan")


class Recovery(Runbook):
    """One incarnation of the operator who runs the drill.

    ``snapshot_every`` says at which heights the chain keeps snapshots. It begins at a time, and
    waits ``quiet_s`` for what is under way before it looks for the fault.
    """

    steps = STEPS

    def __init__(
        self,
        life: Life,
        *,
        network: Network,
        database: Database,
        storage: ObjectStore,
        snapshot_every: int,
        begins_at_s: float,
        quiet_s: float,
    ) -> None:
        super().__init__(life, network=network, database=database)
        self.storage = storage
        self.snapshot_every = snapshot_every
        self.begins_at_s = begins_at_s
        self.quiet_s = quiet_s

    # --- the steps --------------------------------------------------------------------------

    async def begin(self) -> None:
        """Decide which fork is to be left."""
        await trio.sleep_until(self.begins_at_s)
        await self.fork()

    async def restrict(self) -> None:
        """Let nobody act but the operator and the system."""
        fork = await self.fork()
        await self.order(
            SetMode(id=f"recovery-{fork}-restrict", at_ms=now_ms(), mode=Mode.MAINTENANCE)
        )

    async def close_bridge(self) -> None:
        """Stop payments to the outside, for good: whatever is paid was paid before this returns."""
        await self.set_gate(gate(opened=False, fork=await self.fork()))

    async def cancel_orders(self) -> None:
        """Cancel all orders but TP/SL, and wait for what is still under way."""
        fork = await self.fork()
        await self.order(CancelAll(id=f"recovery-{fork}-cancel", at_ms=now_ms(), except_tpsl=True))
        await trio.sleep(self.quiet_s)

    async def find_snapshot(self) -> None:
        """Decide to which height the chain returns."""
        await self.target()

    async def repair_values(self) -> None:
        """Put the cloud's own rows right before any new fork could be told a wrong value."""
        journal, height = await self.journal(), await self.target()
        if journal.fork != await self.fork():
            return
        inputs = [block.command for block in journal.blocks[height:]]
        clean, _ = replayed(journal.state_at(height), inputs)
        rows = {
            symbol: {
                "funding_index": market.known("funding_index"),
                "premium_usdc": market.known("premium_usdc"),
            }
            for symbol, market in clean.markets.items()
        }
        async for attempt in retrying():
            with attempt:
                await self.database.put_all(MARKETS, rows)

    async def roll_back(self) -> None:
        """Leave the fork, unless that is done; the next one begins closed."""
        fork, height = await self.fork(), await self.target()
        order = Abandon(fork=fork, height=height, mode=Mode.MAINTENANCE, at_ms=now_ms())
        await self.ask("chain", "abandon", order)

    async def rebuild(self) -> None:
        """Bring every projection to the new fork."""
        for name in PROJECTIONS:
            await self.ask("projections", "rebuild", name)

    async def restore_transfers(self) -> None:
        """Book again what the outside completed and the new fork does not know.

        A withdrawal may be refused for lack of margin: then it is settled with the account as far
        as possible, and the plan says what is kept.
        """
        outside = transfers_outside(await self.rows(OUTSIDE))
        state = (await self.standing()).state
        unknown = {each.id for each in disagreements(state.transfers, outside)}
        for transfer in outside:
            if transfer.id in unknown:
                await self.submit(restored(transfer))
            if transfer.direction is Direction.WITHDRAWAL:
                await self.complete(transfer)

    async def keep_closed(self) -> None:
        """Make sure before anybody is paid that nobody but the operator can act."""
        name = f"recovery-{await self.fork()}-closed"
        await self.submit(SetMode(id=name, at_ms=now_ms(), mode=Mode.MAINTENANCE))
        await self.submit(CancelAll(id=f"{name}-cancel", at_ms=now_ms(), except_tpsl=True))

    async def audit(self) -> None:
        """Look at everything once more, and decide who is paid what; or stay closed."""
        plan = await self.plan()
        state = (await self.standing()).state
        rows = await self.rows(PROJECTED)
        findings = problems(state, rows, plan)
        if findings:
            raise AuditFailed("; ".join(findings))
        async for attempt in retrying():
            with attempt:
                await self.storage.put(AUDIT, plan)

    async def compensate(self) -> None:
        """Settle with everybody; a payment that was made is not made again."""
        plan = await self.plan()
        for payment in plan.rollback.payments:
            await self.pay(plan, payment)

    async def pay(self, plan: Plan, payment: Payment) -> None:
        """One payment between the vault and an account; its id is that of what is owed."""
        await self.submit(transfer_of(plan, payment))

    async def reopen(self) -> None:
        """Cancel-only, post-only, open: each stage as long as the rules of the exchange ask for."""
        fork = await self.fork()
        for mode in (Mode.CANCEL_ONLY, Mode.POST_ONLY, Mode.OK):
            state = (await self.standing()).state
            rules = state.spec.reopening
            waits = {Mode.POST_ONLY: "cancel_only_ms", Mode.OK: "post_only_ms"}
            if rules is not None and mode in waits and state.mode_since_ms is not None:
                until_ms = state.mode_since_ms + getattr(rules, waits[mode])
                await trio.sleep_until(until_ms / 1000)
            events = await self.submit(
                SetMode(id=f"recovery-{fork}-{mode.value}", at_ms=now_ms(), mode=mode)
            )
            refused = [event for event in events if isinstance(event, Rejected)]
            if refused:
                raise AuditFailed(refused[0].describe())

    async def open_bridge(self) -> None:
        """Let money cross again."""
        await self.set_gate(gate(opened=True, fork=await self.fork() + 1))

    # --- decisions --------------------------------------------------------------------------

    async def fork(self) -> int:
        """The fork that this drill leaves."""

        async def make() -> int:
            return (await self.standing()).fork

        fork: int = await self.decided("fork", make)
        return fork

    async def target(self) -> int:
        """The height of the last snapshot before the first wrong value."""

        async def make() -> int:
            journal = await self.journal()
            wrong = first_wrong(journal.genesis, journal.blocks)
            if wrong is None:
                raise AuditFailed("no published value is wrong; there is nothing to roll back")
            return (wrong.height - 1) // self.snapshot_every * self.snapshot_every

        height: int = await self.decided("target", make)
        return height

    async def plan(self) -> Plan:
        """Who is paid what; decided before the first payment and never again."""

        async def make() -> Plan:
            journal, fork = await self.journal(), await self.fork()
            (branch,) = (each for each in journal.abandoned if each.fork == fork)
            return make_plan(
                branch,
                snapshot=journal.state_at(branch.height),
                now=journal.state_at(len(journal.blocks)),
                outside=transfers_outside(await self.rows(OUTSIDE)),
            )

        plan: Plan = await self.decided("plan", make)
        return plan

    # --- talking to the others --------------------------------------------------------------

    async def standing(self) -> Standing:
        """Where the chain stands."""
        standing: Standing = await self.ask("chain", "standing", None)
        return standing

    async def journal(self) -> Journal:
        """Everything the chain was told."""
        journal: Journal = await self.ask("chain", "journal", None)
        return journal

    async def order(self, command: Command) -> Sequence[Event]:
        """Send a command to the fork that is to be left; the new one refuses it."""
        return await self.send(command, await self.fork())

    async def submit(self, command: Command) -> Sequence[Event]:
        """Send a command to the fork after it."""
        return await self.send(command, await self.fork() + 1)

    async def send(self, command: Command, fork: int) -> Sequence[Event]:
        """Send a command to one fork, with the rights of the operator."""
        message = OnFork(fork=fork, command=command, operator=True)
        events: Sequence[Event] = await self.ask("chain", "submit", message)
        return events

    async def set_gate(self, row: Row) -> None:
        """Open or close the bridge."""
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    await transaction.get_for_update(GATES, GATE)
                    await transaction.put(GATES, GATE, row)

    async def complete(self, transfer: Transfer) -> None:
        """Take a withdrawal that was paid to its end, if the chain knows it."""
        for status in _WAY:
            known = (await self.standing()).state.transfers.get(transfer.id)
            if known is not None and status in NEXT[known.status]:
                await self.submit(
                    AdvanceWithdrawal(
                        id=f"restore-{transfer.id}-{status.value.lower()}",
                        at_ms=now_ms(),
                        transfer=transfer.id,
                        status=status,
                    )
                )
