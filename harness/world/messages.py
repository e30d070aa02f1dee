"""Messages on their way, and the requests and subscriptions in which they arrive.

What an endpoint or a subscription hands out waits here for its reader. These are the objects that
the target holds in its hands; who may deliver what, and when, is the network's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import trio
from outcome import Error, Outcome, Value

if TYPE_CHECKING:
    from harness.schedule.lanes import Lane
    from harness.schedule.operations import Operation
    from harness.world.network import Network
    from harness.world.wire import Flight

T = TypeVar("T")


class Inbox(Generic[T]):
    """Arrived messages in their order, and the tasks that wait for one."""

    def __init__(self, network: Network, address: str, lane: Lane) -> None:
        self.network = network
        self.address = address
        self.lane = lane
        self.closed = False
        self._arrived: deque[T] = deque()
        self._readers: deque[trio.lowlevel.Task] = deque()

    @property
    def place(self) -> str:
        """What of the network a message touches on its arrival here."""
        return self.address

    def arrive(self, message: T) -> None:
        """A message is there: hand it to the reader that waits longest, or keep it."""
        self.network.simulation.touches(f"steps/{self.lane.name}", "arrive")
        if self._readers:
            trio.lowlevel.reschedule(self._readers.popleft(), Value(message))
        else:
            self._arrived.append(message)

    def close(self) -> None:
        """Hear nothing more; what waits for a message ends its loop."""
        if not self.closed:
            self.closed = True
            self.network.closed(self)
            self._arrived.clear()
            while self._readers and self.lane.alive:
                trio.lowlevel.reschedule(self._readers.popleft(), Error(StopAsyncIteration()))

    @property
    def unread(self) -> tuple[T, ...]:
        """What arrived and was not read yet."""
        return tuple(self._arrived)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        self.network.simulation.touches(f"{self.network.name}/{self.place}")
        if self.closed:
            raise StopAsyncIteration
        if self._arrived:
            await trio.lowlevel.checkpoint_if_cancelled()
            message = self._arrived.popleft()
            await trio.lowlevel.cancel_shielded_checkpoint()
            return message
        return await self._wait_for_message()

    async def receive(self) -> T:
        """The next message; raises :class:`trio.ClosedResourceError` once this is closed."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise trio.ClosedResourceError from None

    async def _wait_for_message(self) -> T:
        task = trio.lowlevel.current_task()
        self._readers.append(task)

        def abort(_: Callable[[], None]) -> trio.lowlevel.Abort:
            self._readers.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        message: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()


class Subscription(Inbox[Any]):
    """What arrives on a topic; ``latest`` is the last message that arrived, read or not."""

    latest: Any = None

    @property
    def place(self) -> str:
        """Every subscription is a place of its own."""
        return f"{self.address}/{self.lane.name}"

    def arrive(self, message: Any) -> None:
        """A message is there."""
        self.latest = message
        super().arrive(message)


class Endpoint(Inbox["Request"]):
    """The requests that arrive at an address; the process that listens reads them one by one."""


class Call:
    """A caller that waits for the answer of one request; ``timed`` if it has a timeout."""

    __slots__ = ("_task", "address", "answers", "label", "lane", "loss", "servers", "timed")

    def __init__(self, lane: Lane, address: str, label: str, *, timed: bool) -> None:
        self.lane = lane
        self.address = address
        self.label = label
        self.timed = timed
        self.servers: list[Lane] = []
        self.answers: list[Flight] = []
        self.loss: Operation | None = None
        self._task: trio.lowlevel.Task | None = None

    async def answer(self, give_up: Callable[[Call], None]) -> Any:
        """Wait for the answer; ``give_up`` is told when it is not awaited any more."""
        self._task = trio.lowlevel.current_task()

        def abort(_: Callable[[], None]) -> trio.lowlevel.Abort:
            self._task = None
            give_up(self)
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    def settle(self, outcome: Outcome[Any]) -> None:
        """The answer, or the news that there will be none, is there."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task, outcome)


class Request:
    """One message as its receiver sees it: ``method``, ``payload``, ``address`` and ``sender``.

    ``sender`` is the name of the lane that sent it. A one-way message has an empty method and
    wants no answer.
    """

    __slots__ = (
        "_network",
        "_server",
        "address",
        "answered",
        "call",
        "method",
        "payload",
        "sender",
    )

    def __init__(  # noqa: PLR0917  # made in one place, once for every message
        self,
        network: Network,
        address: str,
        method: str,
        payload: Any,
        sender: str,
        server: Lane,
        call: Call | None,
    ) -> None:
        self.address = address
        self.method = method
        self.payload = payload
        self.sender = sender
        self.call = call
        self.answered = False
        self._network = network
        self._server = server

    async def reply(self, value: Any = None) -> None:
        """Send the answer; a second one, or one to a message that wants none, goes nowhere."""
        await self._answer(Value(value))

    async def fail(self, error: Exception) -> None:
        """Send an error as the answer; it is raised where the call was made."""
        await self._answer(Error(error))

    async def _answer(self, outcome: Outcome[Any]) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self.answered and self.call is not None:
            self.answered = True
            self._network.send_answer(self._server, self.call, outcome)
        await trio.lowlevel.cancel_shielded_checkpoint()
