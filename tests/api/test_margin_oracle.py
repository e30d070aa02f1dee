"""Our margin and paradex-py's agree on generated portfolios, and a mistake of ours would show."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from target_stub.core import margin, valuation
from target_stub.core.money import Usd
from tests.api.installed import needs_client
from tests.benchmarks import margin_oracle
from tests.benchmarks.margin_oracle import CAUSES, Compared, main, run
from tests.benchmarks.portfolios import portfolio

pytestmark = needs_client
NUMBERS = {
    "initial margin",
    "initial margin of positions",
    "maintenance margin",
    "account value",
    "accrued funding",
    "liquidation price",
}


def unexplained(found: tuple[Compared, ...]) -> set[str]:
    """The numbers that differ, and nobody knows why."""
    return {one.what for one in found if one.cause is None}


def test_portfolios_agree_or_differ_for_a_reason_that_is_written_down() -> None:
    found = run(seed=7, portfolios=250)
    assert not unexplained(found)
    assert {one.what for one in found} == NUMBERS
    for name in NUMBERS - {"liquidation price", "accrued funding"}:
        same = [one.cause == "" for one in found if one.what == name]
        assert sum(same) > len(same) * 0.8, name
    causes = {cause for one in found if one.cause for cause in one.cause.split(" and ")}
    assert causes <= {part for cause in CAUSES for part in cause.split(" and ")}


def test_portfolios_are_many_and_odd() -> None:
    many = [portfolio(1, number) for number in range(200)]
    assert portfolio(1, 5) == many[5]
    held = [position for one in many for position in one.account.positions.values()]
    assert min(abs(one.size) for one in held) <= Decimal("0.00001")
    assert max(abs(one.size) for one in held) >= Decimal(100_000)
    assert {one.size > 0 for one in held} == {True, False}
    assert len({symbol for one in many for symbol in one.state.markets}) == 12
    assert any(one.account.standing.leverage for one in many)
    assert any(order.waits for one in many for order in one.account.orders.values())
    assert any(one.account.balance_usdc < 0 for one in many)


def broken(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one mistake on our side."""
    if what == "maintenance margin":
        right = margin.maintenance_margin

        def ten_cents_less(*details: Any) -> Usd:
            return right(*details) - Usd(Decimal("0.1"))

        monkeypatch.setattr(margin_oracle, "maintenance_margin", ten_cents_less)
    elif what == "initial margin":
        monkeypatch.setattr(margin, "open_loss", lambda orders, mark_usd: Usd(Decimal(0)))
    elif what == "accrued funding":
        monkeypatch.setattr(
            "target_stub.api.documents.accrued_funding",
            lambda position, index: -valuation.accrued_funding(position, index),
        )
    else:
        monkeypatch.setattr(
            "target_stub.api.documents.liquidation_price",
            lambda *details: (valuation.liquidation_price(*details) or Decimal(1)) + 1,
        )


@pytest.mark.parametrize(
    "what", ["maintenance margin", "initial margin", "accrued funding", "liquidation price"]
)
def test_a_mistake_of_ours_is_unexplained(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(what, monkeypatch)
    assert what in unexplained(run(seed=7, portfolios=40))


def test_the_command_says_what_was_compared_and_fails_on_what_it_cannot_explain(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--portfolios", "30"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"(?m)^maintenance margin +\d+ +\d+ +0 +0$", said)
    assert re.search(r"(?m)^30 portfolios, \d+ numbers, unexplained 0$", said)
    broken("maintenance margin", monkeypatch)
    assert main(["--portfolios", "30"]) == 1
