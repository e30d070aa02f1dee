"""paradex-py, the client library of Paradex, on a network of the world instead of the internet.

Its REST client gets a transport and its WebSocket client a connector; both hand over to the
simulation, so the library runs as it is. Only its signing half is left out: that needs starknet-py
and a compiled curve library, and the reference exchange checks no signatures. So the package is
imported without running its ``__init__``, which would import all of that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import trio

from harness.errors import UsageError
from harness.world.blocking import AsyncioLoop, wait
from harness.world.network import Network
from target_stub.api.gateway import ADDRESS, Asked
from target_stub.api.sessions import PING

PACKAGE = "paradex_py"
#: What must be there: the library itself, what of its requirements it needs here, and greenlet.
NEEDED = (PACKAGE, "httpx", "pydantic", "jwt", "websockets", "marshmallow_dataclass", "greenlet")
URL = "http://exchange.test/v1"
TIMEOUT_S = 3.0


def missing() -> tuple[str, ...]:
    """What is not installed of the packages that a real client needs."""
    return tuple(name for name in NEEDED if find_spec(name) is None)


def library(name: str) -> Any:
    """A module of paradex-py, such as ``api.ws_client``; UsageError if it is not installed."""
    absent = missing()
    if absent:
        raise UsageError(
            f"the real client needs {', '.join(absent)}; docs/client.md says how to install them"
        )
    if PACKAGE not in sys.modules:
        _leave_out_signing()
    return import_module(f"{PACKAGE}.{name}")


def _leave_out_signing() -> None:
    for name in (PACKAGE, f"{PACKAGE}.account"):
        spec = find_spec(name)
        assert spec is not None
        sys.modules[name] = module_from_spec(spec)
    account = ModuleType(f"{PACKAGE}.account.account")
    # The type of something that is never made here.
    vars(account)["ParadexAccount"] = type("ParadexAccount", (), {})
    sys.modules[account.__name__] = account


def rest_client(network: Network, account: str) -> Any:
    """The library's REST client for one account, on this network."""
    httpx = import_module("httpx")

    class Transport(httpx.BaseTransport):  # type: ignore[misc,name-defined]
        """Requests go to the gateway as calls of the network, and block until they are answered."""

        def handle_request(self, request: Any) -> Any:
            token = request.headers.get("authorization", "").removeprefix("Bearer ") or None
            body = json.loads(request.content) if request.content else None
            path = request.url.path.removeprefix("/v1")
            asked = Asked(request.method, path, dict(request.url.params), body, token)
            try:
                answer = wait(network.call, ADDRESS, "request", asked, TIMEOUT_S)
            except ConnectionRefusedError as error:
                raise httpx.ConnectError(str(error), request=request) from None
            except ConnectionError as error:
                raise httpx.ReadError(str(error), request=request) from None
            except TimeoutError as error:
                raise httpx.ReadTimeout(str(error), request=request) from None
            if answer.status == 204:
                return httpx.Response(204, request=request)
            return httpx.Response(answer.status, json=answer.body, request=request)

    client = library("api.api_client").ParadexApiClient(
        env="testnet",
        logger=_quiet(),
        http_client=httpx.Client(transport=Transport(), trust_env=False),
        api_base_url=URL,
        auto_auth=False,
        signer=library("api.protocols").NoOpSigner(),
    )
    client.set_token(account)
    return client


def socket_client(
    network: Network, nursery: trio.Nursery, account: str, *, auto_start_reader: bool = False
) -> Any:
    """The library's WebSocket client for one account; its connections are read in the nursery."""
    websockets = import_module("websockets")

    class Connection:
        """One WebSocket: frames arrive in the order in which they were sent, until it breaks."""

        def __init__(self, name: str) -> None:
            self.name = name
            self.state = websockets.State.OPEN
            self.arrived: asyncio.Queue[str | None] = asyncio.Queue()

        async def send(self, data: str) -> None:
            if self.state is not websockets.State.OPEN:
                raise websockets.exceptions.ConnectionClosedError(None, None)
            try:
                wait(network.call, ADDRESS, "frame", (self.name, data), TIMEOUT_S)
            except (ConnectionError, TimeoutError):
                # What left this machine before the connection broke was sent without an error.
                self.end()

        async def recv(self) -> str:
            frame = await self.arrived.get()
            if frame is None:
                self.arrived.put_nowait(None)
                raise websockets.exceptions.ConnectionClosedError(None, None)
            return frame

        async def close(self) -> None:
            if self.state is websockets.State.OPEN:
                self.state = websockets.State.CLOSED
                wait(network.call, ADDRESS, "close", (self.name, ""), TIMEOUT_S)

        def end(self) -> None:
            self.state = websockets.State.CLOSED
            self.arrived.put_nowait(None)

    async def read(connection: Connection, loop: AsyncioLoop) -> None:
        while True:
            try:
                frames = await network.call(ADDRESS, "receive", (connection.name, ""))
            except ConnectionError:
                loop.call_soon_from_trio(connection.end)
                return
            for frame in frames:
                if frame != PING:
                    loop.call_soon_from_trio(connection.arrived.put_nowait, frame)

    async def connect(_: str, __: dict[str, str]) -> Connection:
        connection = Connection(wait(network.call, ADDRESS, "open", None, TIMEOUT_S))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, AsyncioLoop)
        nursery.start_soon(read, connection, loop)
        return connection

    client = library("api.ws_client").ParadexWebsocketClient(
        env="testnet",
        logger=_quiet(),
        connector=connect,
        auto_start_reader=auto_start_reader,
    )
    client.init_account(SimpleNamespace(jwt_token=account))
    return client


def _quiet() -> logging.Logger:
    """What the library would log is in the history of the run."""
    logger = logging.getLogger(f"{__name__}.quiet")
    logger.disabled = True
    return logger
