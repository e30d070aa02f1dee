"""Where in the target's own source something was asked for."""

from __future__ import annotations

import sys
from types import FrameType

from harness.history import Site

#: Whether a file is the target's own: asked for every frame of every write, answered once a file.
_own: dict[str, bool] = {}
_NOT_OWN = ("/harness/", "/trio/", "<frozen", "/contextlib.py")


def site_of_caller() -> Site | None:
    """The innermost place of the target's own code on the stack: not ours, not trio's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        path = code.co_filename
        own = _own.get(path)
        if own is None:
            own = _own[path] = not any(part in path for part in _NOT_OWN)
        if own:
            return Site(path, frame.f_lineno, code.co_qualname)
        frame = frame.f_back
    return None
