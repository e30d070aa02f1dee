"""The framing of HTTP/1.1: what is one request, and when is it answered."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.live.ports import Delivery, Request, WireError

pytest.importorskip("h11", reason="needs h11: pip install 'changeover[live]'")

from harness.live import http1
from harness.live.http1 import Conversation, HttpAnswer

GET = b"GET /accounts/1?sort=asc HTTP/1.1\r\nHost: x\r\n\r\n"
PUT = b"PUT /bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /blocks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;name=value\r\nde\r\n0\r\nTrailer: yes\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
OK_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
)


def one(data: bytes, talk: Conversation | None = None) -> Request:
    (request,) = (talk or Conversation()).feed_client(data)
    return request


def answered(talk: Conversation, request: Request, data: bytes) -> HttpAnswer:
    """Release a request; its answer, which must be complete with exactly these bytes."""
    assert talk.release(request)
    early, late = talk.feed_server(data[:-1]), talk.feed_server(data[-1:])
    assert all(each.answer is None for each in early)
    assert b"".join(each.raw for each in [*early, *late]) == data
    (answer,) = [each.answer for each in late if each.answer is not None]
    assert isinstance(answer, HttpAnswer)
    return answer


@pytest.mark.parametrize("size", [1, 2, 7])
def test_requests_are_complete_with_their_last_byte_however_they_are_cut(size: int) -> None:
    data = GET + PUT + CHUNKED
    talk, found = Conversation(), list[Request]()
    for at in range(0, len(data), size):
        found += talk.feed_client(data[at : at + size])
    assert [each.raw for each in found] == [GET, PUT, CHUNKED]
    texts = ["GET /accounts/1?sort=asc", "PUT /bucket/key", "POST /blocks"]
    assert [each.text for each in found] == texts
    assert [each.target for each in found] == ["accounts/1", "bucket/key", "blocks"]
    assert all(each.visible for each in found)


@pytest.mark.parametrize("data", [GET, PUT, CHUNKED], ids=["head", "length", "chunks"])
def test_a_request_is_one_wherever_it_is_split_in_two(data: bytes) -> None:
    for at in range(1, len(data)):
        talk = Conversation()
        assert talk.feed_client(data[:at]) == []
        assert one(data[at:], talk).raw == data


@pytest.mark.parametrize("data", [OK, OK_CHUNKED], ids=["length", "chunks"])
def test_an_answer_is_one_wherever_it_is_split_in_two(data: bytes) -> None:
    whole = answered(talk := Conversation(), one(GET, talk), data)
    assert (whole.status, whole.size, whole.wrote) == (200, 5, False)
    for at in range(1, len(data)):
        talk = Conversation()
        talk.release(one(GET, talk))
        found = [*talk.feed_server(data[:at]), *talk.feed_server(data[at:])]
        assert b"".join(each.raw for each in found) == data
        assert [each.answer for each in found if each.answer] == [whole]


def test_a_connection_is_kept_for_one_request_after_the_other() -> None:
    talk = Conversation()
    for data, wrote in ((GET, False), (PUT, True), (CHUNKED, True), (GET, False)):
        assert answered(talk, one(data, talk), OK).wrote is wrote


def test_who_asks_whether_the_body_is_wanted_is_told_so_once() -> None:
    head, body = (
        PUT.replace(b"Content", b"Expect: 100-continue\r\nContent").split(b"hello")[0],
        b"h",
    )
    talk = Conversation()
    asks = one(head, talk)
    assert talk.beginning(asks) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert talk.feed_client(body) == []
    request = one(b"ello", talk)
    assert request.raw == head + b"hello" and talk.beginning(request) is None
    # What the server says to it is not said twice.
    talk.release(request)
    (delivery,) = talk.feed_server(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    assert delivery.raw == OK and str(delivery.answer).startswith("200")


def test_who_sends_the_body_without_waiting_is_not_told() -> None:
    data = PUT.replace(b"Content", b"Expect: 100-continue\r\nContent")
    assert one(data).raw == data


def test_other_answers_on_the_way_are_handed_on() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    talk = Conversation()
    talk.release(one(GET, talk))
    (delivery,) = talk.feed_server(hint + OK)
    assert delivery.raw == hint + OK and delivery.answer is not None


def test_the_answer_to_head_has_a_length_and_no_body() -> None:
    talk = Conversation()
    head = one(GET.replace(b"GET", b"HEAD"), talk)
    answer = answered(talk, head, OK.removesuffix(b"hello"))
    assert (answer.status, answer.size) == (200, 0)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_never_have_a_body(status: str) -> None:
    talk = Conversation()
    data = f"HTTP/1.1 {status}\r\nETag: 1\r\n\r\n".encode()
    assert answered(talk, one(PUT, talk), data).size == 0


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    talk = Conversation()
    talk.release(one(GET, talk))
    (delivery,) = talk.feed_server(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
    assert delivery.answer is None
    answer = talk.lost()
    assert isinstance(answer, HttpAnswer) and (answer.status, answer.size) == (200, 5)
    assert talk.lost() is None


@pytest.mark.parametrize("data", [b"", OK[:-1], OK_CHUNKED[:-5]])
def test_an_answer_that_is_cut_is_lost(data: bytes) -> None:
    talk = Conversation()
    talk.release(one(PUT, talk))
    talk.feed_server(data)
    lost = talk.lost()
    assert str(lost) == "lost" and lost is not None and not lost.wrote


def test_what_a_server_says_unasked_is_handed_on() -> None:
    late = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
    assert Conversation().feed_server(late) == [Delivery(late)]


def test_a_refused_write_has_written_nothing() -> None:
    talk = Conversation()
    refused = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"
    answer = answered(talk, one(PUT, talk), refused)
    assert str(answer) == "412" and not answer.wrote


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"CONNECT example:443 HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT"),
        (b"\x16\x03\x01 is a greeting of TLS\r\n\r\n", "not HTTP/1.1"),
    ],
)
def test_what_is_not_held_is_refused_by_its_name(data: bytes, named: str) -> None:
    with pytest.raises(WireError, match=named):
        Conversation().feed_client(data)


def test_a_switch_of_protocols_is_refused() -> None:
    talk = Conversation()
    talk.release(
        one(GET.replace(b"Host", b"Upgrade: websocket\r\nConnection: upgrade\r\nHost"), talk)
    )
    switch = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    with pytest.raises(WireError, match="101"):
        talk.feed_server(switch)


def test_an_offer_to_switch_that_is_declined_is_an_ordinary_request() -> None:
    talk = Conversation()
    offer = one(GET.replace(b"Host", b"Upgrade: h2c\r\nConnection: upgrade\r\nHost"), talk)
    assert answered(talk, offer, OK).status == 200


def test_a_body_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "REQUEST_MAX", 100)
    with pytest.raises(WireError, match="larger than 100 bytes"):
        Conversation().feed_client(PUT.replace(b"5", b"500") + b"x" * 200)


def test_a_label_leaves_out_how_a_request_was_signed() -> None:
    signed = GET.replace(b"sort=asc", b"list-type=2&X-Amz-Date=20260101&X-Amz-Signature=ab%20")
    assert one(signed).text == "GET /accounts/1?list-type=2&X-Amz-Date=*&X-Amz-Signature=*"


TIMES = [
    "2026-01-19T10:00:00Z",
    "2026-01-19 10:00:00.123+00:00",
    "Mon, 19 Jan 2026 10:00:00 GMT",
    "0b9d1c1e-8d6e-4c0a-9a50-4a2f0d7d9f11",
]


def test_what_always_differs_is_left_out_of_what_is_compared() -> None:
    def of(body: str) -> str:
        talk = Conversation()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nDate: {body[:9]}\r\n\r\n"
        return str(answered(talk, one(GET, talk), (head + body).encode()))

    assert len({of(f"<Last>{each}</Last>") for each in TIMES}) == 1
    assert of("<RequestId>AB1</RequestId>") == of("<RequestId>CD23</RequestId>")
    assert of("balance 1") != of("balance 2")


# Neither a slow machine nor a busy one says anything about framing.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(["GET", "PUT", "DELETE"]), st.binary(max_size=40))),
    st.lists(st.integers(0, 400)),
)
def test_any_requests_are_the_same_however_they_are_cut(
    asked: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    parts = [
        f"{method} /{at} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        for at, (method, body) in enumerate(asked)
    ]
    data, talk, found = b"".join(parts), Conversation(), list[Request]()
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    for start, end in zip([0, *ends], ends, strict=False):
        found += talk.feed_client(data[start:end])
    assert [each.raw for each in found] == parts
