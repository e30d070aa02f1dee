"""An exchange held in a variable: the sequential truth a test or a scenario compares with.

It numbers its commands, keeps the clock it is told and remembers every event, so that a story reads
as one line per fact. It adds no rule of its own; everything goes through ``apply``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from target_stub.core.commands import (
    Command,
    Deposit,
    FundingTick,
    HealthCheck,
    OracleUpdate,
    PlaceOrder,
    PublishMarket,
    SetMode,
    TriggerCheck,
    Withdraw,
)
from target_stub.core.events import Duplicate, Event, Rejected
from target_stub.core.exchange import apply
from target_stub.core.margin import Health, assess
from target_stub.core.money import Usdc
from target_stub.core.orders import Instruction, OrderKind, Position, Side
from target_stub.core.parameters import ExchangeSpec, MarketSpec, Mode
from target_stub.core.state import SeedPosition, State, genesis, seeded

E = TypeVar("E")


class Session:
    """The current state, all events so far, and the virtual time of the next command."""

    def __init__(self, state: State, at_ms: int = 0) -> None:
        self.state = state
        self.at_ms = at_ms
        self.events: list[Event] = []
        # A second session on the same state goes on counting, or its ids would be duplicates.
        self._commands = state.applied.count

    @classmethod
    def opened(
        cls,
        spec: ExchangeSpec,
        markets: Iterable[MarketSpec],
        *,
        marks_usd: Mapping[str, Decimal],
        usdc_price: Decimal,
        funding_index: Decimal,
        balances: Mapping[str, Usdc],
        positions: Iterable[SeedPosition] = (),
    ) -> Session:
        """An exchange with prices and people: spot equals mark, every premium starts at zero."""
        session = cls(genesis(spec, markets))
        for market, mark_usd in marks_usd.items():
            session.spot(market, mark_usd, usdc_price=usdc_price)
            session.publish(market, mark_usd=mark_usd, index=funding_index)
        session.state = seeded(session.state, balances, positions)
        return session

    def next_id(self) -> str:
        """A command id that this session has not used before."""
        self._commands += 1
        return f"session-{self._commands}"

    def do(self, command: Command) -> tuple[Event, ...]:
        """Apply any command and return its events."""
        self.state, events = apply(self.state, command)
        self.events.extend(events)
        return events

    def must(self, command: Command) -> tuple[Event, ...]:
        """Apply a command that must take effect; ValueError with the reason if it does not."""
        events = self.do(command)
        for event in events:
            if isinstance(event, Rejected | Duplicate):
                raise ValueError(event.describe())
        return events

    def of(self, kind: type[E]) -> list[E]:
        """All events of one kind so far, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def spot(
        self,
        market: str,
        spot_usd: Decimal,
        *,
        usdc_price: Decimal,
        external_rates: tuple[Decimal, ...] | None = None,
    ) -> None:
        """New oracle prices."""
        self.must(
            OracleUpdate(
                id=self.next_id(),
                at_ms=self.at_ms,
                market=market,
                spot_usd=spot_usd,
                usdc_price=usdc_price,
                external_rates=external_rates,
            )
        )

    def publish(
        self, market: str, *, mark_usd: Decimal, index: Decimal, premium: Decimal = Decimal(0)
    ) -> None:
        """Values computed elsewhere."""
        self.must(
            PublishMarket(
                id=self.next_id(),
                at_ms=self.at_ms,
                market=market,
                mark_price=mark_usd,
                funding_index=index,
                premium=premium,
            )
        )

    def tick(self, market: str, at_ms: int) -> None:
        """One funding tick at a given time."""
        self.at_ms = at_ms
        self.must(FundingTick(id=self.next_id(), at_ms=at_ms, market=market))

    def order(
        self,
        account: str,
        side: Side,
        size: Decimal,
        market: str,
        *,
        price: Decimal | None = None,
        instruction: Instruction = Instruction.GTC,
        reduce_only: bool = False,
        slippage: Decimal | None = None,
    ) -> tuple[Event, ...]:
        """Place a limit order, or a market order if no price is named."""
        return self.do(
            PlaceOrder(
                id=self.next_id(),
                at_ms=self.at_ms,
                account=account,
                market=market,
                side=side,
                size=size,
                price=price,
                kind=OrderKind.MARKET if price is None else OrderKind.LIMIT,
                instruction=instruction,
                reduce_only=reduce_only,
                slippage=slippage,
            )
        )

    def deposit(self, account: str, amount: Usdc) -> tuple[Event, ...]:
        """Pay in."""
        return self.do(Deposit(id=self.next_id(), at_ms=self.at_ms, account=account, amount=amount))

    def withdraw(self, account: str, amount: Usdc) -> tuple[Event, ...]:
        """Pay out."""
        return self.do(
            Withdraw(id=self.next_id(), at_ms=self.at_ms, account=account, amount=amount)
        )

    def check_health(self) -> tuple[Event, ...]:
        """Deleverage and liquidate whoever is due."""
        return self.do(HealthCheck(id=self.next_id(), at_ms=self.at_ms))

    def check_triggers(self) -> tuple[Event, ...]:
        """Fire due TP/SL orders."""
        return self.do(TriggerCheck(id=self.next_id(), at_ms=self.at_ms))

    def mode(self, mode: Mode) -> tuple[Event, ...]:
        """Change the mode."""
        return self.do(SetMode(id=self.next_id(), at_ms=self.at_ms, mode=mode))

    def health(self, account: str) -> Health:
        """How an account stands at the current values."""
        state = self.state
        return assess(
            state.account(account), state.known_prices(), state.known_usdc_price(), state.rules
        )

    def position(self, account: str, market: str) -> Position | None:
        """The position of an account in a market, None if it has none."""
        return self.state.account(account).positions.get(market)
