"""Bridges with one defect each: money crosses twice, or stays on both sides."""

from __future__ import annotations

from collections.abc import Mapping

from target_stub.cloud.bridge import Bridge
from target_stub.core import Transfer
from target_stub.defects.bug import Bug
from target_stub.outside_chain import ADDRESS as OUTSIDE
from target_stub.outside_chain import Payment


class NamesPaymentsByItself(Bridge):
    """Gives a payment a name of its own life, so that no two bridges can mean the same one."""

    def payment_id(self, transfer: Transfer) -> str:
        """A transfer is paid once in a life, and nearly always ended in the same one."""
        return f"{self.life.name}-{transfer.id}"


class TakesSilenceForRefusal(Bridge):
    """Fails a withdrawal whose payment nobody answered, so that the money is back at once."""

    async def pay(self, transfer: Transfer) -> bool:
        """Whoever does not answer has not paid."""
        payment = Payment(
            id=self.payment_id(transfer),
            transfer=transfer.id,
            account=transfer.account,
            amount=transfer.amount,
        )
        try:
            return bool(await self.network.call(OUTSIDE, "pay", payment))
        except ConnectionError:
            return False


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "payment_named_by_sender": Bug(
        text="the bridge names a payment after itself, so its successor pays again",
        breaks="both_sides_of_the_bridge_agree",
        incident=(
            "Solana, 1 June 2022: a transaction with a durable nonce could be processed twice, "
            "because its second life had another name"
        ),
        family="executed twice on redelivery",
        budget=200,
        scenario="bridge",
        replaces={Bridge: NamesPaymentsByItself},
    ),
    "silence_is_refusal": Bug(
        text="the bridge takes a payment that nobody answered for refused, and credits it again",
        breaks="both_sides_of_the_bridge_agree",
        incident=(
            "Hyperliquid, 29 July 2025: the API answered with errors although the orders had "
            "reached the mempool and were executed"
        ),
        family="error returned but executed",
        budget=500,
        scenario="bridge",
        replaces={Bridge: TakesSilenceForRefusal},
    ),
}
