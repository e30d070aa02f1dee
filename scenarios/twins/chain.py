"""The twin of the chain: one core that does every block, with the values of the other twins."""

from __future__ import annotations

from dataclasses import replace

from harness.equivalence import Equivalence, Parts
from scenarios.exchange import Exchange
from scenarios.twins.market_data import MarketDataTwin
from scenarios.twins.volumes import VolumesTwin
from target_stub.chain import BLOCKS, PAUSES, Block
from target_stub.core import (
    Command,
    PublishMarket,
    Reason,
    Rejected,
    SetStanding,
    SettleTrade,
    State,
    apply,
)

#: Why the chain refuses a trade whatever the core would make of it.
OWN_REASONS = frozenset((*PAUSES.values(), Reason.NOT_READY, Reason.RESYNC))


def reasons_of(block: Block) -> list[Reason]:
    """Why a block's command was refused; nothing if it was not."""
    return [event.reason for event in block.events if isinstance(event, Rejected)]


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
            self.twin.durable(block)

        exchange.chain.observer = observe

    def follow(self, state: State, block: Block) -> State:
        """Do a block's command, unless the chain refused it by a rule of its own.

        Those rules ask the clock and what is under way, which no core knows.
        """
        command: Command = block.command
        if isinstance(command, SettleTrade) and not OWN_REASONS.isdisjoint(reasons_of(block)):
            return replace(state, applied=state.applied.added(command.id))
        if isinstance(command, PublishMarket):
            command = self.markets.corrected(command)
        elif isinstance(command, SetStanding):
            command = self.volumes.corrected(command)
        after, _ = apply(state, command)
        return after


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
