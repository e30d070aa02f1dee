"""A rule without a word; not a test module, whose assertions pytest would rewrite."""

from __future__ import annotations

from collections.abc import Callable


def bare_rule(*, told_to_somebody: int, booked_by_the_ledger: int) -> Callable[[], None]:
    """A rule with an assertion that says nothing, and that takes several lines."""

    def rule() -> None:
        assert (
            told_to_somebody - booked_by_the_ledger <= 1
            and booked_by_the_ledger - told_to_somebody <= len("a limit")
        )

    return rule
