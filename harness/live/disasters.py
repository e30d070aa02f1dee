"""What strikes the database of a run: a power cut, or the promotion of its standby.

Both are judged by one rule that needs nothing to be said: what a client was told is committed must
be there afterwards. What is observed of the database is compared, and commits are watched that the
old primary goes on to acknowledge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.live.clusters import Cluster, prepared, reconnected
from harness.live.databases import Database
from harness.live.lanes import DATABASE, Completion, Lane
from harness.live.options import NEMESIS, Act
from harness.live.wire import Answer
from harness.scenario import POWER_CUT, PROMOTION, DatabaseFault, Scenario
from harness.schedule import choices

if TYPE_CHECKING:
    from harness.live.stage import LiveStage

DURABLE = "acknowledged_is_durable"
DESCRIBE = "What a client was told is committed is there whatever happens to the server."
_TEXTS = {POWER_CUT: "power cut of the database", PROMOTION: "promotion of the standby"}


def cluster_of(scenario: Scenario, settings: Mapping[str, str]) -> Cluster | None:
    """A PostgreSQL that no other scenario uses, if something may strike it."""
    kinds = kinds_of(scenario)
    if settings and not kinds:
        raise UsageError(
            f"settings of the server ({', '.join(settings)}) are for runs that have one each: "
            "add database_fault() to the faults of the scenario"
        )
    return prepared(settings, standby=PROMOTION in kinds) if kinds else None


def kinds_of(scenario: Scenario) -> list[str]:
    """What may strike the database of a scenario."""
    faults = [each for each in scenario.faults if isinstance(each, DatabaseFault)]
    return list(dict.fromkeys(kind for fault in faults for kind in fault.kinds))


class Disasters:
    """The part of a stage that strikes its database, and knows to whom it has done what."""

    def __init__(self, stage: LiveStage, cluster: Cluster | None, database: Database) -> None:
        self.stage = stage
        self.cluster = cluster
        self.database = database
        #: Connections that still go to a primary which is none any more.
        self.stale: list[Lane] = []
        self._promoted = False
        self._writing: list[Lane] = []

    def possible(self) -> list[Act]:
        """What may strike now."""
        stage = self.stage
        if self.cluster is None or not stage.faults_left or self._promoted:
            return []
        return [self._act(kind, stage.faults_left) for kind in kinds_of(stage.scenario)]

    def _act(self, kind: str, left: int) -> Act:
        act = self.stage.deed((kind, left), _TEXTS[kind], lambda: self._strike(kind))
        act.kind = choices.FAULT
        return act

    def _strike(self, kind: str) -> None:
        stage, cluster = self.stage, self.cluster
        assert cluster is not None
        before = dict(stage.world.values)
        stage.faults_left -= 1
        stage.chronicle.overlapped += 1
        stage.emit("fault", kind, lane=NEMESIS, resource=DATABASE, after="struck", peer=DATABASE)
        if kind == POWER_CUT:
            for lane in self._lanes():
                lane.process.robbed = True
            cluster.cut_power()
        else:
            self.stale, self._promoted = self._lanes(), True
            cluster.promote()
        stage.world.client = reconnected(cluster, self.database)
        for told in stage.world.read_changes():
            again = told._replace(operation="recovery", lane=DATABASE, peer=DATABASE)
            stage.emit(**again._asdict())
        for name, was in before.items():
            now = stage.world.values[name]
            if was != now:
                text = f"{name} was {was or 'nothing'}, after it {now or 'nothing'}"
                stage.accuse(DURABLE, f"Before the {_TEXTS[kind]} {text}.", DESCRIBE)

    def _lanes(self) -> list[Lane]:
        lanes = self.stage.gate.lanes
        return [each for each in lanes if each.peer.name == DATABASE and each.server is not None]

    def acknowledged(self, done: Sequence[Completion]) -> None:
        """Accuse what the old primary has acknowledged after the promotion: nobody else has it."""
        for each in done:
            lane, answer = each.lane, each.answer
            if answer.wrote and lane not in self._writing:
                self._writing.append(lane)
            if answer.transaction != "I" or lane not in self._writing:
                continue
            self._writing.remove(lane)
            if lane in self.stale and isinstance(answer, Answer) and not answer.undone:
                self.stage.accuse(
                    DURABLE,
                    f"{lane.name} was told {answer} by the old primary: the new one has nothing "
                    "of it.",
                    DESCRIBE,
                )
