"""What can be said of an SQL text by looking at its beginning.

No parser: whatever is not certainly known is taken for visible to everybody, and for a write.
"""

from __future__ import annotations

import re

_COMMENT = re.compile(r"--[^\n]*|/\*(?:[^*]|\*(?!/))*\*/")
#: What nobody else can see: it opens a transaction (whose snapshot comes later), or changes only
#: the session. A rollback to a savepoint releases locks, and is none of these.
_INVISIBLE = re.compile(
    r"\s*(?:begin|start\s+transaction|set(?!\s+constraints|\s+transaction\s+snapshot)|show|reset"
    r"|savepoint|release|deallocate)\b[^;]*;?\s*",
    re.IGNORECASE,
)
_TARGET = re.compile(
    r"\s*(?:insert\s+into|update(?:\s+only)?|delete\s+from(?:\s+only)?|merge\s+into|copy)"
    r"\s+([\w.\"]+)",
    re.IGNORECASE,
)
_WRITING_TAGS = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY")


def without_comments(statement: str) -> str:
    """The text without its comments; a comment sign inside a text literal may cost too much."""
    return _COMMENT.sub(" ", statement)


def is_invisible(statement: str) -> bool:
    """Whether nobody but the session itself can notice when this one statement is executed."""
    bare = without_comments(statement)
    return not bare.strip(" \t\r\n;") or _INVISIBLE.fullmatch(bare) is not None


def target_of(statement: str) -> str:
    """The table that a statement writes, as it is written there; empty if that is not plain."""
    match = _TARGET.match(without_comments(statement))
    return match[1].strip('"') if match else ""


def has_written(tags: tuple[str, ...]) -> bool:
    """Whether these command tags tell of rows that were written."""
    return any(tag.split()[0] in _WRITING_TAGS and tag.split()[-1] != "0" for tag in tags if tag)
