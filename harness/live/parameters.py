"""The values of parameters, cut out of the messages of the extended protocol of PostgreSQL.

After https://www.postgresql.org/docs/15/protocol-message-formats.html (Parse, Bind, Execute).
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from harness.live.catalogue import canonical
from harness.live.wire import messages, text_at

_INTEGERS, _TEXTS, _UUID = (20, 21, 23), (25, 1043), 2950


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value as it was sent; ``type_oid`` is 0 if the client has not said what it is."""

    value: bytes | None = None
    is_binary: bool = False
    type_oid: int = 0

    def text(self, kind: str) -> str | None:
        """The canonical text that it has as a value of this kind; nothing if that is not sure."""
        try:
            text = self._text(kind, self.value or b"")
        except ValueError:
            return None
        return None if text is None or self.value is None else canonical(kind, text)

    def _text(self, kind: str, value: bytes) -> str | None:
        if not self.is_binary or (kind == "text" and self.type_oid in _TEXTS):
            return value.decode()
        if kind == "int" and self.type_oid in _INTEGERS:
            return str(int.from_bytes(value, "big", signed=True))
        return str(uuid.UUID(bytes=value)) if (kind, self.type_oid) == ("uuid", _UUID) else None


def bound(raw: bytes) -> list[tuple[Parameter, ...]]:
    """The parameters of each Execute in a group of messages; none if they were bound elsewhere."""
    types: dict[str, tuple[int, ...]] = {}
    portals: dict[str, tuple[Parameter, ...]] = {}
    found: list[tuple[Parameter, ...]] = []
    for kind, message in messages(bytearray(raw)):
        if kind == ord("P"):
            name, offset = text_at(message, 5)
            offset = text_at(message, offset)[1]
            count = struct.unpack_from(">H", message, offset)[0]
            types[name] = struct.unpack_from(f">{count}I", message, offset + 2)
        elif kind == ord("B"):
            portal, offset = text_at(message, 5)
            statement, offset = text_at(message, offset)
            portals[portal] = tuple(_values(message, offset, types.get(statement, ())))
        elif kind == ord("E"):
            found.append(portals.get(text_at(message, 5)[0], ()))
    return found


def _values(message: bytes, offset: int, types: tuple[int, ...]) -> list[Parameter]:
    count = struct.unpack_from(">H", message, offset)[0]
    formats = struct.unpack_from(f">{count}H", message, offset + 2)
    offset += 2 + 2 * count
    found: list[Parameter] = []
    for index in range(struct.unpack_from(">H", message, offset)[0]):
        length = struct.unpack_from(">i", message, offset + 2)[0]
        value = None if length < 0 else message[offset + 6 : offset + 6 + length]
        offset += 4 + max(length, 0)
        # One format stands for all; none for text.
        form = formats[index] if index < len(formats) > 1 else sum(formats[:1])
        found.append(Parameter(value, bool(form), types[index] if index < len(types) else 0))
    return found
