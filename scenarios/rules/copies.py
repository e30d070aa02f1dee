"""Rules about copies: another node of the same software, and everything derived from the books."""

from __future__ import annotations

from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.rules.view import Copies, Projections


def copies_agree(copies: Copies) -> Invariant:
    """I15: a second node that is fed the log of the first says the same after every entry.

    It runs the same software: what this rule sees is whatever depends on anything but the log.
    """

    def check() -> object:
        judged = False
        for each in copies.compare():
            judged = True
            if each.ours != each.theirs:
                raise Broken(
                    f"A second node that is fed the same blocks differs after block {each.number}: "
                    f"{each.ours} here, {each.theirs} there.",
                    resource="chain/blocks",
                    before=each.ours,
                    after=each.theirs,
                )
        return None if judged else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="copies_agree",
        describe=(
            "What an account owns follows from the log alone: nodes that disagree stop the chain, "
            "or pay twice."
        ),
        at_end=True,
    )


def rollback_is_complete(projections: Projections) -> Invariant:
    """I17: after a rollback everything that is derived from the books belongs to their height."""

    def check() -> object:
        for text in projections.strays():
            raise Broken(f"What was sent before the rollback took effect after it: {text}")
        height = projections.height()
        if height is None:
            return NOTHING_TO_JUDGE
        for name, theirs in projections.heights().items():
            if theirs != height:
                raise Broken(
                    f"The books are at height {height}, {name} at {theirs}.",
                    resource=f"projections/{name}",
                    before=theirs,
                    after=height,
                )
        for order in projections.exits():
            if abs(order.size) > abs(order.position) or order.size * order.position > 0:
                raise Broken(
                    f"{order.account} has {order.order}, which would close {abs(order.size)}, and "
                    f"a position of {order.position}.",
                    accounts=(order.account,),
                )
        return None

    return invariant_of(
        check,
        name="rollback_is_complete",
        describe=(
            "A rollback takes everything back or nothing: orders, positions, triggers, vault "
            "shares, transfers and history tell of one and the same moment."
        ),
        on=projections.on,
    )
