"""What a scenario says of its runs, simulated or real: rules, marks, notes and measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from harness.findings.finding import Fact
from harness.invariants import Invariant, Judge, invariant_of

F = TypeVar("F", bound=Callable[..., Any])


class Judged:
    """The rules of one run and what else is to be said of it when it is over."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.notes: dict[str, Callable[[], str]] = {}
        self.measures: list[Callable[[], Sequence[Fact]]] = []
        self.blast_radius: tuple[Fact, ...] = ()
        self.reached: dict[str, int] = {}

    # --- rules ------------------------------------------------------------------------------

    @overload
    def invariant(self, check: F, /) -> F: ...

    @overload
    def invariant(
        self,
        check: None = None,
        /,
        *,
        name: str = "",
        describe: str = "",
        on: tuple[str, ...] = (),
        at_end: bool = False,
    ) -> Callable[[F], F]: ...

    def invariant(
        self,
        check: Any = None,
        /,
        *,
        name: str = "",
        describe: str = "",
        on: tuple[str, ...] = (),
        at_end: bool = False,
    ) -> Any:
        """Judge every step (or what happens ``on`` some resources, or the end) by this function."""

        def add(function: F) -> F:
            self.judge.add(
                invariant_of(function, name=name, describe=describe, on=on, at_end=at_end)
            )
            return function

        return add(check) if check is not None else add

    def add_invariants(self, *invariants: Invariant) -> None:
        """Judge by invariants of a library."""
        for invariant in invariants:
            self.judge.add(invariant)

    # --- what is said of a run ----------------------------------------------------------------

    def note(self, key: str, text: Callable[[], str]) -> None:
        """Something worth saying in a report, asked for when the run is over; empty is unsaid."""
        self.notes[key] = text

    def said(self) -> tuple[str, ...]:
        """What there is to say now."""
        return tuple(filter(None, (text() for text in self.notes.values())))

    def measure(self, facts: Callable[[], Sequence[Fact]]) -> None:
        """What a broken run did to people, asked for when it is over: its blast radius."""
        self.measures.append(facts)

    def take_measures(self) -> None:
        """Measure what a broken run did; what cannot be measured is said, not taken for nothing."""
        found: list[Fact] = []
        for facts in self.measures if self.judge.violations else ():
            try:
                found += facts()
            except Exception as error:
                found.append(Fact("not measured", f"({type(error).__name__}: {error})"))
        self.blast_radius = tuple(found)

    # --- marks ------------------------------------------------------------------------------

    def reach(self, name: str) -> None:
        """Count that a run came to an interesting place."""
        self.reached[name] = self.reached.get(name, 0) + 1

    def reachable(self, name: str) -> Callable[[], None]:
        """Declare a mark that some run of a campaign must reach; returns what reaches it.

        That is a plain function, to be handed to a target, which need not know the harness.
        """
        self.reached.setdefault(name, 0)
        return lambda: self.reach(name)

    def sometimes(self, name: str, condition: object) -> None:
        """Declare a mark that some run of a campaign must reach, and reach it if this is true."""
        self.reached.setdefault(name, 0)
        if condition:
            self.reach(name)
