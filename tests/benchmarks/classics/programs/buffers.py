"""Programs with a buffer between two sides.

Origin: stack, circular_buffer and queue are SCTBench's (``concurrent-software-benchmarks``),
stringbuffer its ``conc-bugs/stringbuffer-jdk1.4``, boundedBuffer that of the Inspect examples with
the lost notification of the classic monitor: one condition for both sides, one woken at a time.
"""

from __future__ import annotations

import trio

from tests.benchmarks.classics.threads import Condition, Mutex, start

STACK_SIZE = 10
BUFFER_ROUNDS = 7
QUEUE_SIZE = 20


async def stack(*, repaired: bool) -> None:
    """Something was pushed once, so there must always be something to pop."""
    mutex = Mutex("m")
    items: list[int] = []
    pushed = False

    async def push() -> None:
        nonlocal pushed
        for number in range(STACK_SIZE):
            async with mutex:
                items.append(number)
                pushed = True

    async def pop() -> None:
        for _ in range(STACK_SIZE):
            async with mutex:
                if items if repaired else pushed:
                    assert items, "underflow"
                    items.pop()

    async with trio.open_nursery() as nursery:
        await start(nursery, push)
        await start(nursery, pop)


async def circular_buffer(*, repaired: bool) -> None:
    """Sender and receiver take turns, but each counts its attempts, not what went through."""
    mutex = Mutex("m")
    buffer: list[int] = []
    sending = True
    received = 0

    async def send() -> None:
        nonlocal sending
        for number in range(BUFFER_ROUNDS):
            async with mutex:
                if sending:
                    buffer.append(len(buffer) if repaired else number)
                    sending = False

    async def receive() -> None:
        nonlocal sending, received
        for number in range(BUFFER_ROUNDS):
            async with mutex:
                if not sending:
                    expected = received if repaired else number
                    assert buffer[received] == expected
                    received += 1
                    sending = True

    async with trio.open_nursery() as nursery:
        await start(nursery, send)
        await start(nursery, receive)


async def queue(*, repaired: bool) -> None:
    """What is dequeued is compared with what was stored at the number of the attempt."""
    mutex = Mutex("m")
    waiting: list[int] = []
    stored: dict[int, int] = {}
    enqueuing, dequeued = True, 0

    async def enqueue() -> None:
        nonlocal enqueuing
        value = 0
        async with mutex:
            waiting.append(value)
            stored[0] = value
        for attempt in range(1, QUEUE_SIZE):
            async with mutex:
                if enqueuing:
                    value += 1
                    waiting.append(value)
                    stored[value if repaired else attempt] = value
                    enqueuing = False

    async def dequeue() -> None:
        nonlocal enqueuing, dequeued
        for attempt in range(QUEUE_SIZE):
            async with mutex:
                if not enqueuing:
                    expected = dequeued if repaired else attempt
                    assert waiting.pop(0) == stored.get(expected, 0)
                    dequeued += 1
                    enqueuing = True

    async with trio.open_nursery() as nursery:
        await start(nursery, enqueue)
        await start(nursery, dequeue)


async def stringbuffer(*, repaired: bool) -> None:
    """The length of a string is asked for, then its characters; in between it is erased."""
    mutex, own = Mutex("buffer"), Mutex("sb")
    text, copied = "abc", ""

    async def erase_and_append() -> None:
        nonlocal text
        async with mutex:
            text = ""
        async with mutex:
            text += "abc"

    async with trio.open_nursery() as nursery:
        await start(nursery, erase_and_append)
        async with own:
            async with mutex:
                length = len(text)
                if repaired:
                    copied = text[:length]
            if not repaired:
                async with mutex:
                    assert length <= len(text)
                    copied = text[:length]
    assert copied in ("", "abc")


async def bounded_buffer(*, repaired: bool) -> None:
    """Whoever is woken may be of the same side, and the other one sleeps for ever."""
    mutex = Mutex("m")
    changed = Condition("changed", mutex)
    size, rounds, filled = 1, 2, 0

    async def step(amount: int) -> None:
        nonlocal filled
        for _ in range(rounds):
            async with mutex:
                while not 0 <= filled + amount <= size:
                    await changed.wait()
                filled += amount
                await (changed.broadcast() if repaired else changed.signal())

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            await start(nursery, step, +1)
        for _ in range(2):
            await start(nursery, step, -1)
