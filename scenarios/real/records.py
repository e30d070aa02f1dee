"""The records of a run of real processes: what committed and which blocks were made, read by SQL.

The chain's node keeps a log of its commands; they are carried out here once more, so that the
rules have every state of the chain, and what the node said of each is compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
#: All that is asked after a step, in one question: what a row of the answer is, and its columns.
_ROW, _ORDER, _BLOCK = "row", "order", "block"
_NEWS = (
    f"select '{_ROW}', key, row from stored.{TABLE} order by key; "
    f"select '{_ORDER}', id, service, kind from {RESTARTS} where id > %d order by id; "
    f"select '{_BLOCK}', id, fork, height, at_ms, command, events from {BLOCKS} "
    "where id > %d order by id"
)


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
        #: The rows of the markets as they were last read, each as its text.
        self._rows = {key: encode(row) for key, row in cast.rows.items()}
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
        rows: dict[str, str] = {}
        blocks: list[Sequence[str]] = []
        for what, *columns in self.world.query(_NEWS % (self._last_restart, self._last_block)):
            told = [column or "" for column in columns]
            if what == _ROW:
                rows[told[0]] = told[1]
            elif what == _ORDER:
                self._last_restart = int(told[0])
                self.world.restart(told[1], told[2])
            else:
                blocks.append(told)
        yield from self._compare(rows)
        for block in blocks:
            self._carry_out(block)
        said, self._told = self._told, []
        yield from said

    def _compare(self, rows: Mapping[str, str]) -> Iterator[Told]:
        """What has changed of the rows of the markets."""
        known, self._rows = self._rows, dict(rows)
        if rows == known:
            return
        before = self.versions[-1]
        now = {
            symbol: before[symbol] if known.get(symbol) == text else decode(text)
            for symbol, text in rows.items()
        }
        for symbol, row in now.items():
            if row != before.get(symbol):
                self.observe_rows(symbol, now, row["written_by"])
                place = f"{DATABASE}/{TABLE}/{symbol}"
                index, old = row["funding_index"], before[symbol]["funding_index"]
                yield Told("put all", place, row, old, index, peer=DATABASE)

    def _carry_out(self, logged: Sequence[str]) -> None:
        """Make the next block of the chain here, too; it must be what the chain's node has made."""
        number, fork, height, at_ms, command, events = logged
        self._last_block, self._now_ms = int(number), int(at_ms)
        self.chain.submit(decode(command))
        block = self.chain.blocks[-1]
        if (f"{block.fork}", f"{block.height}", encode(block.events)) != (fork, height, events):
            raise UntrustworthyError(
                f"the chain's node has made of {block} something else than its log says"
            )


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
