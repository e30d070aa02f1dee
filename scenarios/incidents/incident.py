"""What is said of every incident, beside its scenario: what must break, what repairs it, how soon.

The tables of the documentation and the tests are made from this.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One real incident and its scenario.

    ``family`` is the kind of mistake. ``breaks`` are the rules that it breaks when no guard is on;
    nobody else is accused. ``enough`` are the sets of guards each of which keeps all rules, and
    none of which does so with one guard less. ``budget`` is how many schedules the default search
    may need; ``source`` an address.
    """

    scenario: Scenario
    system: str
    family: str
    breaks: tuple[str, ...]
    enough: tuple[tuple[str, ...], ...]
    budget: int
    source: str

    @property
    def lines(self) -> tuple[str, str, str]:
        """What happened, what is modelled, and what is not."""
        happened, modelled, missing = filter(None, self.scenario.description.splitlines())
        return happened, modelled, missing
