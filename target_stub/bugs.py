"""All planted bugs: each a small patch of one place, with the incident it is modelled on.

A bug replaces a class by a subclass with one method changed. The services themselves know nothing
of it, so a bug can never be half on. Every bug names the rule that must catch it; all but those
of the first incarnation need a restart to show. A family is a file of ``defects``: its classes,
and below them its ``BUGS``.
"""

from __future__ import annotations

from collections.abc import Mapping

from target_stub.defects import (
    answers,
    bridge,
    clearing,
    delivery,
    durability,
    funds,
    handover,
    latent,
    ledger,
    loading,
    market_data,
    market_data_editions,
    modes,
    publishing,
    recovery,
    restoring,
    times,
)
from target_stub.defects.bug import NO_BUG, Bug

__all__ = ["BUGS", "NO_BUG", "Bug", "bugs_of"]

_FILES = (
    market_data,
    restoring,
    loading,
    handover,
    times,
    publishing,
    delivery,
    durability,
    answers,
    funds,
    ledger,
    bridge,
    clearing,
    latent,
    market_data_editions,
    modes,
    recovery,
)

#: All planted bugs by name.
BUGS: Mapping[str, Bug] = {name: bug for file in _FILES for name, bug in file.BUGS.items()}


def bugs_of(scenario: str) -> Mapping[str, str]:
    """The bugs that a scenario has as options, each with its text."""
    return {name: bug.text for name, bug in BUGS.items() if bug.scenario == scenario}
