"""The twins of the chain and of matching, which follows it: one core, fed every block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.equivalence import Equivalence, Parts
from scenarios.exchange import Exchange
from scenarios.twins.market_data import MarketDataTwin
from scenarios.twins.volumes import VolumesTwin
from target_stub.chain import BLOCKS, Block
from target_stub.cloud.matching import Matching
from target_stub.core import Command, PublishMarket, SetMode, SetStanding, SettleTrade, State, apply


class ChainTwin:
    """A core that does what the chain did, with the values that the other twins have."""

    def __init__(
        self,
        exchange: Exchange,
        equivalence: Equivalence,
        *,
        markets: MarketDataTwin,
        volumes: VolumesTwin,
    ) -> None:
        self.markets = markets
        self.volumes = volumes
        self.twin = equivalence.twin(
            "chain",
            exchange.chain.genesis,
            self.follow,
            expected=parts,
            actual=lambda: parts(exchange.chain.state),
            on=(f"{exchange.network.name}/{BLOCKS}",),
        )
        observer = exchange.chain.observer

        def observe(before: State, block: Block) -> None:
            observer(before, block)
            self.twin.durable(block.command)

        exchange.chain.observer = observe

    def follow(self, state: State, command: Command) -> State:
        """Do a block's command."""
        if isinstance(command, PublishMarket):
            command = self.markets.corrected(command)
        elif isinstance(command, SetStanding):
            command = self.volumes.corrected(command)
        after, _ = apply(state, command)
        return after


class MatchingTwin:
    """What matching must know of accounts and markets whenever nothing is under way."""

    def __init__(
        self,
        exchange: Exchange,
        equivalence: Equivalence,
        *,
        chain: ChainTwin,
        resting: Callable[[], bool],
        lives: Sequence[Matching],
    ) -> None:
        self.exchange = exchange
        self.chain = chain
        self.resting = resting
        self.lives = lives
        self._seen: tuple[int, int] = (0, 0)
        self.twin = equivalence.twin(
            "matching",
            None,
            lambda state, command: None,
            expected=lambda state: parts_of_matching(self.chain.twin.state),
            actual=self.actual,
            on=(f"{exchange.network.name}/",),
        )

    def actual(self) -> Parts | None:
        """What matching knows, if it has heard of all that happened and of nothing else."""
        if not self.lives or not self.resting():
            return None
        service, blocks = self.lives[-1], self.exchange.chain.blocks
        heard = (len(self.lives), len(blocks))
        if service.state is None or heard == self._seen:
            return None
        for block in reversed(blocks):
            if not isinstance(block.command, SettleTrade | SetMode):
                if block.command.id not in service.state.applied:
                    return None
                break
        self._seen = heard
        self.twin.fed = self.chain.twin.fed
        return parts_of_matching(service.state)


def parts(state: State) -> Parts:
    """A whole state, account by account and market by market."""
    return {
        **{f"accounts/{name}": account for name, account in state.accounts.items()},
        **{f"markets/{symbol}": market for symbol, market in state.markets.items()},
        **{f"vaults/{name}": vault for name, vault in state.vaults.items()},
        **{f"transfers/{name}": transfer for name, transfer in state.transfers.items()},
        "cash": (state.fees_usdc, state.remainder_usdc, state.net_deposits_usdc),
        "mode": state.mode,
        "commands": (state.sequence, state.applied.checksum),
    }


def parts_of_matching(state: State) -> Parts:
    """What matching has of a state: orders apart, because they are its own."""
    found: dict[str, object] = {"usdc price": state.usdc_price}
    for name, account in state.accounts.items():
        found[f"balances/{name}"] = account.balance_usdc
        found[f"positions/{name}"] = dict(account.positions)
        found[f"standings/{name}"] = account.standing
        found[f"orders/{name}"] = tuple(account.orders)
    for symbol, market in state.markets.items():
        found[f"prices/{symbol}"] = (market.price, market.premium_usdc, market.funding_at_ms)
    return found
