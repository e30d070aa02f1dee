"""The object store of somebody else: the client of the exchange, and its services, against moto."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from harness.engine import execute
from harness.live import companions
from harness.live.scenario import live_restart, live_scenario
from harness.live.world import LiveWorld, ServerRecipe
from scenarios.january import REDUCED
from scenarios.live_paradex import Store, deploy, judge
from tests.live.test_paradex import while_the_database_is_away

for package in ("h11", "psycopg"):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'changeover[live]'")

from target_stub.real.http import Clients  # noqa: E402
from target_stub.real.objectstore import BUCKET, PreconditionFailed, S3Store  # noqa: E402

MOTO = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
pytestmark = pytest.mark.skipif(MOTO is None, reason="needs moto: pip install 'changeover[moto]'")
#: Any key will do, but who has none is not shown what others have stored.
KEY = {"AWS_ACCESS_KEY_ID": "changeover", "AWS_SECRET_ACCESS_KEY": "changeover"}
STORE = Store(
    command=(MOTO or "", "-H", "{HOST}", "-p", "{PORT}"),
    prepare=("POST /moto-api/reset", f"PUT /{BUCKET}"),
    environment=KEY,
)


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that everybody is told of."""
    recipe = ServerRecipe("storage", tuple(STORE.command), "http", prepare=tuple(STORE.prepare))
    made = companions.prepared(recipe)
    monkeypatch.setenv("STORAGE_URL", f"http://127.0.0.1:{made.port}")
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    yield
    companions.stop()


def test_the_client_of_the_exchange_agrees_with_it(moto: None) -> None:
    async def main() -> None:
        clients = Clients()
        store = S3Store(clients)
        assert await store.get("nothing") is None
        first = await store.put("checkpoints/BTC-USD-PERP", {"index": 1})
        assert await store.get("checkpoints/BTC-USD-PERP") == ({"index": 1}, first)
        for condition in ({"if_none_match": True}, {"if_match": '"another"'}):
            with pytest.raises(PreconditionFailed):
                await store.put("checkpoints/BTC-USD-PERP", {}, **condition)
        with pytest.raises(PreconditionFailed):
            await store.put("nothing", {}, if_match=first)
        assert await store.put("checkpoints/BTC-USD-PERP", {"index": 2}, if_match=first) != first
        with pytest.raises(ValueError, match="NoSuchBucket"):
            await S3Store(clients, bucket="another").get("nothing")
        await clients.close()

    trio.run(main)


@live_scenario(
    faults=[live_restart("market_data")], bugs={"index_zero": ""}, bug_default="index_zero"
)
def the_incident_on_moto(world: LiveWorld) -> None:
    """The reduced story, with the object store of somebody else."""
    services = ("chain", "publisher", "market_data", "risk", "outside")
    records = deploy(world, REDUCED, name="reduced", services=services, store=STORE)
    world.until("outside")
    judge(world, records)


@pytest.mark.usefixtures("walls")
def test_the_incident_happens_on_it_as_on_our_own() -> None:
    made = execute(the_incident_on_moto, seed=0, choose=while_the_database_is_away, recorded=True)
    assert made.violations[0].invariant == "funding_index_step_is_bounded"
    kept = [event for event in made.history if event.operation.startswith("PUT /exchange/check")]
    assert kept and all(str(event.value).startswith("200") for event in kept)
    companions.stop()
