"""Where an error was raised in the target's own code, and which assertion failed with what.

What a reader can mend is his own file: frames of this harness, of trio and of Python's standard
library are left out, as long as one of the target's remains.
"""

from __future__ import annotations

import ast
import linecache
import sysconfig
import traceback
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from types import TracebackType
from typing import NamedTuple

from harness.history import relative

#: Of a longer stack, as of an endless recursion, so many frames from either end are kept.
OUTERMOST, INNERMOST = 3, 7
#: The longest assertion and the longest value that are shown, in characters.
SOURCE_MAX, VALUE_MAX = 160, 40

_STANDARD = sysconfig.get_path("stdlib")
_PLAIN = (int, float, str, Decimal, type(None))
ASYNCIO = (
    "asyncio is not supported: a target is plain trio, or runs as real processes; "
    "docs/own-service.md and docs/live.md tell how"
)


def site_of(error: BaseException) -> str:
    """The innermost place of the target that an error came from, as ``path:line function``.

    Where a library raised what the target called, that is the call.
    """
    frames = _own(error)
    mine = [frame for frame in frames if "-packages/" not in frame.path]
    return _site((mine or frames)[-1]) if frames else ""


def place_of(error: BaseException) -> str:
    """The innermost place of the target that an error came from, as ``path:line``."""
    return site_of(error).partition(" ")[0]


def stack_of(error: BaseException) -> tuple[str, ...]:
    """The target's frames of an error, the outermost first: ``path:line function``, then source."""
    sources = ((frame, linecache.getline(frame.path, frame.line).strip()) for frame in _own(error))
    told = ["\n".join(filter(None, (_site(frame), source))) for frame, source in sources]
    left = len(told) - OUTERMOST - INNERMOST
    if left <= 1:
        return tuple(told)
    return (*told[:OUTERMOST], f"and {left:,} frames more", *told[-INNERMOST:])


def advice_for(error: BaseException) -> str:
    """What a target that is written for another library than trio is told; empty for others."""
    inside = any("/asyncio/" in frame.path for frame in _frames(error))
    return ASYNCIO if inside or str(error) == "no running event loop" else ""


def failed_assertion(error: AssertionError) -> str:
    """The source of an assertion without a message and the values in it; empty if it is unknown."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return ""
    path, line = innermost.tb_frame.f_code.co_filename, innermost.tb_lineno
    source = _statement(path, line)
    if not source:
        return ""
    values = ", ".join(_values(source, innermost))
    shown = source if len(source) <= SOURCE_MAX else source[: SOURCE_MAX - 1] + "…"
    return f"at {relative(path)}:{line} this does not hold: {shown}" + (
        f" ({values})" if values else ""
    )


class _Frame(NamedTuple):
    """A place that an error went through."""

    path: str
    line: int
    function: str


def _frames(error: BaseException) -> list[_Frame]:
    return [
        _Frame(frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]


def _own(error: BaseException) -> list[_Frame]:
    """The frames of the target, or of all but us and trio if it has none of its own."""
    others = [
        frame
        for frame in _frames(error)
        if not any(part in frame.path for part in ("/trio/", "/outcome/", "/harness/"))
    ]
    return [frame for frame in others if not _standard(frame.path)] or others


def _standard(path: str) -> bool:
    return path.startswith((_STANDARD, "<frozen")) and "-packages/" not in path


def _site(frame: _Frame) -> str:
    return f"{relative(frame.path)}:{frame.line} {frame.function}"


def _statement(path: str, line: int) -> str:
    """The assertion of which this line is a part, on one line; empty if there is none."""
    found = [each for each in _assertions(path) if each[0] <= line <= each[1]]
    return found[-1][2] if found else ""


@cache
def _assertions(path: str) -> tuple[tuple[int, int, str], ...]:
    """The assertions of a file: the first line, the last line, and the source."""
    text = "".join(linecache.getlines(path))
    try:
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert)]
    except SyntaxError:
        return ()
    return tuple((node.lineno, node.end_lineno or node.lineno, ast.unparse(node)) for node in nodes)


def _values(source: str, raised: TracebackType) -> Iterator[str]:
    """What the plain variables of an assertion held when it failed."""
    known = raised.tb_frame.f_locals
    names = [node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    for name in sorted(dict.fromkeys(names), key=source.index):
        if isinstance(value := known.get(name, ...), _PLAIN):
            text = repr(value) if isinstance(value, str) else str(value)
            yield f"{name} = {text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + '…'}"
