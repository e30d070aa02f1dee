"""How the rules say money, and how they add it up."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact

#: Wide enough that no sum of money is ever rounded; if one were, that is an error.
EXACT = Context(prec=200, traps=[Inexact])


def usdc(amount: Decimal | int) -> str:
    """An amount as a person reads it."""
    return f"{amount:,.2f} USDC"


def plain(value: Decimal) -> str:
    """A number without an exponent, trailing zeros or a minus before nothing."""
    if not value:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    result = Decimal(0)
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result
