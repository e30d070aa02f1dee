"""A finding survives its file; whatever is wrong with a file is named."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from harness.errors import UsageError
from harness.findings import serial
from harness.findings.finding import Finding
from harness.findings.report import render_text
from harness.findings.serial import NewerFormatError, UnreadableError
from tests.findings.generated import findings
from tests.findings.sample import sample


def damaged(**changes: object) -> str:
    """The sample's file with other fields."""
    data = serial.encode(sample())
    data.update(changes)
    return json.dumps(data)


@given(findings())
@settings(max_examples=200, deadline=None)
def test_every_finding_comes_back_equal(finding: Finding) -> None:
    assert serial.loads(serial.dumps(finding)) == finding
    assert serial.decode(serial.encode(finding)) == finding


def test_values_are_written_as_the_run_rendered_them() -> None:
    event = replace(sample().history[0], before=Decimal("0.10"), after=Decimal(0), value=None)
    back = serial.loads(serial.dumps(replace(sample(), history=(event,))))
    assert back.history == (event.rendered(),)
    assert (back.history[0].before, back.history[0].after) == ("0.10", "0")


def test_the_file_says_its_format_and_holds_one_event_a_line() -> None:
    text = serial.dumps(sample())
    assert json.loads(text)["format"] == 1
    lines = [line for line in text.splitlines() if '"operation"' in line and '"kind"' in line]
    assert len(lines) == len(sample().history)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"digest": 7}, "'digest' must be a text, not 7"),
        ({"digest": "9A"}, "'digest' is not a hexadecimal digest"),
        ({"digest": "../../etc"}, "'digest' is not a hexadecimal digest"),
        ({"seed": "4211"}, "'seed' must be a whole number"),
        ({"seed": True}, "'seed' must be a whole number, not true"),
        ({"replays": [3]}, "'replays' must be a list of 2, not a list of 1"),
        ({"shrinking": []}, "'shrinking' must be an object"),
        ({"violations": []}, "'violations' is empty"),
        ({"violations": [{"invariant": "x"}]}, "'violations[0].message' is missing"),
        ({"history": [{"step": "1"}]}, "'history[0].step' must be a whole number"),
        ({"versions": {"trio": 35}}, "'versions.trio' must be a text"),
        ({"token": "what?"}, "'token'"),
        ({"digset": "x"}, "did you mean 'digest'"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        serial.loads(damaged(**change))
    assert named in str(caught.value)


@pytest.mark.parametrize("name", ["scenario", "token", "digest", "violations", "history"])
def test_a_missing_field_is_named(name: str) -> None:
    data = serial.encode(sample())
    del data[name]
    with pytest.raises(UnreadableError, match=f"field '{name}' is missing"):
        serial.decode(data)


def test_a_newer_format_is_refused_with_the_way_out() -> None:
    with pytest.raises(NewerFormatError) as caught:
        serial.loads(damaged(format=2, something_new=[1]))
    assert str(caught.value) == (
        "written by a newer changeover (format 2, this one reads up to 1); upgrade, "
        f"or replay by its token {sample().token}"
    )


@pytest.mark.parametrize("format", [None, 0, "1", 1.0, True])
def test_no_format_is_no_finding(format: object) -> None:
    with pytest.raises(UnreadableError, match="'format'"):
        serial.loads(damaged(format=format))


@pytest.mark.parametrize(
    "text", ["", "{", serial.dumps(sample())[:-40], "[" * 100_000, '{"seconds": NaN}', "[]", "3"]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        serial.loads(text)


def test_a_file_from_before_there_were_constraints_is_read_and_rendered() -> None:
    data = serial.encode(sample())
    for name in ("constraints", "orders_tried"):
        del data[name]
    del data["shrinking"]["tried"]  # type: ignore[attr-defined]
    old = serial.decode(data)
    assert old == sample() and old.constraints == ()
    assert "WHY THIS ORDER" in render_text(old)
