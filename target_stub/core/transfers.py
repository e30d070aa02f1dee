"""What is under way between the exchange and the world outside, and where the two disagree.

Money on the other side of the bridge does not roll back with the exchange. So every transfer keeps
the name it has out there, is credited once under that name, and can be compared with what the
outside really did. Paradex documentation, deposits and withdrawals, and ``GET /transfers``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from target_stub.core.money import Usdc


class Direction(StrEnum):
    """Into the exchange or out of it."""

    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"


class TransferStatus(StrEnum):
    """How far a transfer has come (``status`` of the Paradex API)."""

    PENDING = "PENDING"
    """It left the account; the proof for the outside is not made yet."""
    AVAILABLE = "AVAILABLE"
    """It lies on the bridge, outside."""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


NEXT: Mapping[TransferStatus, tuple[TransferStatus, ...]] = {
    TransferStatus.PENDING: (TransferStatus.AVAILABLE, TransferStatus.FAILED),
    TransferStatus.AVAILABLE: (TransferStatus.COMPLETED, TransferStatus.FAILED),
    TransferStatus.COMPLETED: (),
    TransferStatus.FAILED: (),
}
"""What a withdrawal may become; a deposit exists here only once it is complete."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer. A deposit is named by its transaction outside, a withdrawal by its request."""

    id: str
    account: str
    direction: Direction
    amount: Usdc
    """What moves across the bridge, after a socialised loss."""
    status: TransferStatus

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.direction} {self.id} of {self.account}: {self.amount} {self.status}"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One transfer that the exchange and the outside tell differently."""

    id: str
    account: str
    amount: Usdc
    """What the account must be given to make both agree; negative: what it has too much."""
    why: str


def disagreements(
    transfers: Mapping[str, Transfer], outside: Iterable[Transfer]
) -> tuple[Disagreement, ...]:
    """Compare the transfers of a state with those that the outside really completed, by their ids.

    After a rollback this is what nobody can roll back: deposits that have to be credited again,
    and withdrawals that were paid although the account has the money back.
    """
    done = {transfer.id: transfer for transfer in outside}
    found: list[Disagreement] = []
    for name, paid in sorted(done.items()):
        known = transfers.get(name)
        if known is None or known.status is TransferStatus.FAILED:
            deposited = paid.direction is Direction.DEPOSIT
            owed = paid.amount if deposited else -paid.amount
            why = "deposited and not credited" if deposited else "paid out and not debited"
            found.append(Disagreement(name, paid.account, owed, why))
        elif (known.account, known.amount, known.direction) != (
            paid.account,
            paid.amount,
            paid.direction,
        ):
            raise ValueError(f"{name} is {known} here and {paid} outside")
    for name, known in sorted(transfers.items()):
        if known.status is TransferStatus.COMPLETED and name not in done:
            deposited = known.direction is Direction.DEPOSIT
            owed = -known.amount if deposited else known.amount
            why = "credited and not deposited" if deposited else "completed and not paid out"
            found.append(Disagreement(name, known.account, owed, why))
    return tuple(found)
