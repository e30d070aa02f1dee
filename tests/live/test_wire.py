"""The framing of PostgreSQL's protocol: what is one request, and when is it answered."""

from __future__ import annotations

import pytest

from harness.live import ports, wire
from harness.live.ports import Request, WireError
from harness.live.wire import Answer, Conversation
from tests.live import postgres_bytes as pg


def connected() -> Conversation:
    conversation = Conversation()
    (startup,) = conversation.feed_client(pg.STARTUP)
    assert startup.kind == wire.STARTUP
    conversation.feed_server(pg.GREETING)
    assert conversation.ready
    return conversation


def asked(conversation: Conversation, data: bytes) -> list[tuple[str, str]]:
    return [(each.kind, each.text) for each in conversation.feed_client(data)]


def one(conversation: Conversation, data: bytes) -> Request:
    (request,) = conversation.feed_client(data)
    return request


def answered(conversation: Conversation, request: Request, data: bytes) -> Answer:
    """Release a request; its answer, which must be complete with exactly these bytes."""
    assert conversation.release(request)
    assert all(each.answer is None for each in conversation.feed_server(data[:-1]))
    deliveries = conversation.feed_server(data[-1:])
    (answer,) = [each.answer for each in deliveries if each.answer is not None]
    assert isinstance(answer, Answer)
    return answer


def test_encryption_is_asked_for_before_the_start_and_a_password_after_it() -> None:
    conversation = Conversation()
    kinds = [each.kind for each in conversation.feed_client(pg.SSL + pg.GSS + pg.STARTUP)]
    assert kinds == [wire.ENCRYPTION, wire.ENCRYPTION, wire.STARTUP]
    assert one(conversation, pg.message("p", b"secret\0")).kind == wire.AUTHENTICATION
    conversation.feed_server(pg.GREETING)
    assert conversation.ready and conversation.backend_pid == 4711


def test_a_cancel_has_a_connection_of_its_own() -> None:
    request = one(Conversation(), pg.packet(80877102, bytes(8)))
    assert request.kind == ports.CANCEL and request.visible


def test_a_request_is_complete_with_its_last_byte_however_it_is_cut() -> None:
    data = pg.query("select 1") + pg.parse("select 2") + pg.bind() + pg.execute() + pg.SYNC
    conversation = connected()
    found: list[tuple[str, str]] = []
    for at in range(len(data)):
        found += asked(conversation, data[at : at + 1])
    assert found == [(wire.QUERY, "select 1"), (wire.EXTENDED, "select 2")]
    assert asked(connected(), data) == found


def test_the_raw_bytes_of_all_requests_are_what_the_client_sent() -> None:
    data = (
        pg.query("select 1")
        + pg.parse("select 2")
        + pg.FLUSH
        + pg.bind()
        + pg.execute()
        + pg.SYNC
        + pg.TERMINATE
    )
    requests = connected().feed_client(data)
    assert b"".join(each.raw for each in requests) == data
    kinds = [each.kind for each in requests]
    assert kinds == [wire.QUERY, wire.FLUSH, wire.EXTENDED, ports.TERMINATE]


def test_a_pipeline_has_a_request_for_each_sync() -> None:
    conversation = connected()
    data = pg.parse("update t set a = $1", "u") + pg.bind("u") + pg.execute() + pg.SYNC
    again = pg.bind("u") + pg.execute() + pg.bind("u") + pg.execute() + pg.SYNC
    assert asked(conversation, data + again) == [
        (wire.EXTENDED, "update t set a = $1"),
        (wire.EXTENDED, "update t set a = $1; update t set a = $1"),
    ]


def test_an_answer_is_complete_when_the_server_is_ready() -> None:
    conversation = connected()
    request = one(conversation, pg.query("update t set a = 1; select a from t"))
    data = pg.tag("UPDATE 2") + pg.columns(23) + pg.row("1") + pg.tag("SELECT 1") + pg.ready("T")
    answer = answered(conversation, request, data)
    assert answer.tags == ("UPDATE 2", "SELECT 1")
    assert (answer.rows, answer.transaction, answer.error) == (1, "T", "")


def test_an_error_tells_its_sqlstate() -> None:
    conversation = connected()
    request = one(conversation, pg.query("select"))
    assert answered(conversation, request, pg.error("40P01") + pg.ready("E")).error == "40P01"
    assert conversation.transaction == "E"


def test_a_server_that_goes_away_answers_with_its_last_error() -> None:
    conversation = connected()
    conversation.release(one(conversation, pg.query("select 1")))
    conversation.feed_server(pg.error("57P01", "FATAL"))
    answer = conversation.lost()
    assert answer is not None and answer.error == "57P01"
    assert conversation.lost() is None


def test_a_flush_group_is_answered_by_as_many_messages_as_it_asked_for() -> None:
    conversation = connected()
    request = one(conversation, pg.parse("select 1", "s") + pg.describe("s") + pg.FLUSH)
    assert request.replies == 2
    # ParameterDescription comes before the RowDescription that answers Describe.
    data = pg.message("1") + pg.message("t", bytes(2)) + pg.columns(23)
    answered(conversation, request, data)
    request = one(conversation, pg.bind("s") + pg.execute() + pg.FLUSH)
    answer = answered(
        conversation, request, pg.message("2") + pg.row("1") + pg.row("2") + pg.tag("SELECT 2")
    )
    assert answer.rows == 2
    request = one(conversation, pg.SYNC)
    assert not request.visible
    answered(conversation, request, pg.ready())


