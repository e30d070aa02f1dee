"""The network of the services: calls by HTTP, topics by PostgreSQL.

A call is ``POST /METHOD`` with the payload as its body. What a service answers with an error is
status 500, and raised again where it was asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import trio

from target_stub.ports import Request
from target_stub.real.codec import answer_of, decode, encode
from target_stub.real.http import Clients, Message, open_listener, serve_for_ever
from target_stub.real.postgres import Links, Topic, publish


class HttpRequest:
    """A call that waits for its answer."""

    def __init__(self, method: str, payload: Any) -> None:
        self.method = method
        self.payload = payload
        self.answer: Message | None = None
        self._answered = trio.Event()

    async def reply(self, value: Any) -> None:
        """Answer it."""
        await self._send(Message(status=200, body=encode(value).encode()))

    async def fail(self, error: Exception) -> None:
        """Answer it with an error."""
        told = encode([type(error).__name__, str(error)])
        await self._send(Message(status=500, body=told.encode()))

    async def answered(self) -> Message:
        """Wait for the answer."""
        await self._answered.wait()
        assert self.answer is not None
        return self.answer

    async def _send(self, message: Message) -> None:
        self.answer = message
        self._answered.set()
        await trio.lowlevel.checkpoint()


class HttpNetwork:
    """Calls to services by address, and topics."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.clients = Clients()

    def listen(self, address: str) -> AsyncIterator[Request]:
        """The calls that arrive at this process, one after the other."""
        come, calls = trio.open_memory_channel[Request](1000)

        async def answer(message: Message) -> Message:
            request = HttpRequest(message.target.removeprefix("/"), decode(message.body))
            await come.send(request)
            return await request.answered()

        async def serve() -> None:
            await serve_for_ever(await open_listener(), answer)

        trio.lowlevel.spawn_system_task(serve, name=f"listen at {address}")
        return calls

    async def call(
        self, address: str, method: str, payload: Any, timeout_s: float | None = None
    ) -> Any:
        """Ask a service; ``ConnectionError`` when nobody answers."""
        question = Message(method="POST", target=f"/{method}", body=encode(payload).encode())
        answer = await self.clients.ask(address, question, timeout_s=timeout_s)
        told = answer_of(answer.status, answer.body)
        if isinstance(told, Exception):
            raise told
        return told

    def subscribe(self, topic: str) -> AsyncIterator[Any]:
        """The messages of a topic from now on."""
        return Topic(self.links, topic)

    async def publish(self, topic: str, message: Any) -> None:
        """Tell all subscribers of a topic."""
        await publish(self.links, topic, message)
