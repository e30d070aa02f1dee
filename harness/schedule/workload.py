"""Which operations of clients a schedule leaves out, and how its token says so.

What clients want is part of a scenario, and most of it has nothing to do with a bug. A schedule may
leave operations out, by client and number; no strategy ever does that, only the shrinker. Runs that
leave nothing out know nothing of all this: it adds no step and no option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.errors import UsageError

#: The part of a schedule's variant that names what is left out.
WITHOUT = "without"
_CLIENT = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
_NUMBERS = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+))?")

#: An operation: whose it is, and the how-manieth of his, from 1.
Wanted = tuple[str, int]


class Workload:
    """The operations that clients came to in one run, and those of them that are left out."""

    __slots__ = ("left_out", "offered")

    def __init__(self, without: str = "") -> None:
        self.left_out = frozenset(left_out_of(without))
        self.offered: dict[str, int] = {}

    def does(self, client: str) -> bool:
        """Whether the client does the operation that he has come to."""
        if client not in self.offered and not _CLIENT.fullmatch(client):
            raise UsageError(
                f"operations of {client!r} cannot stand in a token; "
                "name the client with letters, digits, - and _, a letter first"
            )
        number = self.offered[client] = self.offered.get(client, 0) + 1
        return (client, number) not in self.left_out


def left_out_of(text: str) -> Iterator[Wanted]:
    """What a text such as ``trader.1-6.8`` leaves out: his operations 1 to 6, and 8.

    Raises :class:`UsageError` that names the form when it is not one.
    """
    client = ""
    for part in text.split(".") if text else ():
        numbers = _NUMBERS.fullmatch(part)
        if numbers is None and _CLIENT.fullmatch(part):
            client = part
        elif numbers is None or not client:
            raise UsageError(f"{text!r} names no operations; expected client.1-6.8")
        else:
            first = int(numbers["first"])
            yield from ((client, n) for n in range(first, int(numbers["last"] or first) + 1))


def left_out_text(left_out: Iterable[Wanted]) -> str:
    """The shortest text that leaves these operations out."""
    runs: dict[str, list[list[int]]] = {}
    for client, number in sorted(left_out):
        of_client = runs.setdefault(client, [])
        if of_client and of_client[-1][1] == number - 1:
            of_client[-1][1] = number
        else:
            of_client.append([number, number])
    return ".".join(
        ".".join((client, *(_range(first, last) for first, last in of_client)))
        for client, of_client in runs.items()
    )


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
