"""What can go wrong inside the core, apart from a bug.

A missing value is an error, never a zero: an index or a price that nobody has computed yet must
stop whoever reads it. A refused command is not an error of the program; it becomes an event.
"""


class Missing(LookupError):  # noqa: N818 - the domain word is shorter and says what happened
    """A market value was read before anybody had computed or loaded it."""

    def __init__(self, market: str, field: str) -> None:
        super().__init__(f"{market} has no {field} yet")
        self.market = market
        self.field = field


class Refusal(Exception):  # noqa: N818 - control flow inside one command, never seen outside
    """Carries the reason why one command is refused up to ``apply``, which turns it into an event."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class InconsistentSeed(ValueError):  # noqa: N818 - says what is wrong with the input
    """A populated exchange was described in a way no sequence of trades could have produced."""
