"""The recovery drill: from a fault that was published to an exchange that is open again.

Restrict access, cancel all orders but TP/SL, find the last good snapshot, put the cloud's values
right, roll the chain back, rebuild every projection, book again what happened outside, audit,
compensate from the liquidator vault, reopen in stages. What was decided and how far it has come is
durable; every step may be done twice, so a new incarnation goes on wherever the one before ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from target_stub.cloud.compensation import Payment, Plan, make_plan
from target_stub.cloud.counterfactual import first_wrong, replayed
from target_stub.cloud.feed import TABLE as MARKETS
from target_stub.cloud.payouts import GATE, GATES, OUTSIDE, gate, transfers_outside
from target_stub.cloud.projections import LOCK, PROJECTIONS, oversized
from target_stub.cloud.projections import TABLE as PROJECTED
from target_stub.cloud.retry import retrying
from target_stub.core import (
    LIQUIDATOR_VAULT,
    BridgeDeposit,
    CancelAll,
    Command,
    Event,
    Mode,
    Rejected,
    SetMode,
    State,
    TransferUsdc,
    Usdc,
    assess,
)
from target_stub.core.audit import conservation_gap, positions_by_market
from target_stub.core.commands import AdvanceWithdrawal, RequestWithdrawal
from target_stub.core.transfers import (
    NEXT,
    Direction,
    Transfer,
    TransferStatus,
    disagreements,
)
from target_stub.forks import Abandon, Journal, OnFork, Standing
from target_stub.ports import Database, Life, Network, ObjectStore, Row

TABLE = "recovery"
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
    "audit",
    "compensate",
    "reopen",
    "open_bridge",
)


class AuditFailed(Exception):
    """The exchange must stay closed; the message says why."""


def opening_rows() -> Mapping[str, Row]:
    """The record of a drill that has not begun; rows that exist can be locked."""
    return {
        "progress": {"done": 0},
        **{name: {"value": None} for name in ("fork", "target", "plan")},
    }


class Recovery:
    """One incarnation of the operator who runs the drill.

    ``snapshot_every`` says at which heights the chain keeps snapshots. It begins at a time, and
    waits ``quiet_s`` for what is under way before it looks for the fault.
    """

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
        self.life = life
        self.network = network
        self.database = database
        self.storage = storage
        self.snapshot_every = snapshot_every
        self.begins_at_s = begins_at_s
        self.quiet_s = quiet_s
        self._known: dict[str, Any] = {}

    async def run(self) -> None:
        """Run the drill to its end, then wait until asked to stop."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.drill)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def drill(self) -> None:
        """Do the steps that are not known to be done, one after the other."""
        done = await self.progress()
        for number, step in enumerate(STEPS, 1):
            if number > done:
                await self.perform(number, step)

    async def perform(self, number: int, step: str) -> None:
        """Do a step, and only then note that it is done."""
        await getattr(self, step)()
        await self.note(number)

    # --- the durable record -----------------------------------------------------------------

    async def progress(self) -> int:
        """How many steps are done."""
        rows = await self.rows(TABLE)
        done: int = rows["progress"]["done"]
        return done

    async def note(self, number: int) -> None:
        """Remember that a step is done; a note that comes late takes nothing back."""
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    row = await transaction.get_for_update(TABLE, "progress")
                    if row is not None and row["done"] < number:
                        await transaction.put(TABLE, "progress", {"done": number})

    async def decided(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """A decision of this drill: made once, and the same for every incarnation after that."""
        if name not in self._known:
            found = (await self.rows(TABLE))[name]["value"]
            self._known[name] = await self.decide(name, make) if found is None else found
        return self._known[name]

    async def decide(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Make a decision, unless somebody was faster."""
        made = value = await make()
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    row = await transaction.get_for_update(TABLE, name)
                    value = row["value"] if row else None
                    if value is None:
                        value = made
                        await transaction.put(TABLE, name, {"value": made})
        return value

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
        """Leave the fork, unless that is done, and make sure that the next one is closed."""
        fork, height = await self.fork(), await self.target()
        closed = Mode.MAINTENANCE
        order = Abandon(fork=fork, height=height, mode=closed, at_ms=now_ms())
        await self.ask("chain", "abandon", order)
        name = f"recovery-{fork}-closed"
        await self.submit(SetMode(id=name, at_ms=now_ms(), mode=closed))
        await self.submit(CancelAll(id=f"{name}-cancel", at_ms=now_ms(), except_tpsl=True))

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

    async def ask(self, address: str, method: str, payload: object) -> Any:
        """Ask a service until it answers."""
        async for attempt in retrying():
            with attempt:
                answer = await self.network.call(address, method, payload)
        return answer

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

    async def rows(self, table: str) -> Mapping[str, Row]:
        """All rows of a table."""
        async for attempt in retrying():
            with attempt:
                rows = await self.database.scan(table)
        return rows

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


def restored(transfer: Transfer) -> Command:
    """The command that books a transfer of the outside again, under the name it has there."""
    if transfer.direction is Direction.DEPOSIT:
        return BridgeDeposit(
            id=f"restore-{transfer.id}",
            at_ms=now_ms(),
            account=transfer.account,
            amount=transfer.amount,
            transaction=transfer.id,
        )
    return RequestWithdrawal(
        id=transfer.id, at_ms=now_ms(), account=transfer.account, amount=transfer.amount
    )


def transfer_of(plan: Plan, payment: Payment) -> TransferUsdc:
    """The command of a payment; the same payment is the same command."""
    amount = payment.amount_usdc
    sides = (LIQUIDATOR_VAULT, payment.account)
    source, target = sides if amount > 0 else sides[::-1]
    return TransferUsdc(
        id=payment_id(plan, payment.account),
        at_ms=now_ms(),
        account=source,
        to=target,
        amount=Usdc(abs(amount)),
    )


def payment_id(plan: Plan, account: str) -> str:
    """What a payment is called, whoever makes it."""
    return f"recovery-{plan.fork}-settle-{account}"


def problems(state: State, rows: Mapping[str, Row], plan: Plan) -> list[str]:
    """Why the exchange may not go on, if anything speaks against it."""
    prices, usdc_price = state.known_prices(), state.known_usdc_price()
    vault = assess(state.accounts[LIQUIDATOR_VAULT], prices, usdc_price, state.rules)
    outflow = plan.rollback.refunded_usdc - plan.rollback.reclaimed_usdc
    stands = {(row["fork"], row["height"] >= plan.height) for n, row in rows.items() if n != LOCK}
    return [
        why
        for holds, why in (
            (conservation_gap(state).value != 0, "cash does not add up"),
            (any(positions_by_market(state).values()), "positions do not sum to zero"),
            (stands != {(plan.fork + 1, True)}, f"projections stand at {sorted(stands)}"),
            (oversized(rows), "a TP/SL order is larger than its position"),
            (outflow > vault.withdrawable.value, f"the vault cannot pay {outflow} USDC"),
        )
        if holds
    ]


def now_ms() -> int:
    """Virtual or real milliseconds."""
    return round(trio.current_time() * 1000)
