"""Where a search stands, as text: so that another process, another day, goes on exactly there.

What strategies know is plain data: numbers, texts, tuples, lists, mappings, and frozen dataclasses
of their own. It is written as JSON with the names of those classes, never pickled. Whatever else
somebody puts into it cannot be written, and then the search simply begins again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from harness.errors import UsageError
from harness.schedule.strategies.portfolio import Rotation
from harness.schedule.strategies.protocol import Seen

_HOME = "harness.schedule.strategies"
_PLAIN = (str, int, float, bool, type(None))


class StrangeError(UsageError):
    """A text that is not what a search knows."""


def remembered(number: int, seen: Seen, rotation: Rotation) -> str:
    """Where a search stands after ``number`` schedules; empty if that cannot be written."""
    try:
        known = {"number": number, "seen": _encode(seen), "rotation": _encode(_state(rotation))}
    except TypeError:
        return ""
    return json.dumps(known)


def recalled(text: str, rotation: Rotation) -> tuple[int, Seen]:
    """The number and what was seen; brings the rotation to where it was.

    Raises :class:`StrangeError` when the text is of another kind, or of another version.
    """
    try:
        known = json.loads(text)
        number, seen, state = known["number"], _decode(known["seen"]), _decode(known["rotation"])
        if type(number) is not int or not isinstance(seen, Seen):
            raise TypeError("no number, or nothing seen")
        if state.keys() != _state(rotation).keys():
            raise TypeError("the strategies remember other things now")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StrangeError(f"what an earlier search knew cannot be used: {error}") from None
    for name, value in state.items():
        setattr(rotation, name, value)
    return number, seen


def _state(rotation: Rotation) -> dict[str, object]:
    return dict(vars(rotation))


def _encode(value: object) -> object:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, tuple) and type(value) is tuple:
        return {"tuple": [_encode(item) for item in value]}
    if isinstance(value, Mapping):
        return {"map": [[_encode(key), _encode(item)] for key, item in value.items()]}
    if is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        if _classes().get(name) is type(value):
            inner = {each.name: _encode(getattr(value, each.name)) for each in fields(value)}
            return {"class": name, "fields": inner}
    raise TypeError(f"{type(value).__name__} cannot be written")


def _decode(data: Any) -> Any:
    if isinstance(data, _PLAIN):
        return data
    if isinstance(data, list):
        return [_decode(item) for item in data]
    if "tuple" in data:
        return tuple(_decode(item) for item in data["tuple"])
    if "map" in data:
        return {_decode(key): _decode(item) for key, item in data["map"]}
    kind = _classes()[data["class"]]
    return kind(**{name: _decode(item) for name, item in data["fields"].items()})


def _classes() -> dict[str, type]:
    """The dataclasses of the strategies, by name."""
    return {
        name: kind
        for module in [each for each in sys.modules if each.startswith(_HOME)]
        for name, kind in vars(sys.modules[module]).items()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__.startswith(_HOME)
    }
