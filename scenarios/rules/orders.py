"""Rules about the orders of the cloud: what matching says and what the chain says of the same."""

from __future__ import annotations

from harness.history import Event
from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.whole_services import WholeExchange
from target_stub.cloud.durable_matching import UPDATES
from target_stub.cloud.order_desk import Update, same
from target_stub.core.audit import crossed_books


def matching_agrees_with_chain(exchange: WholeExchange) -> Invariant:
    """Once everything is answered and followed, the cloud's accounts are those of the chain."""

    def check(event: Event) -> object:
        matching, chain = exchange.matching, exchange.chain
        if matching is None or event.lane != matching.life.name or event.kind != "send":
            return NOTHING_TO_JUDGE
        desk = matching.desk
        crossed = crossed_books(desk.state)
        if crossed:
            raise Broken(f"The books of {', '.join(crossed)} are crossed at rest.")
        if matching.followed is None or matching.followed.age != chain.head.age:
            return NOTHING_TO_JUDGE
        if desk.in_flight.trades or desk.state.resyncing:
            return NOTHING_TO_JUDGE
        for name, told in chain.state.accounts.items():
            mine = desk.state.accounts.get(name)
            if not same(told, mine):
                raise Broken(
                    f"{name} has {told.balance_usdc} USDC and {len(told.positions)} positions on "
                    f"the chain; matching believes {mine}.",
                    accounts=(name,),
                )
        return None

    return invariant_of(
        check,
        name="matching_agrees_with_chain",
        describe=(
            "An order is judged by what its owner really has: when nothing is under way, matching "
            "believes of every account what the chain says."
        ),
        on=(f"{exchange.network.name}/{UPDATES}",),
    )


def updates_are_numbered_once(exchange: WholeExchange) -> Invariant:
    """Every update has a number of its own, which no restart gives to another one."""
    numbered: dict[int, Update] = {}

    def check(event: Event) -> object:
        if event.kind != "send" or not isinstance(event.value, tuple):
            return NOTHING_TO_JUDGE
        for update in event.value:
            before = numbered.setdefault(update.seq_no, update)
            if before != update:
                raise Broken(
                    f"{event.lane} gave a number a second time: {update.describe()}.",
                    before=before.describe(),
                    after=update.describe(),
                )
        return None

    return invariant_of(
        check,
        name="updates_are_numbered_once",
        describe=(
            "Who follows the orders trusts their numbers: one that is missing is asked for, one "
            "that was seen is skipped. A number used twice hides a fill."
        ),
        on=(f"{exchange.network.name}/{UPDATES}",),
    )
