"""What the exchange says, as JSON: exact amounts, and every value comes back as the type it was.

A value that JSON does not know is an object with one member, whose name begins with ``$``: an
amount is ``{"$": "93000.1"}``, so that SQL can read it as ``row -> 'mark_usd' ->> '$'``; a
dataclass or an enumeration of the exchange is named by its class.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from importlib import import_module
from typing import Any

import target_stub.core

#: Where the classes are that are told to others, besides the core.
_SPEAKERS = (
    "target_stub.chain",
    "target_stub.cloud.mode_control",
    "target_stub.cloud.oracle_feed",
)
#: Errors that are raised again as what they were.
_ERRORS: Mapping[str, type[Exception]] = {
    each.__name__: each for each in (ConnectionError, KeyError, TimeoutError, TypeError, ValueError)
}
_AMOUNT, _TUPLE, _SET, _MAP = "$", "$tuple", "$set", "$map"


@cache
def known() -> Mapping[str, type]:
    """Every class that can be told, by its name; TypeError if two have one name."""
    core = target_stub.core
    rooms = [f"{core.__name__}.{each.name}" for each in pkgutil.iter_modules(core.__path__)]
    found: dict[str, type] = {}
    for room in (*rooms, *_SPEAKERS):
        module = import_module(room)
        for name, value in vars(module).items():
            if not isinstance(value, type) or value.__module__ != module.__name__:
                continue
            told = is_dataclass(value) or issubclass(value, Enum | tuple)
            if told and found.setdefault(name, value) is not value:
                raise TypeError(f"two classes of the exchange are called {name}")
    return found


def encode(value: Any) -> str:
    """A value as JSON; TypeError for what no service may tell another one."""
    return json.dumps(_plain(value), separators=(",", ":"))


def decode(text: str | bytes) -> Any:
    """The value that was encoded; ValueError if it was not."""
    return json.loads(text, object_pairs_hook=_value)


def answer_of(status: int, body: bytes) -> Any:
    """What a service has answered by HTTP: a value, or the error with which it refuses."""
    told = decode(body)
    if status == 200:
        return told
    kind, words = told
    return _ERRORS.get(kind, RuntimeError)(words)


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (str, int, bool):
        return value
    if kind in _PLAIN:
        return _PLAIN[kind](value)
    tag = f"${kind.__name__}"
    if kind.__name__ in known():
        if isinstance(value, Enum):
            return {tag: value.value}
        if isinstance(value, tuple):
            return {tag: _parts(value)}
        return {tag: {name: _plain(getattr(value, name)) for name in _names(kind.__name__)}}
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    raise TypeError(f"{kind.__name__} cannot be told to another process: {value!r}")


def _plain_mapping(value: Mapping[Any, Any]) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _plain(each) for key, each in value.items()}
    return {_MAP: [[_plain(key), _plain(each)] for key, each in value.items()]}


def _parts(value: Iterable[Any]) -> list[Any]:
    return [_plain(each) for each in value]


_PLAIN: Mapping[type, Callable[[Any], Any]] = {
    Decimal: lambda value: {_AMOUNT: str(value)},
    tuple: lambda value: {_TUPLE: _parts(value)},
    list: _parts,
    frozenset: lambda value: {_SET: sorted(_parts(value))},
}


@cache
def _names(kind: str) -> tuple[str, ...]:
    return tuple(each.name for each in fields(known()[kind]) if each.init)


_MADE: Mapping[str, Callable[[Any], Any]] = {
    _AMOUNT: Decimal,
    _TUPLE: tuple,
    _SET: frozenset,
    _MAP: dict,
}


def _value(pairs: list[tuple[str, Any]]) -> Any:
    if len(pairs) != 1 or not pairs[0][0].startswith("$"):
        return dict(pairs)
    ((tag, inner),) = pairs
    if tag in _MADE:
        return _MADE[tag](inner)
    kind = known().get(tag[1:])
    if kind is None:
        raise ValueError(f"no class of the exchange is called {tag[1:]!r}")
    if issubclass(kind, Enum):
        return kind(inner)
    return kind(*inner) if issubclass(kind, tuple) else kind(**inner)
