"""How the rules say money."""

from __future__ import annotations

from decimal import Decimal


def usdc(amount: Decimal | int) -> str:
    """An amount as a person reads it."""
    return f"{amount:,.2f} USDC"
