"""The records of a run of real processes: what committed and which blocks were made, read by SQL.

The chain's node keeps a log of its commands; they are carried out here once more, so that the
rules have every state of the chain, and what the node said of each is compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.errors import UntrustworthyError
from harness.history import Event, Told
from harness.live.world import LiveWorld
from scenarios.january import Cast
from scenarios.records import Records
from target_stub.bugs import BUGS, NO_BUG
from target_stub.cloud.market_data import EPOCHS, TABLE
from target_stub.core import JANUARY_2026
from target_stub.ports import Row
from target_stub.real.codec import decode, encode
from target_stub.real.schema import BLOCKS, RESTARTS

DATABASE = "database"
_BLOCKS = f"select id, fork, height, at_ms, command, events from {BLOCKS} where id > %d order by id"


class LiveTables:
    """What is committed, whoever can see it just now."""

    name = DATABASE

    def __init__(self, world: LiveWorld) -> None:
        self.world = world

    def table(self, table: str) -> Mapping[str, Row]:
        """All rows of a table by key."""
        rows = self.world.query(f"select key, row from stored.{table} order by key")
        return {key or "": decode(row or "") for key, row in rows}


class LiveRecords(Records):
    """The records of one run."""

    def __init__(self, world: LiveWorld, cast: Cast) -> None:
        self.world = world
        self._now_ms = 0
        self._told: list[Told] = []
        self._read: list[Told] = []
        self._last_block = 0
        self._rows = encode(cast.rows)
        super().__init__(
            spec=JANUARY_2026,
            markets=cast.markets,
            rows=cast.rows,
            people=cast.people(world.seed),
            prices=cast.prices(world.seed),
            bug=BUGS[world.bug] if world.bug else NO_BUG,
            guards=world.guards,
        )
        self.database = LiveTables(world)
        self._last_restart = 0
        world.follow(self.read)
        world.watch("chain/submit", self.observe_submission)
        world.watch(DATABASE, self.observe_reading)

    @property
    def now_ms(self) -> int:
        """When the block was made that is looked at."""
        return self._now_ms

    @property
    def steps(self) -> int:
        """Of the run."""
        return self.world.steps

    def reach(self, mark: str) -> None:
        """Told to the world."""
        self.world.reach(mark)

    def phase_of(self, lane: str) -> str:
        """As the incarnation has said."""
        return self.world.phases.get(lane, "")

    def tell(self, told: Told) -> None:
        """Told with the step."""
        self._told.append(told)

    def observe_reading(self, event: Event) -> None:
        """Note which rows somebody has read: with success, and all of them at once."""
        scan = event.operation.startswith(f"select key, row::text from {TABLE} ")
        if scan and event.kind == "read" and str(event.value).startswith("SELECT"):
            place = f"{DATABASE}/{TABLE}/*"
            self._read.append(Told("scan", place, lane=event.lane, kind="read", peer=DATABASE))

    def read(self) -> Iterator[Told]:
        """What is new in the database, after what was read before that."""
        done, self._read = self._read, []
        yield from done
        yield from self._read_rows()
        self._read_orders()
        for number, fork, height, at_ms, command, events in self.world.query(
            _BLOCKS % self._last_block
        ):
            self._last_block, self._now_ms = int(number or 0), int(at_ms or 0)
            self.chain.submit(decode(command or ""))
            block = self.chain.blocks[-1]
            if (f"{block.fork}", f"{block.height}", encode(block.events)) != (fork, height, events):
                raise UntrustworthyError(
                    f"the chain's node has made of {block} something else than its log says"
                )
        told, self._told = self._told, []
        yield from told

    def _read_orders(self) -> None:
        """Obey the operator."""
        orders = f"select id, service, kind from {RESTARTS} where id > {self._last_restart}"
        for number, service, kind in self.world.query(f"{orders} order by id"):
            self._last_restart = int(number or 0)
            self.world.restart(service or "", kind or "")

    def _read_rows(self) -> Iterator[Told]:
        before, rows = self.versions[-1], self.database.table(TABLE)
        text = encode(rows)
        if text == self._rows:
            return
        self._rows = text
        for symbol, row in rows.items():
            if row != before.get(symbol):
                self.observe_rows(symbol, rows, row["written_by"])
                place = f"{DATABASE}/{TABLE}/{symbol}"
                index, old = row["funding_index"], before[symbol]["funding_index"]
                yield Told("put all", place, row, old, index, peer=DATABASE)


def opening_sql(cast: Cast) -> str:
    """The SQL of the rows as the story finds them."""
    rows = {TABLE: cast.rows, EPOCHS: {TABLE: {"incarnation": 1}}}
    return "\n".join(
        f"insert into stored.{table} values ({_quoted(key)}, {_quoted(encode(row))});"
        for table, keyed in rows.items()
        for key, row in keyed.items()
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
