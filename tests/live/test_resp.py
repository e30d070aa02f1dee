"""The framing of Redis: what is one command, when is it answered, and what is said unasked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.live.ports import FOR_EVER, Request, WireError
from harness.live.resp import Conversation, RedisAnswer, command, frame_end, strings


def asks(*lines: str) -> bytes:
    return b"".join(command(*line.encode().split()) for line in lines)


def one(talk: Conversation, line: str) -> Request:
    (request,) = talk.feed_client(asks(line))
    return request


def answered(talk: Conversation, request: Request, data: bytes) -> RedisAnswer:
    """Release a request; its answer, which must be complete with exactly these bytes."""
    assert talk.release(request)
    assert all(each.answer is None for each in talk.feed_server(data[:-1]))
    (answer,) = [each.answer for each in talk.feed_server(data[-1:]) if each.answer is not None]
    assert isinstance(answer, RedisAnswer)
    return answer


#: A frame of every kind, of RESP2 and RESP3, and how deep ones.
FRAMES = {
    "simple": b"+OK\r\n",
    "error": b"-WRONGTYPE no\r\n",
    "integer": b":-12\r\n",
    "string": b"$5\r\nhe\r\no\r\n",
    "empty": b"$0\r\n\r\n",
    "nil string": b"$-1\r\n",
    "array": b"*2\r\n$1\r\na\r\n:1\r\n",
    "empty array": b"*0\r\n",
    "nil array": b"*-1\r\n",
    "null": b"_\r\n",
    "double": b",3.14\r\n",
    "boolean": b"#t\r\n",
    "big": b"(34928903284092385\r\n",
    "bulk error": b"!5\r\nERR a\r\n",
    "verbatim": b"=8\r\ntxt:text\r\n",
    "map": b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
    "set": b"~2\r\n+a\r\n+b\r\n",
    "attribute": b"|1\r\n+ttl\r\n:9\r\n$1\r\nx\r\n",
    "deep": b"*2\r\n*1\r\n*1\r\n%1\r\n+k\r\n~0\r\n$1\r\nz\r\n",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_an_answer_of_any_kind_is_one_wherever_it_is_split_in_two(frame: bytes) -> None:
    whole = answered(talk := Conversation(), one(talk, "GET a"), frame)
    for at in range(1, len(frame)):
        assert frame_end(frame[:at]) is None
        talk = Conversation()
        talk.release(one(talk, "GET a"))
        assert talk.feed_server(frame[:at]) == []
        (delivery,) = talk.feed_server(frame[at:] + b"+next\r\n")[:1]
        assert (delivery.raw, delivery.answer) == (frame, whole)


def test_requests_are_complete_with_their_last_byte_however_they_are_cut() -> None:
    data = asks("SET a 1", "GET a", "LRANGE list 0 -1")
    for size in range(1, len(data)):
        talk, found = Conversation(), list[Request]()
        for at in range(0, len(data), size):
            found += talk.feed_client(data[at : at + size])
        assert [each.text for each in found] == ["SET a 1", "GET a", "LRANGE list 0 -1"]
        assert b"".join(each.raw for each in found) == data
        assert [each.changes for each in found] == [True, False, False]
        assert {each.target for each in found} == {"a", "list"}


ANSWERS = [
    (b"+OK\r\n", "answers OK", True),
    (b":7\r\n", "answers 7", True),
    (b"$-1\r\n", "answers nil", False),
    (b"*-1\r\n", "answers nil", False),
    (b"_\r\n", "answers nil", False),
    (b":-1\r\n", "answers -1", True),
    (b"-MOVED 1 x\r\n", "error MOVED", False),
]


@pytest.mark.parametrize(("data", "shown", "wrote"), ANSWERS)
def test_what_a_command_came_to(data: bytes, shown: str, wrote: bool) -> None:
    answer = answered(talk := Conversation(), one(talk, "SET a 1 NX"), data)
    assert (str(answer), answer.wrote) == (shown, wrote)
    assert not answered(talk, one(talk, "GET a"), data).wrote


def test_what_is_queued_goes_on_and_the_choice_is_exec() -> None:
    talk = Conversation()
    found = talk.feed_client(asks("WATCH a", "MULTI", "SET a 1", "BLPOP q 0", "EXEC", "GET a"))
    assert [each.visible for each in found] == [True, False, False, False, True, True]
    assert found[4].text == "EXEC; SET a 1; BLPOP q 0" and not found[3].waits
    assert answered(talk, found[4], b"*2\r\n+OK\r\n*-1\r\n").wrote
    aborted = Conversation().feed_client(asks("MULTI", "SET a 1", "DISCARD", "SET b 1"))
    assert [each.visible for each in aborted] == [False, False, False, True]


@pytest.mark.parametrize("line", ["HELLO 3", "AUTH x", "SELECT 1", "PING", "CLIENT SETNAME x"])
def test_what_concerns_only_the_connection_passes(line: str) -> None:
    assert not one(Conversation(), line).visible
    assert one(Conversation(), "CLIENT KILL ID 4").visible


WAITING = [
    ("BLPOP q 5", "BLPOP q 0", "5 s"),
    ("brpop q p 0.25", "brpop q p 0", "0.25 s"),
    ("BLPOP q 0", "BLPOP q 0", FOR_EVER),
    ("BLMOVE a b LEFT RIGHT 3", "BLMOVE a b LEFT RIGHT 0", "3 s"),
    ("BZMPOP 7 1 z MIN", "BZMPOP 0 1 z MIN", "7 s"),
    ("XREAD COUNT 1 BLOCK 900 STREAMS s $", "XREAD COUNT 1 BLOCK 0 STREAMS s $", "900 ms"),
    ("XREADGROUP GROUP g c block 0 STREAMS s >", None, FOR_EVER),
    ("XREAD STREAMS s 0", None, ""),
    ("WAIT 0 500", "WAIT 0 1", ""),
    ("WAIT 1 0", "WAIT 1 0", FOR_EVER),
    ("LPOP q", None, ""),
]


@pytest.mark.parametrize(("asked", "sent", "waits"), WAITING)
def test_a_command_that_waits_is_known_and_its_timeout_is_a_choice(
    asked: str, sent: str | None, waits: str
) -> None:
    request = one(Conversation(), asked)
    assert request.waits == waits and request.text.split()[1:] == asked.split()[1:]
    expected = (sent or asked).replace("block 0", "block 0").encode().split()
    assert list(strings(request.raw)) == expected


def test_who_subscribes_is_answered_for_each_channel_and_told_messages_unasked() -> None:
    for mark in (b"*", b">"):  # as RESP2 and RESP3 say it

        def told(kind: str, channel: str, more: str, mark: bytes = mark) -> bytes:
            rest = f":{more}\r\n" if more.isdigit() else f"${len(more)}\r\n{more}\r\n"
            words = f"3\r\n${len(kind)}\r\n{kind}\r\n${len(channel)}\r\n{channel}\r\n{rest}"
            return mark + words.encode()

        talk = Conversation()
        # Before it has joined anything, what looks like a message is an answer.
        answered(talk, one(talk, "LRANGE a 0 -1"), b"*1\r\n$7\r\nmessage\r\n")
        both = told("subscribe", "a", "1") + told("subscribe", "b", "2")
        answered(talk, one(talk, "SUBSCRIBE a b"), both)
        assert talk.listens
        message = told("message", "a", "hi")
        (delivery,) = talk.feed_server(message)
        assert (delivery.raw, delivery.answer) == (message, None)
        # Of all channels, with a message in between.
        talk.release(one(talk, "UNSUBSCRIBE"))
        left = told("unsubscribe", "a", "1"), message, told("unsubscribe", "b", "0")
        found = [each.answer is None for data in left for each in talk.feed_server(data)]
        assert found == [True, True, False]
        answered(talk, one(talk, "UNSUBSCRIBE"), told("unsubscribe", "", "0"))


def test_an_invalidation_answers_nothing() -> None:
    talk = Conversation()
    talk.release(one(talk, "GET a"))
    push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
    found = talk.feed_server(push + b"$1\r\n1\r\n")
    assert [(each.raw == push, each.answer is None) for each in found] == [
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"PING\r\n", "inline"),
        (asks("PING") + b"GET a\r\n", "inline"),
        (asks("MONITOR"), "MONITOR is not held: it never ends"),
        (asks("PSYNC ? -1"), "replication"),
        (asks("SHUTDOWN"), "belongs to the run"),
        (asks("CLIENT REPLY OFF"), "CLIENT REPLY"),
        (b"*1\r\n$x\r\n", "no number"),
        (b"*1\r\n$99999999999\r\n", "larger"),
        (b"*1\r\n?\r\n", "not RESP"),
    ],
)
def test_what_is_not_held_is_refused_by_its_name(data: bytes, named: str) -> None:
    with pytest.raises(WireError, match=named):
        Conversation().feed_client(data)


def test_an_answer_that_is_cut_is_lost() -> None:
    talk = Conversation()
    assert talk.lost() is None
    talk.release(one(talk, "SET a 1"))
    talk.feed_server(b"+O")
    assert str(talk.lost()) == "lost" and talk.lost() is None


DIFFERS = [
    "8d6e4c0a-9a50-4a2f-8d7d-9f1100000000",
    "9f86d081884c7d65",
    "1768816800",
    "1768816800123",
]


def test_tokens_and_times_are_left_out_of_labels_and_of_what_is_compared() -> None:
    for word in DIFFERS:
        talk = Conversation()
        request = one(talk, f"SET lock {word} NX")
        assert request.text == "SET lock * NX"
        assert str(answered(talk, request, f"+{word}\r\n".encode())) == "answers *"
    for amount in ("99999999999999999999", "123456789012", "1234567890123456"):
        assert one(Conversation(), f"SET n {amount}").text == f"SET n {amount}"


def frames() -> st.SearchStrategy[bytes]:
    words = st.binary(max_size=9).map(lambda each: b"$%d\r\n%b\r\n" % (len(each), each))
    leaves = words | st.sampled_from([b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"_\r\n", b"*-1\r\n"])

    def several(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
        lists = st.lists(inner, max_size=3)
        maps = st.lists(st.tuples(inner, inner).map(b"".join), max_size=2)
        return lists.map(lambda each: b"*%d\r\n%b" % (len(each), b"".join(each))) | maps.map(
            lambda each: b"%%%d\r\n%b" % (len(each), b"".join(each))
        )

    return st.recursive(leaves, several, max_leaves=6)


def cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    ends = sorted({min(each, len(data)) for each in cuts} | {len(data)})
    return (data[start:end] for start, end in zip([0, *ends], ends, strict=False))


# Neither a slow machine nor a busy one says anything about framing.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(frames(), max_size=5), st.lists(st.integers(0, 120), max_size=8))
def test_any_answers_are_the_same_however_they_are_cut(said: list[bytes], cuts: list[int]) -> None:
    talk = Conversation()
    found = [each.raw for part in cut(b"".join(said), cuts) for each in talk.feed_server(part)]
    assert found == said
