"""Whom services ask, and for whom they wait in vain."""

from __future__ import annotations

from functools import partial

from harness.live import companions
from harness.live.clusters import Cluster
from harness.live.databases import Database
from harness.live.gate import Gate
from harness.live.incarnations import Incarnations
from harness.live.lanes import DATABASE, Lane
from harness.live.ports import COMING, Peer
from harness.live.protocols import framing
from harness.live.servers import Server
from harness.live.wire import Conversation
from harness.live.world import LiveWorld


def database_peer(server: Server | Cluster, database: Database) -> Peer:
    """How services ask PostgreSQL; who may be struck is connected to when somebody connects."""
    ahead = database.greeted if isinstance(server, Server) else None
    talk = partial(Conversation, database.name)
    return Peer(DATABASE, talk, lambda: (server.connect(), None), ahead=ahead)


def services_of(world: LiveWorld, gate: Gate) -> dict[str, Incarnations]:
    """The services of a run; who of them can be asked, and the servers, are peers from now on."""
    for kept in world.servers.values():
        companion = companions.prepared(kept)
        gate.peers.append(companion.as_peer())
        world.readers[kept.name] = companion.read
    services = {name: Incarnations(recipe, gate) for name, recipe in world.recipes.items()}
    for service in services.values():
        if service.recipe.listens:
            gate.peers.append(service.as_peer(framing(service.recipe.listens)))
    return services


def why_stuck(lane: Lane) -> str:
    """For what a lane waits that nobody will give it; empty if it does not wait."""
    if (
        lane.running is not None
        and not lane.waits
        and (lane.blocked or not (lane.client_gone or lane.streams))
    ):
        what = "a lock" if lane.blocked else f"the answer of {lane.peer.name}"
        return f"{lane.name} waits for {what}, to {lane.running.text}"
    if lane.held and not lane.client_gone and lane.peer.state() == COMING:
        return f"{lane.name} waits until {lane.peer.name} listens, to {lane.held[0].text}"
    return ""
