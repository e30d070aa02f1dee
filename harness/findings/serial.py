"""A finding as JSON and back, without loss.

The file says ``"format": 1``. A file that is damaged, lacks a field or has one of the wrong type is
refused by name of the field; one of a newer format is refused with the way out. Nothing is ever
guessed: a half-read finding would replay another run than the one that broke.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from harness.errors import UsageError, closest
from harness.findings.finding import FORMAT, Finding
from harness.history import Event
from harness.schedule.choices import Schedule

Record = TypeVar("Record")
#: The types of the fields of a record; looking them up costs more than reading a whole event.
_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


class UnreadableError(UsageError):
    """A file that holds no finding: damaged, incomplete or of another kind."""


class NewerFormatError(UsageError):
    """A file that a newer version wrote; nothing is wrong with it."""


def encode(finding: Finding) -> dict[str, object]:
    """The finding as JSON values, with its format."""
    plain = _plain(finding)
    assert isinstance(plain, dict)
    return {"format": FORMAT, **plain}


def decode(data: object) -> Finding:
    """The finding of JSON values; raises :class:`UsageError` that names what is wrong."""
    if not isinstance(data, dict):
        raise UnreadableError(f"a finding is a JSON object, not {_kind(data)}")
    _check_format(data)
    body = {name: value for name, value in data.items() if name != "format"}
    finding = _record(Finding, body, at="")
    if not finding.violations:
        raise UnreadableError("field 'violations' is empty; a finding has at least one")
    if len(finding.digest) < 6 or set(finding.digest) - set("0123456789abcdef"):
        raise UnreadableError(f"field 'digest' is not a hexadecimal digest: {finding.digest!r}")
    try:
        Schedule.parse(finding.token)
    except UsageError as error:
        raise UnreadableError(f"field 'token': {error}") from None
    return finding


def dumps(finding: Finding) -> str:
    """The finding as text: one field a line, one event a line, so that two files compare well."""
    lines = (f" {_text(name)}: {_lines(value)}" for name, value in encode(finding).items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def loads(text: str) -> Finding:
    """The finding of a text; raises :class:`UsageError` that names what is wrong."""
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"not JSON: {error}") from None
    return decode(data)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _check_format(data: Mapping[str, object]) -> None:
    found = data.get("format")
    if type(found) is not int or found < 1:
        raise UnreadableError(f"field 'format' must be a number from 1, not {found!r}")
    if found > FORMAT:
        token = data.get("token")
        way_out = f", or replay by its token {token}" if isinstance(token, str) and token else ""
        raise NewerFormatError(
            f"written by a newer changeover (format {found}, this one reads up to {FORMAT}); "
            f"upgrade{way_out}"
        )


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _lines(value: object) -> str:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n  " + ",\n  ".join(_text(item) for item in value) + "\n ]"
    return _text(value)


def _plain(value: object) -> object:
    if isinstance(value, Event):
        value = value.rendered()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: value[key] for key in sorted(value)}
    return value


def _record(kind: type[Record], data: object, *, at: str) -> Record:
    if not isinstance(data, dict):
        raise _misfit(at, "an object", data)
    hints = _hints(kind)
    for name in data:
        if name not in hints:
            raise UnreadableError(str(closest(_path(at, name), _paths(at, hints), kind="field")))
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        path = _path(at, field.name)
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name], at=path)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UnreadableError(f"field {path!r} is missing")
    return kind(**values)


def _path(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _paths(at: str, names: Mapping[str, object]) -> list[str]:
    return [_path(at, name) for name in names]


def _value(hint: Any, data: object, *, at: str) -> object:
    if is_dataclass(hint):
        return _record(hint, data, at=at)  # type: ignore[arg-type]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return None if data is None else _value(inner[0], data, at=at)
    if origin is tuple:
        return _items(inner, data, at=at)
    if origin is Mapping:
        if not isinstance(data, dict):
            raise _misfit(at, "an object", data)
        return {key: _value(str, item, at=_path(at, key)) for key, item in data.items()}
    return _SCALARS[hint](data, at)


def _items(inner: tuple[Any, ...], data: object, *, at: str) -> tuple[object, ...]:
    if not isinstance(data, list):
        raise _misfit(at, "a list", data)
    hints = [inner[0]] * len(data) if inner[-1] is Ellipsis else list(inner)
    if len(hints) != len(data):
        raise _misfit(at, f"a list of {len(hints)}", data)
    return tuple(
        _value(hint, item, at=f"{at}[{index}]")
        for index, (hint, item) in enumerate(zip(hints, data, strict=True))
    )


def _scalar(kind: type, words: str) -> Callable[[object, str], object]:
    def check(data: object, at: str) -> object:
        if kind is float and type(data) is int:
            return float(data)
        if type(data) is not kind:
            raise _misfit(at, words, data)
        return data

    return check


_SCALARS: dict[type, Callable[[object, str], object]] = {
    str: _scalar(str, "a text"),
    object: _scalar(str, "a text"),  # a value of an event, which a file holds as text
    int: _scalar(int, "a whole number"),
    float: _scalar(float, "a number"),
    bool: _scalar(bool, "true or false"),
}


def _misfit(at: str, wanted: str, data: object) -> UnreadableError:
    return UnreadableError(f"field {at!r} must be {wanted}, not {_kind(data)}")


def _kind(data: object) -> str:
    if isinstance(data, list):
        return f"a list of {len(data)}"
    if isinstance(data, dict):
        return "an object"
    shown = json.dumps(data)
    return shown if len(shown) <= 40 else shown[:40] + "..."
