"""Exact decimal arithmetic and the two currencies of the exchange.

Everything the core multiplies or adds is exact: the context ``EXACT`` raises on the first digit
that would be lost, so rounding only happens in functions whose names say where they round to.
The ambient decimal context is never used, because it is a context variable that any caller may
have changed. USD (prices, margins) and USDC (balances, costs, fees) are different types and are
converted only through an explicit USDC price; they must never be added to one another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)
from functools import lru_cache, wraps
from typing import ParamSpec, Self, TypeVar

PRECISION_DIGITS = 96
"""Enough for size x price x fraction x fraction, each below 10**12 with at most 18 decimals."""

EXACT = Context(
    prec=PRECISION_DIGITS,
    rounding=ROUND_HALF_EVEN,
    traps=[Inexact, InvalidOperation, DivisionByZero, Overflow, FloatOperation],
)
_ROUNDING = Context(
    prec=PRECISION_DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation]
)

MONEY_DECIMALS = 8
"""Decimals of every settled amount: ``paraclear_decimals`` of the Paradex API, January 2026."""
RATE_DECIMALS = 18
"""Decimals of rates and averages; with 8, a slow average would stop moving."""
MONEY_UNIT = Decimal(1).scaleb(-MONEY_DECIMALS)
RATE_UNIT = Decimal(1).scaleb(-RATE_DECIMALS)

ZERO = Decimal(0)
ONE = Decimal(1)

P = ParamSpec("P")
R = TypeVar("R")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function under ``EXACT``, so that ordinary operators raise instead of rounding.

    Not for generators and coroutines: their bodies would run under the context of their consumer.
    """

    @wraps(function)
    def under_exact(*args: P.args, **kwargs: P.kwargs) -> R:
        ambient = getcontext()
        if ambient is EXACT:
            return function(*args, **kwargs)
        setcontext(EXACT)
        try:
            return function(*args, **kwargs)
        finally:
            setcontext(ambient)

    return under_exact


def round_down8(value: Decimal) -> Decimal:
    """Towards minus infinity: what an account is credited; the protocol keeps the rest."""
    return value.quantize(MONEY_UNIT, ROUND_FLOOR, _ROUNDING)


def round_up8(value: Decimal) -> Decimal:
    """Towards plus infinity: what an account is charged."""
    return value.quantize(MONEY_UNIT, ROUND_CEILING, _ROUNDING)


def round_half_even8(value: Decimal) -> Decimal:
    """To the nearest 8th decimal: values that are nobody's gain, such as an index or a price."""
    return value.quantize(MONEY_UNIT, ROUND_HALF_EVEN, _ROUNDING)


def round_half_even(value: Decimal, decimals: int) -> Decimal:
    """To the nearest multiple of 10**-decimals."""
    return value.quantize(_unit(decimals), ROUND_HALF_EVEN, _ROUNDING)


def divide_down8(dividend: Decimal, divisor: Decimal) -> Decimal:
    """The quotient towards minus infinity at 8 decimals; raises on a divisor of zero."""
    return _divide(dividend, divisor, MONEY_DECIMALS, ROUND_FLOOR)


def divide_up8(dividend: Decimal, divisor: Decimal) -> Decimal:
    """The quotient towards plus infinity at 8 decimals; raises on a divisor of zero."""
    return _divide(dividend, divisor, MONEY_DECIMALS, ROUND_CEILING)


def divide_up(dividend: Decimal, divisor: Decimal, decimals: int) -> Decimal:
    """The quotient towards plus infinity at the given number of decimals."""
    return _divide(dividend, divisor, decimals, ROUND_CEILING)


def divide_half_even8(dividend: Decimal, divisor: Decimal) -> Decimal:
    """The nearest quotient at 8 decimals; raises on a divisor of zero."""
    return _divide(dividend, divisor, MONEY_DECIMALS, ROUND_HALF_EVEN)


def divide_half_even(dividend: Decimal, divisor: Decimal, decimals: int) -> Decimal:
    """The nearest quotient at the given number of decimals; raises on a divisor of zero."""
    return _divide(dividend, divisor, decimals, ROUND_HALF_EVEN)


def down_to_multiple(value: Decimal, increment: Decimal) -> Decimal:
    """The largest multiple of ``increment`` that is not above ``value`` (``value`` >= 0)."""
    return EXACT.multiply(EXACT.divide_int(value, increment), increment)


