"""Rules about trading: at which prices, in which mode, in which order, and what people are told."""

from __future__ import annotations

from harness.history import History
from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.rules.accounts import entry_rule
from scenarios.rules.money import plain
from scenarios.rules.view import ActEntry, Acts, Answers, Books


def nobody_acts_on_an_old_mark(acts: Acts) -> Invariant:
    """I10: no fill, trigger or liquidation at a mark price older than the exchange allows."""

    def check(entry: ActEntry) -> object:
        aged = [act for act in entry.acts if act.age_ms is not None]
        for act in aged:
            if act.age_ms is not None and act.age_ms > acts.age_ms_max:
                raise Broken(
                    f"Block {entry.number} acted on a mark that was {act.age_ms / 1000:g} s old, "
                    f"{acts.age_ms_max / 1000:g} s are allowed: {act.text}"
                )
        return None if aged else NOTHING_TO_JUDGE

    return entry_rule(
        acts.entries,
        "nobody_acts_on_an_old_mark",
        "Nobody is traded against, triggered or liquidated at a price of the past.",
        check,
    )


def mode_gates_fills_and_liquidations(acts: Acts) -> Invariant:
    """I11: outside mode ok nothing is filled, triggered or liquidated on the chain."""

    def check(entry: ActEntry) -> None:
        if not entry.is_open:
            for act in entry.acts:
                raise Broken(f"In mode {entry.mode}: {act.text}")

    return entry_rule(
        acts.entries,
        "mode_gates_fills_and_liquidations",
        "Nobody is traded against or liquidated while he cannot act.",
        check,
    )


def books_are_never_crossed(books: Books) -> Invariant:
    """I18: no bid rests at or above an ask, and an order that may only rest never takes."""

    def check() -> object:
        for text in books.took():
            raise Broken(f"A post-only order took: {text}")
        judged = False
        for market, bid, ask in books.best():
            judged |= bid is not None or ask is not None
            if bid is not None and ask is not None and bid >= ask:
                raise Broken(
                    f"The {market} book is crossed at rest: {plain(bid)} bid, {plain(ask)} asked.",
                    resource=f"books/{market}",
                    before=plain(bid),
                    after=plain(ask),
                    consequence="Who trades next gets a price that the other side did not give.",
                )
        return None if judged else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="books_are_never_crossed",
        describe=(
            "Resting orders get their price: a book that is crossed at rest, or a post-only order "
            "that takes, gives somebody a price and a fee that he excluded."
        ),
        on=books.on,
    )


def answers_are_true(answers: Answers) -> Invariant:
    """I19: what was refused has no effect; what was accepted has one, or is called off aloud."""

    def check(history: History) -> object:
        effects = answers.effects()
        judged = False
        for told in answers.told(history):
            judged = True
            if told.is_refused and told.id in effects:
                raise Broken(
                    f"{told.client} was told that {told.id} is refused ({told.text}), and it took "
                    f"effect in {effects[told.id]}.",
                    resource=f"answers/{told.client}",
                    consequence="He does it again elsewhere, and has it twice.",
                )
            if not told.is_refused and told.id not in effects and not answers.is_withdrawn(told.id):
                raise Broken(
                    f"{told.client} was told that {told.id} is done ({told.text}), and it never "
                    "took effect.",
                    resource=f"answers/{told.client}",
                )
        return None if judged else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="answers_are_true",
        describe=(
            "A client can hedge by what he is told: refused means that nothing happens later, done "
            "means that it happened or that he is told of its end."
        ),
        at_end=True,
    )
