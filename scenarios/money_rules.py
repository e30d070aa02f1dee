"""The money rules of the reference exchange: what must hold whatever is restarted when.

The rules themselves know no exchange (``scenarios/rules``); here they meet the reference one. A
rule that the exchange only promises with a guard (fencing, the mode gate) is in force only when
that guard is on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from harness.invariants import Invariant
from scenarios.exchange import Exchange
from scenarios.rules.catalogue import CATALOGUE, rules_of
from scenarios.view import MARK_BAND, READY_MS_MAX, view_of

#: The rules by their number in the catalogue.
NUMBERS: Mapping[str, Callable[..., Invariant]] = {
    number: rule.make for number, rule in CATALOGUE.items()
}
#: What only holds with a guard.
PROMISED_BY: Mapping[str, str] = {
    number: rule.promised_by for number, rule in CATALOGUE.items() if rule.promised_by
}


def rules_in_force(
    exchange: Exchange,
    *,
    mark_band: Decimal | None = MARK_BAND,
    ready_ms_max: int = READY_MS_MAX,
) -> Iterator[Invariant]:
    """All rules that hold for this exchange with the guards that it has.

    ``mark_band`` is how far a mark may be from the fair price of the other venues, as a fraction;
    None where nobody can say what they quoted at a time that is over. ``ready_ms_max`` is how long
    a service may take to come back where the order is fair, in milliseconds.
    """
    return rules_of(view_of(exchange, mark_band=mark_band, ready_ms_max=ready_ms_max))