def up_to_multiple(value: Decimal, increment: Decimal) -> Decimal:
    """The smallest multiple of ``increment`` that is not below ``value`` (``value`` >= 0)."""
    lower = down_to_multiple(value, increment)
    return lower if lower == value else EXACT.add(lower, increment)


def is_multiple(value: Decimal, increment: Decimal) -> bool:
    """Whether ``value`` is a whole number of increments."""
    return not EXACT.remainder(value, increment)


@lru_cache(maxsize=64)
def _unit(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals, EXACT)


def _divide(dividend: Decimal, divisor: Decimal, decimals: int, rounding: str) -> Decimal:
    # Divide as integers and decide by the remainder: a quotient that is first cut to a precision
    # and then quantised can be rounded twice, in two directions.
    if divisor < 0:
        dividend, divisor = dividend.copy_negate(), divisor.copy_negate()
    whole, remainder = EXACT.divmod(dividend.scaleb(decimals, EXACT), divisor)
    if remainder < 0:
        whole, remainder = EXACT.subtract(whole, ONE), EXACT.add(remainder, divisor)
    if remainder:
        twice = EXACT.compare(EXACT.add(remainder, remainder), divisor)
        odd = bool(EXACT.remainder(whole, Decimal(2)))
        nearest_is_above = twice > 0 or (twice == 0 and odd)
        if rounding == ROUND_CEILING or (rounding == ROUND_HALF_EVEN and nearest_is_above):
            whole = EXACT.add(whole, ONE)
    return whole.scaleb(-decimals, EXACT)


@dataclass(frozen=True, slots=True)
class _Amount:
    value: Decimal

    def __post_init__(self) -> None:
        if type(self.value) is not Decimal or not self.value.is_finite():
            raise TypeError(f"{type(self).__name__} needs a finite Decimal, not {self.value!r}")

    @classmethod
    def of(cls, text: str | int) -> Self:
        """An amount from its written form; never from a float."""
        if isinstance(text, float):
            raise TypeError(f"{cls.__name__} from a float would invent digits: {text!r}")
        return cls(Decimal(text))

    def _same(self, other: Self) -> Decimal:
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} does not mix with {type(other).__name__}")
        return other.value

    def __add__(self, other: Self) -> Self:
        return type(self)(EXACT.add(self.value, self._same(other)))

    def __sub__(self, other: Self) -> Self:
        return type(self)(EXACT.subtract(self.value, self._same(other)))

    def __neg__(self) -> Self:
        return type(self)(EXACT.minus(self.value))

    def __mul__(self, factor: Decimal | int) -> Self:
        return type(self)(EXACT.multiply(self.value, factor))

    def __lt__(self, other: Self) -> bool:
        return self.value < self._same(other)

    def __le__(self, other: Self) -> bool:
        return self.value <= self._same(other)

    def __gt__(self, other: Self) -> bool:
        return self.value > self._same(other)

    def __ge__(self, other: Self) -> bool:
        return self.value >= self._same(other)

    def __bool__(self) -> bool:
        return bool(self.value)


@dataclass(frozen=True, slots=True)
class Usd(_Amount):
    """An amount of US dollars: prices, margins and account values are in it."""

    def to_usdc_down8(self, usdc_price: Decimal) -> Usdc:
        """The USDC this is worth at ``usdc_price`` (USD per USDC), towards minus infinity."""
        return Usdc(divide_down8(self.value, usdc_price))

    def to_usdc_up8(self, usdc_price: Decimal) -> Usdc:
        """The USDC this is worth at ``usdc_price`` (USD per USDC), towards plus infinity."""
        return Usdc(divide_up8(self.value, usdc_price))

    def __str__(self) -> str:
        return f"{plain(self.value)} USD"


@dataclass(frozen=True, slots=True)
class Usdc(_Amount):
    """An amount of USDC: balances, costs, funding and fees are in it."""

    def to_usd(self, usdc_price: Decimal) -> Usd:
        """The exact USD value at ``usdc_price`` (USD per USDC)."""
        return Usd(EXACT.multiply(self.value, usdc_price))

    def __str__(self) -> str:
        return f"{plain(self.value)} USDC"


def plain(value: Decimal) -> str:
    """A number the way people write it: no exponent, no trailing zeros, and no minus zero."""
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
