"""Rules about accounts and positions: what the chain did to the people, block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.exchange import Exchange
from scenarios.rules.money import usdc
from target_stub.chain import Block
from target_stub.cloud.trader import Payment, Trader
from target_stub.core import Account, Duplicate, Filled, FillType, Liquidated, Mode, State
from target_stub.core.events import Deposited, Triggered
from target_stub.core.money import exact


def _block_rule(
    exchange: Exchange, name: str, describe: str, check_block: Callable[[State, Block], None]
) -> Invariant:
    """A rule over every block of the chain, checked when the run is over."""

    def check() -> object:
        if not exchange.chain.blocks:
            return NOTHING_TO_JUDGE
        before = exchange.chain.genesis
        for block in exchange.chain.blocks:
            check_block(before, block)
            before = block.state
        return None

    return invariant_of(check, name=name, describe=describe, at_end=True)


def positions_sum_to_zero(exchange: Exchange) -> Invariant:
    """I6: every long has a short."""

    def check(before: State, block: Block) -> None:
        moved = dict.fromkeys(before.markets, Decimal(0))
        for old, new in changed_accounts(before, block.state):
            for sign, account in ((-1, old), (1, new)):
                for market, position in account.positions.items() if account else ():
                    moved[market] += sign * position.size
        for market, total in moved.items():
            if total:
                raise Broken(f"Block {block.height} made {total} of {market} out of nothing.")

    return _block_rule(
        exchange,
        "positions_sum_to_zero",
        "Every long has a short; otherwise somebody's profit is owed by nobody.",
        check,
    )


def cash_is_conserved(exchange: Exchange) -> Invariant:
    """I7: no block mints or burns USDC."""

    @exact
    def total(state: State, accounts: list[Account]) -> Decimal:
        cash = state.fees_usdc + state.remainder_usdc - state.net_deposits_usdc
        for account in accounts:
            cash += account.balance_usdc
            for position in account.positions.values():
                cash += position.size * position.cached_funding_index - position.cost_usdc
        return cash

    def check(before: State, block: Block) -> None:
        pairs = changed_accounts(before, block.state)
        gap = total(block.state, [new for _, new in pairs]) - total(
            before, [old for old, _ in pairs if old]
        )
        if gap:
            raise Broken(f"Block {block.height} changed the sum of all cash by {usdc(gap)}.")

    return _block_rule(
        exchange,
        "cash_is_conserved",
        "Balances, fees and the vault add up to what was paid in; nothing is minted.",
        check,
    )


def changed_accounts(before: State, after: State) -> list[tuple[Account | None, Account]]:
    """The accounts that differ between two states, old and new; shared ones cost nothing."""
    if before.accounts is after.accounts:
        return []
    return [
        (before.accounts.get(name), account)
        for name, account in after.accounts.items()
        if before.accounts.get(name) is not account
    ]


def liquidations_are_justified(exchange: Exchange) -> Invariant:
    """I8: the shadow, with clean values, would have liquidated the same account."""

    def check() -> object:
        if not exchange.liquidated:
            return NOTHING_TO_JUDGE
        wronged = exchange.wronged
        if not wronged:
            return None
        losses: dict[str, Decimal] = {}
        for each in wronged:
            losses[each.account] = losses.get(each.account, Decimal(0)) + each.loss_usdc
        total = sum(losses.values(), Decimal(0))
        worst = max(losses, key=lambda account: losses[account])
        raise Broken(
            f"{len(losses)} accounts were liquidated that were not below their maintenance margin; "
            f"{usdc(total)} were taken from them.",
            consequence=f"Worst: {worst} lost {usdc(losses[worst])}.",
            accounts=tuple(sorted(losses)),
            loss_usdc=f"{total:.2f}",
            resource="chain/liquidations",
            lane="risk",
            operation="liquidate",
            step=wronged[0].step,
            at_ms=wronged[0].at_ms,
        )

    return invariant_of(
        check,
        name="liquidations_are_justified",
        describe=(
            "An account is liquidated only if it is below its maintenance margin at clean prices "
            "and indices, recomputed independently."
        ),
        at_end=True,
    )


def effects_happen_once(exchange: Exchange) -> Invariant:
    """I9: a command has one effect at most, and a payment that was ordered counts once.

    An id says nothing of a sender that makes a new one when it tries again, so payments are
    counted by what their payers meant: so much, into that account.
    """

    def check() -> object:
        done: dict[str, int] = {}
        credited: Counter[Payment] = Counter()
        for block in exchange.chain.blocks:
            if any(isinstance(event, Duplicate) for event in block.events):
                continue
            key = block.command.id
            if key in done:
                raise Broken(f"{key} took effect in blocks {done[key]} and {block.height}.")
            done[key] = block.height
            for event in block.events:
                if isinstance(event, Deposited):
                    credited[Payment(event.account, event.amount)] += 1
        check_payments(exchange.traders, credited)
        return None if done else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="effects_happen_once",
        describe="A deposit or a trade that is sent again after a lost answer counts once.",
        at_end=True,
    )


def check_payments(traders: Iterable[Trader], credited: Mapping[Payment, int]) -> None:
    """Every payment of these payers was credited once if acknowledged, and never twice."""
    for trader in traders:
        ordered, acknowledged = Counter(trader.ordered), Counter(trader.acknowledged)
        for payment, wanted in ordered.items():
            count = credited.get(payment, 0)
            if not acknowledged[payment] <= count <= wanted:
                raise Broken(
                    f"{payment.account} was credited {payment.amount} {count} times; it was "
                    f"ordered {wanted} times and acknowledged {acknowledged[payment]} times.",
                    accounts=(payment.account,),
                )


def mode_gates_fills_and_liquidations(exchange: Exchange) -> Invariant:
    """I11: outside mode ok nothing is filled, triggered or liquidated on the chain."""

    def check(before: State, block: Block) -> None:
        if before.mode is Mode.OK:
            return
        for event in block.events:
            fill = isinstance(event, Filled) and event.fill_type is FillType.FILL
            if fill or isinstance(event, Liquidated | Triggered):
                raise Broken(f"In mode {before.mode}: {event.describe()}")

    return _block_rule(
        exchange,
        "mode_gates_fills_and_liquidations",
        "Nobody is traded against or liquidated while he cannot act.",
        check,
    )
