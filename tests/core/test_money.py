"""Money: exact, typed, and deaf to the ambient decimal context."""

from __future__ import annotations

from decimal import ROUND_UP, Context, Decimal, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_stub.core.money import (
    EXACT,
    Usd,
    Usdc,
    divide_down8,
    divide_half_even8,
    divide_up8,
    down_to_multiple,
    exact,
    plain,
    round_down8,
    round_half_even8,
    round_up8,
    up_to_multiple,
)

AMOUNTS = st.decimals(
    min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=8
)
UNIT = Fraction(1, 10**8)


def test_dollars_and_usdc_do_not_mix() -> None:
    with pytest.raises(TypeError, match="Usd does not mix with Usdc"):
        Usd.of(1) + Usdc.of(1)  # type: ignore[operator]
    with pytest.raises(TypeError, match="Usdc does not mix with Usd"):
        assert Usdc.of(1) < Usd.of(1)  # type: ignore[operator]


def test_conversion_needs_a_price_and_names_its_direction() -> None:
    assert Usdc.of(100).to_usd(Decimal("0.8")) == Usd.of(80)
    assert Usd.of(1).to_usdc_down8(Decimal(3)) == Usdc.of("0.33333333")
    assert Usd.of(1).to_usdc_up8(Decimal(3)) == Usdc.of("0.33333334")
    assert Usd.of(-1).to_usdc_down8(Decimal(3)) == Usdc.of("-0.33333334")


@pytest.mark.parametrize("value", [1.5, 1])
def test_amounts_are_never_made_from_floats_or_bare_integers(value: object) -> None:
    with pytest.raises(TypeError):
        Usd(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_amounts_are_finite(value: str) -> None:
    with pytest.raises(TypeError):
        Usdc.of(value)


def test_losing_a_digit_raises_instead_of_rounding() -> None:
    third = exact(lambda: Decimal(1) / Decimal(3))
    with pytest.raises(Inexact):
        third()


@given(AMOUNTS, AMOUNTS)
def test_no_ambient_context_changes_a_result(left: Decimal, right: Decimal) -> None:
    def compute() -> tuple[Decimal, ...]:
        product = EXACT.multiply(left, right)
        return (
            (Usd(left) + Usd(right)).value,
            (-Usd(left)).value,
            (Usd(left) * right).value,
            round_up8(product),
            divide_down8(left, Decimal(-3)),
        )

    expected = compute()
    with localcontext(Context(prec=3, rounding=ROUND_UP)):
        assert compute() == expected


@given(AMOUNTS, AMOUNTS.filter(bool))
def test_division_lands_on_the_side_its_name_says(dividend: Decimal, divisor: Decimal) -> None:
    true = Fraction(dividend) / Fraction(divisor)
    down, up = Fraction(divide_down8(dividend, divisor)), Fraction(divide_up8(dividend, divisor))
    nearest = Fraction(divide_half_even8(dividend, divisor))
    assert down <= true <= up
    assert up - down in (0, UNIT)
    assert nearest == round(true / UNIT) * UNIT


@given(AMOUNTS, AMOUNTS)
def test_rounding_lands_on_the_side_its_name_says(left: Decimal, right: Decimal) -> None:
    value = EXACT.multiply(left, right)
    assert round_down8(value) <= value <= round_up8(value)
    assert Fraction(round_half_even8(value)) == round(Fraction(value) / UNIT) * UNIT


def test_multiples() -> None:
    increment = Decimal("0.00001")
    assert down_to_multiple(Decimal("0.123456789"), increment) == Decimal("0.12345")
    assert up_to_multiple(Decimal("0.123456789"), increment) == Decimal("0.12346")
    assert up_to_multiple(Decimal("0.04000"), increment) == Decimal("0.04")


def test_numbers_are_written_as_people_write_them() -> None:
    assert plain(Decimal("1E+3")) == "1000"
    assert plain(Decimal("-0.00")) == "0"
    assert str(Usdc.of("614.24000000")) == "614.24 USDC"
    assert str(Usd.of("0.1")) == "0.1 USD"
