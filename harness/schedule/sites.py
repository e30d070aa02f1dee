"""Where in the target's own source something was asked for."""

from __future__ import annotations

import sys
from types import FrameType

from harness.history import Site

#: Whether a file is the target's own: asked for every frame of every write, answered once a file.
_known: dict[str, bool] = {}
_NOT_OWN = ("/harness/", "/trio/", "<frozen", "/contextlib.py")


def is_own(path: str) -> bool:
    """Whether a file is the target's own: not ours, not trio's."""
    own = _known.get(path)
    if own is None:
        own = _known[path] = not any(part in path for part in _NOT_OWN)
    return own


def site_of_caller() -> Site | None:
    """The innermost place of the target's own code on the stack: not ours, not trio's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        path = code.co_filename
        own = _known.get(path)
        if is_own(path) if own is None else own:
            return Site(path, frame.f_lineno, code.co_qualname)
        frame = frame.f_back
    return None
