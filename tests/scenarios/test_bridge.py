"""The bridge: money arrives once, wherever a restart falls, and a rollback is told, not hidden."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio

from harness.engine import execute
from harness.scenario import Scenario
from harness.world.world import World
from scenarios.bridge import COME_BACK, PAID_OUT, bridge, make_customers, open_bridge
from target_stub.core import Disagreement, Usdc
from target_stub.outside_chain import OutsideChain, Payment
from tests.scenarios.crashes import crashed_everywhere, struck_at

RULE = "both_sides_of_the_bridge_agree"
HUNDRED = Usdc(Decimal(100))


@pytest.mark.parametrize(
    "fault", ["crash restart of bridge", "rolling restart of bridge", "crash restart of outside"]
)
def test_wherever_a_restart_falls_both_sides_agree(fault: str) -> None:
    struck = 0
    for run in crashed_everywhere(bridge, fault, every=11):
        assert not run.violations, (run.token, run.violations)
        assert run.judged[RULE]
        assert run.reached[PAID_OUT] and run.reached[COME_BACK]
        struck += run.restarts
    assert struck > 20


def test_a_second_crash_during_the_first_recovery_changes_nothing() -> None:
    for first in range(60, 240, 20):
        for later in (1, 6):
            choose = struck_at("crash restart of bridge", first, first + later)
            run = execute(bridge, seed=1, choose=choose)
            assert not run.violations, (run.token, run.violations)
            assert run.restarts == 2, (first, later, run.steps)


def test_a_transaction_is_one_deposit_and_may_not_be_told_differently() -> None:
    outside = OutsideChain()
    first = outside.deposit("t", "ann", HUNDRED)
    assert outside.deposit("t", "ann", HUNDRED) == first
    assert outside.done() == (first,)
    with pytest.raises(ValueError, match="DEPOSIT t of ann: 100 USDC COMPLETED, so"):
        outside.deposit("t", "bob", HUNDRED)


def test_a_payment_is_decided_once_and_for_ever() -> None:
    takes = {"ann": True, "bob": False}
    outside = OutsideChain(takes=takes.__getitem__)
    paid = Payment(id="1", transfer="w1", account="ann", amount=HUNDRED)
    refused = Payment(id="2", transfer="w2", account="bob", amount=HUNDRED)
    assert outside.pay(paid) and not outside.pay(refused)
    takes |= {"ann": False, "bob": True}
    assert outside.pay(paid) and not outside.pay(refused)
    assert [transfer.id for transfer in outside.done()] == ["w1"]


def test_after_a_rollback_deposits_are_credited_again_and_payments_are_told() -> None:
    told: dict[str, tuple[Disagreement, ...]] = {}

    async def story(world: World) -> None:
        exchange = await open_bridge(world)
        customer, _ = make_customers(world, exchange, exchange.people, rounds=1, every_s=0.1)
        await world.client(customer.name, customer.run)
        await exchange.bridged()
        told["before"] = await exchange.network.call("bridge", "disagreements", None)
        exchange.chain.rollback(0)
        told["at once"] = await exchange.network.call("bridge", "disagreements", None)
        await trio.sleep(2.5)
        told["later"] = await exchange.network.call("bridge", "disagreements", None)
        assert exchange.chain.state.accounts[customer.account].balance_usdc == 5_750

    run = execute(Scenario("rollback", story), seed=1)
    assert not run.violations, run.violations
    assert told["before"] == ()
    assert [each.why for each in told["at once"]] == [
        "deposited and not credited",
        "paid out and not debited",
    ]
    (left,) = told["later"]
    assert left.amount == Usdc(Decimal(-750))
    assert left.why == "paid out and not debited"


def test_an_address_says_which_method_it_does_not_know() -> None:
    async def story(world: World) -> None:
        exchange = await open_bridge(world)
        for address in ("bridge", "outside"):
            with pytest.raises(ValueError, match="has no method 'destroy'"):
                await exchange.network.call(address, "destroy", None)

    run = execute(Scenario("unknown method", story), seed=1)
    assert not run.violations, run.violations
