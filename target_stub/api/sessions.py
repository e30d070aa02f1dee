"""The WebSocket connections of one gateway: who listens to what, and what waits to be sent.

A connection is a conversation of calls: ``open`` it, send a ``frame``, ``receive`` what there is
(the call waits until there is something, and so it breaks when the gateway dies), ``close`` it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from target_stub.api import rpc
from target_stub.api.channels import News, check_channel, opening, told_on
from target_stub.api.messages import ApiError, ApiRequest
from target_stub.ports import Request

if TYPE_CHECKING:
    from target_stub.api.gateway import Gateway

#: A connection that does not fetch is dropped when so many messages wait.
UNDRAINED_MAX = 2_000
#: Whoever is silent so long is sent an empty frame, and dropped when he does not fetch it in time:
#: the ping of 55 s and the pong within 5 s of the public API.
PING_S, PONG_S = 55.0, 5.0
PING = ""


class Closed(ConnectionError):
    """This connection is not open, or not any more."""


@dataclass(slots=True)
class Session:
    """One connection: its account, its channels, and the frames that nobody has fetched yet."""

    name: str
    account: str | None = None
    channels: dict[str, None] = field(default_factory=dict)
    frames: list[str] = field(default_factory=list)
    cancels_on_disconnect: bool = False
    placed: list[str] = field(default_factory=list)
    open: bool = True
    news: trio.Event = field(default_factory=trio.Event)
    heard: trio.Event = field(default_factory=trio.Event)
    turn: trio.Lock = field(default_factory=trio.Lock)
    """One frame is obeyed after the other."""

    def say(self, frame: str) -> None:
        """Put a frame behind the others."""
        self.frames.append(frame)
        self.news.set()

    async def fetch(self) -> tuple[str, ...]:
        """Wait until there is something to send; Closed once the connection is closed."""
        while self.open and not self.frames:
            self.news = trio.Event()
            await self.news.wait()
        if not self.frames:
            raise Closed(self.name)
        frames, self.frames = tuple(self.frames), []
        return frames


class Sessions:
    """All connections of one incarnation of the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.sessions: dict[str, Session] = {}

    @property
    def any_open(self) -> bool:
        """Whether anybody listens."""
        return bool(self.sessions)

    async def answer(self, request: Request, nursery: trio.Nursery) -> None:
        """Open, hear, serve or close a connection."""
        if request.method == "open":
            session = Session(self.gateway.next_id())
            self.sessions[session.name] = session
            nursery.start_soon(self.watch, session)
            await request.reply(session.name)
            return
        name, text = request.payload
        found = self.sessions.get(name)
        if found is None:
            await request.fail(Closed(name))
            return
        found.heard.set()
        if request.method == "receive":
            try:
                await request.reply(await found.fetch())
            except Closed as error:
                await request.fail(error)
        elif request.method == "frame":
            async with found.turn:
                await request.reply(None)
                found.say(await self.heard(found, text))
        else:
            await request.reply(None)
            await self.disconnect(found)

    async def watch(self, session: Session) -> None:
        """Disconnect who has been silent for too long, even when he was asked."""
        while session.open:
            session.heard = trio.Event()
            with trio.move_on_after(PING_S):
                await session.heard.wait()
                continue
            session.say(PING)
            with trio.move_on_after(PONG_S):
                await session.heard.wait()
            if not session.heard.is_set():
                await self.disconnect(session)

    async def disconnect(self, session: Session) -> None:
        """End a connection; its orders are cancelled if it asked for that."""
        session.open = False
        session.news.set()
        session.heard.set()
        self.sessions.pop(session.name, None)
        if not session.cancels_on_disconnect:
            return
        for order_id in session.placed:
            await self.gateway.respond(
                ApiRequest(
                    method="DELETE",
                    path=f"orders/{order_id}",
                    id=self.gateway.next_id(),
                    at_ms=self.gateway.now_ms,
                    account=session.account,
                )
            )

    # --- frames -----------------------------------------------------------------------------

    async def heard(self, session: Session, text: str) -> str:
        """The frame that answers a frame."""
        frame_id = None
        try:
            frame = rpc.parsed(text)
            frame_id = frame.id
            return rpc.result(frame_id, await self.obey(session, frame))
        except ApiError as error:
            return rpc.RpcError(rpc.METHOD_ERROR, error.code, error.message).frame(frame_id)
        except rpc.RpcError as error:
            return error.frame(frame_id)

    async def obey(self, session: Session, frame: rpc.Frame) -> dict[str, Any]:
        """Do what a frame asks; its result."""
        match frame.method:
            case "auth":
                session.account = rpc.text_of(frame.params, "bearer")
                return {"node_id": self.gateway.life.name}
            case "subscribe":
                return self.subscribe(session, rpc.text_of(frame.params, "channel"))
            case "unsubscribe":
                channel = rpc.text_of(frame.params, "channel")
                session.channels.pop(channel, None)
                return {"channel": channel}
            case "order.cancel_on_disconnect":
                session.cancels_on_disconnect = bool(frame.params.get("enabled"))
                return {"enabled": session.cancels_on_disconnect}
        return await self.order(session, frame)

    def subscribe(self, session: Session, channel: str) -> dict[str, Any]:
        """Hear a channel from now on."""
        view = self.gateway.view
        check_channel(channel, view, session.account)
        session.channels[channel] = None
        for document in opening(channel, view):
            session.say(rpc.told(channel, document))
        return {"channel": channel}

    async def order(self, session: Session, frame: rpc.Frame) -> dict[str, Any]:
        """Something about orders: the same request as over REST."""
        gateway = self.gateway
        request = rpc.order_request(
            frame, id=gateway.next_id(), at_ms=gateway.now_ms, account=session.account
        )
        answer = await gateway.respond(request)
        at_ms = gateway.epoch_ms + request.at_ms
        result = rpc.order_result(frame, answer, at_ms=at_ms)
        placed = [result["order"]] if "order" in result else result.get("orders") or []
        session.placed += [order["id"] for order in placed if order]
        return result

    def tell(self, news: News) -> None:
        """Say what is new to everybody whom it concerns."""
        for session in list(self.sessions.values()):
            for channel in session.channels:
                for document in told_on(channel, news, self.gateway.view, session.account):
                    session.say(rpc.told(channel, document))
            if len(session.frames) > UNDRAINED_MAX:
                session.open = False
                session.frames.clear()
                session.news.set()
                self.sessions.pop(session.name)
