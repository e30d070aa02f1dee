"""What makes 'serializable' stronger than snapshots: no dangerous structure may commit.

After Cahill, Fekete and Ports: in every non-serializable run of snapshot transactions there is a
pivot P with in --> P --> out, where each arrow says 'read a version that the next one replaced'
and ``out`` committed first of the three (``in`` and ``out`` may be the same one). Whoever would
complete such a structure by its commit fails with 40001. As in PostgreSQL a transaction may fail
that could have been serialized; one that cannot be must never commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.world.versions import Place


@dataclass(eq=False, slots=True)
class Footsteps:
    """What one serializable transaction saw and changed.

    ``earliest_out`` is the commit number of the first transaction that replaced something which
    this one had read, if that one committed before it.
    """

    snapshot: int
    reads: dict[Place, None] = field(default_factory=dict)
    scans: dict[str, None] = field(default_factory=dict)
    writes: tuple[Place, ...] = ()
    committed_at: int = 0
    earliest_out: int | None = None

    def saw_before(self, writer: Footsteps) -> bool:
        """Whether this one read, as it was before, something that ``writer`` changed."""
        return any(place in self.reads or place[0] in self.scans for place in writer.writes)

    def completes(self, earliest_out: int) -> bool:
        """Whether this one could be the ``in`` of a pivot whose ``out`` committed then.

        One that committed before ``out`` cannot, nor can a reader that began before ``out``.
        """
        if self.committed_at < earliest_out:
            return False
        return bool(self.writes) or earliest_out <= self.snapshot


class Conflicts:
    """The serializable transactions that committed while others, still open, were running."""

    def __init__(self) -> None:
        self._committed: list[Footsteps] = []

    def endangers(self, mine: Footsteps, writes: Iterable[Place], committed_at: int) -> bool:
        """Whether this commit would complete a dangerous structure; if not, it is remembered."""
        mine.writes, mine.committed_at = tuple(writes), committed_at
        concurrent = [other for other in self._committed if other.committed_at > mine.snapshot]
        outs = [other for other in concurrent if other.writes and mine.saw_before(other)]
        if outs:
            mine.earliest_out = min(other.committed_at for other in outs)
            if any(
                other.saw_before(mine) and other.completes(mine.earliest_out)
                for other in concurrent
            ):
                return True
            if any(
                other.earliest_out is not None and mine.completes(other.earliest_out)
                for other in outs
            ):
                return True
        self._committed.append(mine)
        return False

    def forget(self, oldest_snapshot: int | None) -> None:
        """Drop what no open transaction can conflict with any more."""
        if oldest_snapshot is None:
            self._committed.clear()
        elif self._committed:
            self._committed = [
                other for other in self._committed if other.committed_at > oldest_snapshot
            ]
