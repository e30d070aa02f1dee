"""HTTP/1.1 between processes: a server that hands out what it is asked, a client that keeps links.

Framing by h11. One request at a time on a connection; a client that has several questions at once
opens several connections, and uses them again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11
import trio

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request (``method`` and ``target``) or a response (``status``), with its whole body."""

    method: str = ""
    target: str = ""
    status: int = 0
    headers: Headers = field(default_factory=dict)
    body: bytes = b""


class Connection:
    """One end of a connection."""

    def __init__(self, stream: trio.abc.Stream, role: type[h11.CLIENT] | type[h11.SERVER]) -> None:
        self.stream = stream
        self.state = h11.Connection(role)

    async def receive(self) -> Message | None:
        """The next message, or nothing if the other side has gone in good order."""
        head: h11.Request | h11.Response | None = None
        body = bytearray()
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                self.state.receive_data(bytes(await self.stream.receive_some(65_536)))
            elif isinstance(event, h11.Request | h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _message(head, bytes(body))
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None

    async def send(self, head: h11.Request | h11.Response, body: bytes) -> None:
        """Send a message."""
        events: list[h11.Event] = [head, h11.Data(data=body), h11.EndOfMessage()]
        parts = (self.state.send(event) for event in events)
        await self.stream.send_all(b"".join(part for part in parts if part))

    def begin_next(self) -> bool:
        """Make ready for another request, if both sides want that."""
        if self.state.our_state is h11.DONE and self.state.their_state is h11.DONE:
            self.state.start_next_cycle()
            return True
        return False

    async def close(self) -> None:
        """Close it."""
        await trio.aclose_forcefully(self.stream)


def _message(head: h11.Request | h11.Response, body: bytes) -> Message:
    headers = {name.decode(): value.decode() for name, value in head.headers}
    if isinstance(head, h11.Request):
        method, target = head.method.decode(), head.target.decode()
        return Message(method=method, target=target, headers=headers, body=body)
    return Message(status=head.status_code, headers=headers, body=body)


# --- server ---------------------------------------------------------------------------------------

Answer = Callable[[Message], Awaitable[Message]]


async def open_listener() -> trio.SocketListener:
    """Listen at ``HOST`` and ``PORT`` of the environment."""
    host, port = os.environ["HOST"], int(os.environ["PORT"])
    (listener,) = await trio.open_tcp_listeners(port, host=host)
    return listener


async def serve_for_ever(listener: trio.SocketListener, answer: Answer) -> None:
    """Answer every request that comes, those of several connections at the same time."""

    async def serve(stream: trio.SocketStream) -> None:
        connection = Connection(stream, h11.SERVER)
        try:
            while (request := await connection.receive()) is not None:
                response = await answer(request)
                await connection.send(_response(response), response.body)
                if not connection.begin_next():
                    break
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass  # whoever asked is gone
        finally:
            await connection.close()

    await trio.serve_listeners(serve, [listener])


def _response(message: Message) -> h11.Response:
    headers = {**message.headers, "content-length": str(len(message.body))}
    return h11.Response(status_code=message.status, headers=list(headers.items()))


# --- client ---------------------------------------------------------------------------------------


class Clients:
    """The connections of one process to others; what is idle is used again."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}

    async def ask(self, name: str, message: Message, *, timeout_s: float | None = None) -> Message:
        """Ask the service called ``name``, which is where ``NAME_URL`` of the environment says.

        Raises ConnectionError if nobody answers, TimeoutError after ``timeout_s`` seconds; after
        both the request may have taken effect.
        """
        answer: Message | None = None
        with trio.move_on_after(math.inf if timeout_s is None else timeout_s):
            answer = await self._ask(name, message)
        if answer is None:
            raise TimeoutError(f"{name} did not answer within {timeout_s} s")
        return answer

    async def close(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                await connection.close()
        self._idle.clear()

    async def _ask(self, name: str, message: Message) -> Message:
        url = urlsplit(os.environ[f"{name.upper()}_URL"])
        connection = await self._connect(name, url.hostname or "", url.port or 80)
        try:
            await connection.send(_request(message, url.netloc), message.body)
            answer = await connection.receive()
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
            await connection.close()
            raise ConnectionError(f"{name} did not answer: {error}") from error
        except BaseException:
            with trio.CancelScope(shield=True):
                await connection.close()
            raise
        if answer is None:
            await connection.close()
            raise ConnectionError(f"{name} has hung up")
        if connection.begin_next():
            self._idle.setdefault(name, []).append(connection)
        else:
            await connection.close()
        return answer

    async def _connect(self, name: str, host: str, port: int) -> Connection:
        if idle := self._idle.get(name):
            return idle.pop()
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as error:
            raise ConnectionError(f"{name} cannot be reached: {error}") from error
        return Connection(stream, h11.CLIENT)


def _request(message: Message, host: str) -> h11.Request:
    headers = {"host": host, **message.headers, "content-length": str(len(message.body))}
    return h11.Request(method=message.method, target=message.target, headers=list(headers.items()))