def test_nothing_answers_a_lone_flush_nor_a_flush_group_after_an_error() -> None:
    conversation = connected()
    assert not conversation.release(one(conversation, pg.FLUSH))
    failing = one(conversation, pg.parse("selec") + pg.bind() + pg.execute() + pg.FLUSH)
    assert answered(conversation, failing, pg.error("42601")).error == "42601"
    assert not conversation.release(one(conversation, pg.parse("select 1") + pg.FLUSH))
    answered(conversation, one(conversation, pg.SYNC), pg.ready())
    assert conversation.release(one(conversation, pg.parse("select 1") + pg.FLUSH))


@pytest.mark.parametrize("end", ["c", "f"])
def test_copying_in_is_two_requests(end: str) -> None:
    conversation = connected()
    request = one(conversation, pg.query("copy t from stdin"))
    begun = answered(conversation, request, pg.message("G", bytes(3)))
    assert begun.tags == ("COPY begins",)
    assert asked(conversation, pg.copy_data("1\n") + pg.copy_data("2\n")) == []
    data = one(conversation, pg.message(end, b"no\0" if end == "f" else b""))
    assert (data.kind, data.text, data.visible) == (wire.COPY, "copy data", True)
    assert data.raw.count(b"\n") == 2
    answer = answered(conversation, data, pg.tag("COPY 2") + pg.ready())
    assert answer.tags == ("COPY 2",)
    assert asked(conversation, pg.query("select 1")) == [(wire.QUERY, "select 1")]


def test_copying_in_by_the_extended_protocol_ends_with_its_sync() -> None:
    conversation = connected()
    sql = "copy t from stdin"
    request = one(conversation, pg.parse(sql) + pg.bind() + pg.execute() + pg.SYNC)
    begins = pg.message("1") + pg.message("2") + pg.message("G", bytes(3))
    answered(conversation, request, begins)
    assert asked(conversation, pg.copy_data("1\n") + pg.message("c")) == []
    data = one(conversation, pg.SYNC)
    assert data.kind == wire.COPY
    assert answered(conversation, data, pg.tag("COPY 1") + pg.ready()).tags == ("COPY 1",)
    assert asked(conversation, pg.SYNC) == [(wire.EXTENDED, "")]


def test_what_is_copied_out_counts_as_rows() -> None:
    conversation = connected()
    request = one(conversation, pg.query("copy t to stdout"))
    data = pg.message("H", bytes(3)) + pg.copy_data("1\n") + pg.copy_data("2\n")
    answer = answered(conversation, request, data + pg.message("c") + pg.tag("COPY 2") + pg.ready())
    assert answer.rows == 2 and answer.tags == ("COPY 2",)


def test_a_notification_that_nobody_asked_for_is_delivered_without_an_answer() -> None:
    conversation = connected()
    request = one(conversation, pg.query("listen ticks"))
    assert request.visible
    answered(conversation, request, pg.tag("LISTEN") + pg.ready())
    assert conversation.listens
    (delivery,) = conversation.feed_server(pg.message("A", bytes(4) + b"ticks\0\0"))
    assert delivery.answer is None


def test_values_that_differ_from_run_to_run_are_not_in_the_digest() -> None:
    def digest(*values: str | None, types: tuple[int, ...]) -> str:
        conversation = connected()
        request = one(conversation, pg.query("select * from t"))
        data = pg.columns(*types) + pg.row(*values) + pg.tag("SELECT 1") + pg.ready()
        return answered(conversation, request, data).rows_digest

    now, xid, number, uuid = 1184, 28, 23, 2950
    assert digest("5", "noon", types=(number, now)) == digest("5", "night", types=(number, now))
    assert digest("5", "7", types=(number, xid)) == digest("5", "8", types=(number, xid))
    assert digest("5", "a", types=(number, uuid)) == digest("5", "b", types=(number, uuid))
    assert digest("5", "noon", types=(number, now)) != digest("6", "noon", types=(number, now))
    assert digest("5", None, types=(number, now)) != digest("5", "noon", types=(number, now))
    assert digest("ab", "c", types=(25, 25)) != digest("a", "bc", types=(25, 25))


@pytest.mark.parametrize(
    ("sql", "visible"),
    [
        ("begin", False),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE;", False),
        ("/* why */ set search_path to x -- and so on", False),
        ("", False),
        ("release a", False),
        ("begin; update t set a = 1", True),
        ("set constraints all immediate", True),
        ("rollback to a", True),
        ("commit", True),
        ("select 1", True),
        ("settle()", True),
        ("discard all", True),
    ],
)
def test_only_what_nobody_else_can_notice_is_invisible(sql: str, visible: bool) -> None:
    assert one(connected(), pg.query(sql)).visible is visible


def test_preparing_a_statement_is_invisible_and_a_function_call_is_not() -> None:
    conversation = connected()
    assert not one(conversation, pg.parse("update t set a = 1", "u") + pg.SYNC).visible
    assert one(conversation, pg.message("F", bytes(10))).visible
    assert one(conversation, pg.bind("u") + pg.execute() + pg.SYNC).visible


def test_bytes_of_another_protocol_are_refused() -> None:
    with pytest.raises(WireError, match="no PostgreSQL client"):
        Conversation().feed_client(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(WireError, match="no PostgreSQL message"):
        connected().feed_client(b"Q\xff\xff\xff\xff")
    with pytest.raises(WireError, match="replication"):
        connected().feed_server(pg.message("W", bytes(3)))


def test_a_request_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "REQUEST_MAX", 1000)
    conversation = connected()
    conversation.feed_client(pg.parse("select 1") * 50)
    with pytest.raises(WireError, match="larger than"):
        conversation.feed_client(pg.parse("select 1") * 50)
