"""What has happened before the drill begins: the fault of the day, and what people did with it.

It is the drill's premise and no race, so it is told to the chain without a single step: a clean
morning, a snapshot, an index of 0, liquidations, trades that cache the wrong index, a withdrawal of
money that nobody earned, and honest transfers in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from scenarios.people import Population
from target_stub.core import (
    LIQUIDATOR_VAULT,
    BridgeDeposit,
    Command,
    CreateVault,
    Deposit,
    Instruction,
    Liquidate,
    PlaceOrder,
    PublishMarket,
    RequestWithdrawal,
    Side,
    State,
    Trigger,
    Usdc,
    VaultDeposit,
    assess,
    is_due,
)
from target_stub.core.commands import AdvanceWithdrawal
from target_stub.core.orders import OrderKind
from target_stub.core.transfers import Direction, Transfer, TransferStatus
from target_stub.forks import ForkingChain, OnFork

BTC, ETH = "BTC-USD-PERP", "ETH-USD-PERP"
#: Where the indices stood on the last clean tick; the examples of the API, and in proportion.
INDICES = {BTC: Decimal("-2819.53434361"), ETH: Decimal("-97.31851203")}
PRICES = {BTC: Decimal(93_000), ETH: Decimal(3_210)}
VAULT = "sparrow-vault"
#: What the fund of the exchange holds, in USDC.
FUND_USDC = Decimal(400_000)
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Premise:
    """What the premise leaves: transfers completed outside, and the block that was wrong."""

    outside: tuple[Transfer, ...]
    wrong_height: int


class _Script:
    """Tells the chain one command after the other and numbers them."""

    def __init__(self, chain: ForkingChain) -> None:
        self.chain = chain
        self.count = 0

    def __call__(self, make: Callable[[str], Command]) -> str:
        self.count += 1
        name = f"premise-{self.count}"
        self.chain.receive(OnFork(fork=0, command=make(name)))
        return name


def play(chain: ForkingChain, people: Population) -> Premise:
    """Tell the chain all of it; the fund of the exchange and a vault of users come first."""
    tell = _Script(chain)
    traders = people.traders
    _clean_morning(tell, traders)
    wrong_height = chain.height + 1
    tell(lambda name: _publish(name, BTC, Decimal(0)))
    _liquidate_the_due(tell)
    _trade_on_wrong_values(tell, traders)
    outside = _cross_the_bridge(tell, traders, _enriched(chain.state, people))
    return Premise(outside=outside, wrong_height=wrong_height)


def _clean_morning(tell: _Script, traders: tuple[str, ...]) -> None:
    fund = Usdc(FUND_USDC)
    tell(lambda name: Deposit(id=name, at_ms=0, account=LIQUIDATOR_VAULT, amount=fund))
    tell(
        lambda name: CreateVault(
            id=name,
            at_ms=0,
            vault=VAULT,
            account=traders[0],
            amount=Usdc(Decimal(10_000)),
            profit_share=Decimal("0.1"),
            lockup_ms=DAY_MS,
        )
    )
    tell(lambda name: _order(name, traders[1], Side.SELL, "0.3", PRICES[BTC]))
    tell(lambda name: _order(name, traders[0], Side.BUY, "0.3", PRICES[BTC]))
    tell(lambda name: _order(name, VAULT, Side.BUY, "0.2", PRICES[BTC] - 100))
    tell(lambda name: _order(name, traders[2], Side.SELL, "0.2", PRICES[BTC] - 100))
    for trigger, price in ((Trigger.TAKE_PROFIT, 97_000), (Trigger.STOP_LOSS, 89_000)):
        tell(_exit(traders[0], trigger, Decimal("0.3"), Decimal(price)))
    tell(lambda name: _order(name, traders[3], Side.SELL, "0.1", PRICES[BTC] + 300))
    for symbol, index in INDICES.items():
        tell(lambda name, s=symbol, i=index: _publish(name, s, i))  # type: ignore[misc]


def _liquidate_the_due(tell: _Script) -> None:
    state = tell.chain.state
    prices, usdc_price = state.known_prices(), state.known_usdc_price()
    for name, account in sorted(state.accounts.items()):
        if name != LIQUIDATOR_VAULT and is_due(account, prices, usdc_price, state.rules):
            tell(lambda id, name=name: Liquidate(id=id, at_ms=0, account=name))  # type: ignore[misc]


def _trade_on_wrong_values(tell: _Script, traders: tuple[str, ...]) -> None:
    tell(lambda name: _order(name, traders[4], Side.SELL, "0.5", PRICES[BTC] - 50))
    tell(lambda name: _order(name, traders[0], Side.BUY, "0.4", PRICES[BTC] - 50))
    tell(_exit(traders[0], Trigger.STOP_LOSS, Decimal("0.7"), Decimal(90_000)))
    amount = Usdc(Decimal(2_500))
    tell(
        lambda name: VaultDeposit(id=name, at_ms=0, vault=VAULT, account=traders[5], amount=amount)
    )


def _enriched(state: State, people: Population) -> str:
    """The first short in the alphabet whom the wrong index credits with what he never earned."""
    shorts = {
        each.account
        for each in people.positions
        if each.market == BTC and each.size < 0 and each.account in state.accounts
    }
    return min(shorts)


def _cross_the_bridge(
    tell: _Script, traders: tuple[str, ...], enriched: str
) -> tuple[Transfer, ...]:
    state = tell.chain.state
    health = assess(
        state.accounts[enriched], state.known_prices(), state.known_usdc_price(), state.rules
    )
    unearned = health.withdrawable
    paid = tell(_withdrawal(enriched, unearned))
    for status in (TransferStatus.AVAILABLE, TransferStatus.COMPLETED):
        tell(_advance(paid, status))
    tell(_withdrawal(traders[6], Usdc(Decimal(1_500))))
    arrived = Transfer(
        "outside-1", traders[7], Direction.DEPOSIT, Usdc(Decimal(5_000)), TransferStatus.COMPLETED
    )
    tell(
        lambda name: BridgeDeposit(
            id=name,
            at_ms=0,
            account=arrived.account,
            amount=arrived.amount,
            transaction=arrived.id,
        )
    )
    withdrawn = Transfer(paid, enriched, Direction.WITHDRAWAL, unearned, TransferStatus.COMPLETED)
    return (withdrawn, arrived)


# --- commands -----------------------------------------------------------------------------------


def _publish(name: str, symbol: str, index: Decimal) -> PublishMarket:
    return PublishMarket(
        id=name,
        at_ms=0,
        market=symbol,
        mark_price=PRICES[symbol],
        funding_index=index,
        premium=Decimal(0),
    )


def _order(name: str, account: str, side: Side, size: str, price: Decimal) -> PlaceOrder:
    return PlaceOrder(
        id=name,
        at_ms=0,
        account=account,
        market=BTC,
        side=side,
        size=Decimal(size),
        price=price,
        instruction=Instruction.GTC,
    )


def _exit(
    account: str, trigger: Trigger, size: Decimal, price: Decimal
) -> Callable[[str], PlaceOrder]:
    return lambda name: PlaceOrder(
        id=name,
        at_ms=0,
        account=account,
        market=BTC,
        side=Side.SELL,
        size=size,
        kind=OrderKind.MARKET,
        trigger=trigger,
        trigger_price=price,
        pair=f"{account}-{trigger}",
    )


def _withdrawal(account: str, amount: Usdc) -> Callable[[str], RequestWithdrawal]:
    return lambda name: RequestWithdrawal(id=name, at_ms=0, account=account, amount=amount)


def _advance(transfer: str, status: TransferStatus) -> Callable[[str], AdvanceWithdrawal]:
    return lambda name: AdvanceWithdrawal(id=name, at_ms=0, transfer=transfer, status=status)
