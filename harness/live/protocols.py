"""The protocols that services can be asked by, besides that of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from harness.errors import UsageError, closest
from harness.live.ports import Port

#: Where the framing of each protocol is; each is a ``Conversation``.
PROTOCOLS = {"http": "harness.live.http1", "redis": "harness.live.resp"}


def check_protocol(name: str) -> None:
    """Raise :class:`UsageError` if there is no such protocol."""
    if name not in PROTOCOLS:
        raise closest(name, PROTOCOLS, kind="protocol")


def framing(name: str) -> Callable[[], Port]:
    """What makes a port of a protocol; :class:`UsageError` says what has to be installed for it."""
    try:
        return cast(Callable[[], Port], import_module(PROTOCOLS[name]).Conversation)
    except ImportError as error:
        raise UsageError(f"{name} needs {error.name}: pip install 'changeover[live]'") from None
