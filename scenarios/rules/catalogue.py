"""The catalogue of the rules: what each asks of an exchange, what promises it, when it is off.

``rules_of(view)`` makes the rules for one run; what is not in force is said by ``standing(view)``,
and ``require(view, ...)`` refuses to begin without the rules that somebody counts on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.errors import UsageError, closest
from harness.invariants import Invariant
from scenarios.rules import accounts, copies, markets, services, trading
from scenarios.rules.view import PARTS, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the catalogue.

    ``make`` makes its invariant from the parts of a view that it ``asks`` for, in that order.
    ``promised_by`` is the guard without which the exchange promises no such thing; ``off`` says
    when it may be switched off; ``incident`` is what happened where nobody kept it.
    """

    make: Callable[..., Invariant]
    asks: tuple[str, ...]
    off: str
    incident: str
    promised_by: str = ""

    @property
    def name(self) -> str:
        """As findings show it."""
        return self.make.__name__

    def missing(self, view: View) -> tuple[str, ...]:
        """The parts that it asks for and the view does not have."""
        return tuple(part for part in self.asks if getattr(view, part) is None)

    def invariant(self, view: View) -> Invariant:
        """The rule for one run of the exchange behind a view."""
        return self.make(*(getattr(view, part) for part in self.asks))


CATALOGUE: Mapping[str, Rule] = {
    "I1": Rule(
        make=markets.funding_index_step_is_bounded,
        asks=("values",),
        off="Never where positions pay funding. A cap that is raised is raised in the view first.",
        incident="Paradex, 19 January 2026: indices of some markets became 0 in one tick.",
    ),
    "I2": Rule(
        make=markets.nothing_reverts_to_a_default,
        asks=("values",),
        off="For a field that may be 0: leave it out of `never_zero`, as a premium of June 2026.",
        incident="Nomad, 1 August 2022: a trusted root was set to 0x00, and 0 meant proven.",
    ),
    "I3": Rule(
        make=services.recovered_state_is_durable_state,
        asks=("saved",),
        off="For what a service declares volatile: leave it out of `recovered`.",
        incident="qubic/core pull 421: counters were reset after the snapshot was loaded.",
    ),
    "I4": Rule(
        make=services.published_is_committed,
        asks=("saved",),
        off="Where what is published is not kept by anybody else.",
        incident="Starknet, 2 September 2025: sequencers had seen different states of L1.",
    ),
    "I5": Rule(
        make=services.older_incarnation_never_overwrites,
        asks=("writers",),
        off="Where two may write at once by design, and their writes commute.",
        incident="AWS DynamoDB, 19 October 2025: a delayed worker applied an old plan.",
        promised_by="epoch_fence",
    ),
    "I6": Rule(
        make=accounts.positions_sum_to_zero,
        asks=("ledger",),
        off="Never for a perpetual. A spot market has no such sum.",
        incident="Starknet, 5 January 2026: one write of a call that was reverted stayed.",
    ),
    "I7": Rule(
        make=accounts.cash_is_conserved,
        asks=("ledger",),
        off="Never.",
        incident="Bithumb, 6 February 2026: 620,000 BTC credited, forty thousand of them held.",
    ),
    "I8": Rule(
        make=accounts.liquidations_are_justified,
        asks=("liquidations",),
        off="Never. Without an independent recomputation it is not in force.",
        incident="dYdX, 10 October 2025: accounts liquidated at prices of before a halt.",
    ),
    "I9": Rule(
        make=accounts.effects_happen_once,
        asks=("ledger", "payers"),
        off="Never.",
        incident="Solana, 1 June 2022: a failed durable-nonce transaction could run twice.",
    ),
    "I10": Rule(
        make=trading.nobody_acts_on_an_old_mark,
        asks=("acts",),
        off="For closing a market at a last price that everybody was told of before.",
        incident="Venus, 12 May 2022: a feed stood still at its floor and was still believed.",
        promised_by="freshness",
    ),
    "I11": Rule(
        make=trading.mode_gates_fills_and_liquidations,
        asks=("acts",),
        off="Where people can act in every mode in which they are acted upon.",
        incident="BitMEX, 13 May 2021: stops and liquidations ran while still in maintenance.",
        promised_by="mode_gate",
    ),
    "I12": Rule(
        make=markets.marks_are_near_an_outside_price,
        asks=("values", "reference"),
        off="For a market that nobody else quotes: it has no reference.",
        incident="Deribit, 31 October 2019: an outlier of one venue moved an index by 16 %.",
    ),
    "I13": Rule(
        make=services.nobody_writes_before_it_is_ready,
        asks=("writers",),
        off="While a new exchange is filled for the first time.",
        incident="Base, 5 August 2025: a sequencer still being provisioned was made leader.",
    ),
    "I14": Rule(
        make=markets.market_time_never_runs_back,
        asks=("values",),
        off="For values whose order nobody relies on: say so with `is_ordered`.",
        incident="Eurex, 26 August 2013: clocks jumped back by some 36 s.",
        promised_by="epoch_fence",
    ),
    "I15": Rule(
        make=copies.copies_agree,
        asks=("copies",),
        off="Where there is one node and nobody replays its log.",
        incident="Solana, 1 June 2022: nodes disagreed whether a transaction had failed.",
    ),
    "I16": Rule(
        make=accounts.pools_pay_what_they_have,
        asks=("pools",),
        off="For a pool that may overdraw: give it its credit as opening balance.",
        incident="dYdX, 10 October 2025: collateral moved before the insurance fund had paid.",
    ),
    "I17": Rule(
        make=copies.rollback_is_complete,
        asks=("projections",),
        off="Where nothing is ever rolled back.",
        incident="Paradex, 26 January 2026: portfolio pages still told of what was rolled back.",
    ),
    "I18": Rule(
        make=trading.books_are_never_crossed,
        asks=("books",),
        off="During a call auction, whose book may cross until it is uncrossed.",
        incident="NYSE, 24 January 2023: continuous trading without an opening auction.",
    ),
    "I19": Rule(
        make=trading.answers_are_true,
        asks=("answers",),
        off="Never; an answer that promises nothing is not to be told as one.",
        incident="Hyperliquid, 29 July 2025: errors for orders that were executed.",
    ),
    "I20": Rule(
        make=services.recovery_completes,
        asks=("recovery",),
        off="While an operator holds a service back on purpose.",
        incident="Nasdaq, 18 May 2012: each cancel made the opening cross begin anew.",
    ),
    "I21": Rule(
        make=services.everybody_works_by_one_set_of_parameters,
        asks=("parameters",),
        off="For a parameter that may differ while a rollout lasts: leave it out of the view.",
        incident="Knight Capital, 1 August 2012: new code on seven of eight servers.",
    ),
    "I22": Rule(
        make=accounts.fund_flows_balance,
        asks=("funds",),
        off="Never where there is a fund.",
        incident="BitMEX, 2 April 2019: the insurance fund was not where it was needed.",
    ),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a rule is in force for an exchange, and if not, why not."""

    number: str
    name: str
    why_not: str = ""

    @property
    def is_in_force(self) -> bool:
        """Whether it judges."""
        return not self.why_not

    def __str__(self) -> str:
        return f"{self.number} {self.name}: {self.why_not or 'in force'}"


def standing(view: View) -> tuple[Standing, ...]:
    """Every rule of the catalogue, in force or not; one that is not says what it lacks."""
    found = []
    for number, rule in CATALOGUE.items():
        missing = rule.missing(view)
        why_not = ""
        if missing:
            why_not = f"not in force, the view does not show {', '.join(missing)}"
        elif rule.promised_by and rule.promised_by not in view.promises:
            why_not = f"not in force, nothing promises it without {rule.promised_by}"
        found.append(Standing(number, rule.name, why_not))
    return tuple(found)


def rules_of(view: View) -> Iterator[Invariant]:
    """The invariants of all rules that are in force."""
    if not any(getattr(view, part) is not None for part in PARTS):
        raise UsageError(f"this view shows nothing; give it one of: {', '.join(PARTS)}")
    for each in standing(view):
        if each.is_in_force:
            yield CATALOGUE[each.number].invariant(view)


def require(view: View, *numbers: str) -> None:
    """Raise :class:`UsageError` unless these rules are in force; it names what is missing."""
    known = {each.number: each for each in standing(view)}
    for number in numbers:
        if number not in known:
            raise closest(number, known, kind="rule")
        if not known[number].is_in_force:
            raise UsageError(str(known[number]))
