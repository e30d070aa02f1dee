"""The table of the documentation: every incident, its rules, and the guards that keep them.

    python -m scenarios.incident_table > docs/incidents.md

Computed from the scenarios themselves, so that it cannot drift from them.
"""

from __future__ import annotations

import sys

from scenarios.incidents import INCIDENTS
from scenarios.incidents.incident import Incident

HEADER = """# Incidents

Restart races of other systems, from the news and from open projects, each as a small model of the
mechanism that its source describes.
`changeover run NAME` finds it: by default no guard is on. `changeover run NAME --guards all` holds.
The incident of Paradex and its guards have [a document of their own](guards.md). A number under
*found within* is how many schedules the default search may need; in 20 of 20 seeds it needs fewer.

| what happened | kind of mistake | scenario | found within | rules that break | kept by |
|---|---|---|---:|---|---|
"""


def row(incident: Incident) -> str:
    """One line of the table."""
    guards = " or ".join(" and ".join(map(code, each)) for each in incident.enough)
    rules = ", ".join(map(code, incident.breaks))
    return (
        f"| [{incident.system}]({incident.source}) | {incident.family} | "
        f"`{incident.scenario.name}` | {incident.budget} | {rules} | {guards} |"
    )


def section(incident: Incident) -> str:
    """What happened, what is modelled and what is not."""
    return f"## {incident.system}\n\n" + "\n\n".join(incident.lines) + "\n"


def code(name: str) -> str:
    """A name as the documentation shows it."""
    return f"`{name}`"


def markdown() -> str:
    """The whole document."""
    table = "\n".join(map(row, INCIDENTS))
    return HEADER + table + "\n\n" + "\n".join(map(section, INCIDENTS))


if __name__ == "__main__":
    sys.stdout.write(markdown())
