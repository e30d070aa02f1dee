"""One short name for a whole state.

Two states have the same digest exactly if they are equal: numbers are written by value, mappings
in the order of their keys, and nothing depends on addresses, hashes or insertion order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256

from target_stub.core.money import plain
from target_stub.core.orders import Position
from target_stub.core.state import AppliedIds, State


def digest(state: State) -> str:
    """The sha256 of the canonical form of a state, as 64 hexadecimal digits."""
    return sha256(canonical(state).encode()).hexdigest()


def canonical(value: object) -> str:
    """The canonical written form of anything a state consists of; TypeError on anything else."""
    if value is None:
        return "-"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, str):
        return f"{len(value)}:{value}"
    if isinstance(value, int):
        return str(int(value))
    return _composed(value)


# Most of a populated exchange is positions that did not change; equal ones are written alike, so
# remembering them by value cannot change a digest.
@lru_cache(maxsize=16_384)
def _position(position: Position) -> str:
    size, cost, index = position.size, position.cost_usdc, position.cached_funding_index
    return f"[{plain(size)},{plain(cost)},{plain(index)}]"


def _composed(value: object) -> str:
    if isinstance(value, Position):
        return _position(value)
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{k}={canonical(value[k])}" for k in sorted(value)]) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join([canonical(item) for item in value]) + ")"
    if isinstance(value, AppliedIds):
        return f"{value.count}/{value.checksum}"
    return "[" + ",".join([canonical(getattr(value, name)) for name in _names(type(value))]) + "]"


_NAMES: dict[type, tuple[str, ...]] = {}


def _names(kind: type) -> tuple[str, ...]:
    # Raises TypeError for a type that is no dataclass: better no digest than one by address.
    if kind not in _NAMES:
        _NAMES[kind] = tuple(field.name for field in fields(kind))
    return _NAMES[kind]
