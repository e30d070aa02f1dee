"""The twins of matching: its desk fed the journal, and the chain that it must have followed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from harness.equivalence import Equivalence, Parts
from harness.history import Event as HistoryEvent
from scenarios.twins.chain import ChainTwin
from scenarios.whole_services import WholeExchange
from target_stub.chain import Head, with_mode_gate
from target_stub.cloud.durable_matching import DurableMatching
from target_stub.cloud.journal import TABLE
from target_stub.cloud.order_desk import OrderDesk
from target_stub.core import Command, Missing, State, genesis
from target_stub.guards import MODE_GATE


class DeskTwin:
    """A desk that is opened once and does what the journal says, row after row."""

    def __init__(self, exchange: WholeExchange, equivalence: Equivalence) -> None:
        self.exchange = exchange
        self._compared: tuple[str, int] = ("", -1)
        empty = genesis(exchange.spec, exchange.markets)
        place = f"{exchange.database.name}/{TABLE}/"
        self.twin = equivalence.twin(
            "order desk",
            OrderDesk(with_mode_gate(empty) if MODE_GATE in exchange.guards else empty),
            do,
            expected=parts_of_desk,
            actual=self.actual,
            on=(f"{exchange.network.name}/",),
        )
        exchange.world.watch(place, self.observe)

    def observe(self, event: HistoryEvent) -> None:
        """A command is in the journal; one that is written again is there already."""
        key = event.resource.rpartition("/")[2]
        if event.kind == "write" and int(key) > self.twin.fed:
            self.twin.durable(self.exchange.database.table(TABLE)[key]["command"])

    def actual(self) -> Parts | None:
        """The desk of the newest incarnation, once it has done all that is in the journal."""
        engine = self.exchange.matching
        if engine is None or len(engine.desk.outcomes) != len(self.twin.state.outcomes):
            return None
        now = (engine.life.name, self.twin.fed)
        if now == self._compared:
            return None
        self._compared = now
        return parts_of_desk(engine.desk)


class FollowerTwin:
    """The money and the positions at matching, when nothing is under way: those of the chain."""

    def __init__(
        self,
        exchange: WholeExchange,
        equivalence: Equivalence,
        *,
        chain: ChainTwin,
        resting: Callable[[], bool],
    ) -> None:
        self.exchange = exchange
        self.resting = resting
        self._compared: tuple[str, tuple[int, int]] = ("", (-1, -1))
        self.twin = equivalence.twin(
            "accounts at matching",
            chain,
            lambda chain, command: chain,
            expected=lambda chain: money_of(chain.twin.state),
            actual=self.actual,
            on=(f"{exchange.network.name}/",),
        )

    def actual(self) -> Parts | None:
        """What matching knows, if it has followed the chain up to its newest block."""
        engine, head = self.exchange.matching, self.exchange.chain.head
        if engine is None or not self.resting():
            return None
        now = (engine.life.name, head.age)
        if now == self._compared or not has_followed(engine, head):
            return None
        self._compared = now
        self.twin.fed = self.twin.state.twin.fed
        return money_of(engine.desk.state)


def has_followed(engine: DurableMatching, head: Head) -> bool:
    """Whether an incarnation has heard of this head and believes that it has done all it says."""
    followed, desk = engine.followed, engine.desk
    if followed is None or followed.age != head.age or desk.matched or desk.state.resyncing:
        return False
    return desk.follow(head, id="", at_ms=0, anew=False) is None


def do(desk: OrderDesk, command: Command) -> OrderDesk:
    """Do a command of the journal; one that lacks a value is as good as never sent."""
    with suppress(Missing):
        desk.apply(command)
    return desk


def money_of(state: State) -> Parts:
    """What belongs to the chain: balances, positions, standings and prices."""
    found: dict[str, object] = {"usdc price": state.usdc_price}
    for name, account in state.accounts.items():
        found[f"{name}/balance"] = account.balance_usdc
        found[f"{name}/positions"] = dict(account.positions)
        found[f"{name}/standing"] = account.standing
    for symbol, market in state.markets.items():
        found[f"{symbol}/price"] = (market.price, market.premium_usdc, market.funding_at_ms)
    return found


def parts_of_desk(desk: OrderDesk) -> Parts:
    """All that a desk knows, the age of its orders included."""
    state = desk.state
    return {
        **{f"accounts/{name}": account for name, account in state.accounts.items()},
        **{f"orders/{name}": tuple(each.orders) for name, each in state.accounts.items()},
        **{f"books/{symbol}": book for symbol, book in state.books.items()},
        **{f"markets/{symbol}": market for symbol, market in state.markets.items()},
        "mode": (state.mode, desk.chain_mode),
        "under way": tuple(desk.matched),
        "resyncing": state.resyncing,
        "told": len(desk.updates),
        "commands": (state.sequence, state.orders_placed, state.applied.checksum),
    }
