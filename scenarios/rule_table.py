"""The table of the documentation: every money rule, and the planted bug that it must catch.

    python -m scenarios.rule_table > docs/invariants.md

Computed from the rules and the bugs themselves, so that it cannot drift from them.
"""

from __future__ import annotations

import sys

from harness.invariants import Invariant
from harness.schedule.simulation import Simulation
from harness.world.world import World
from scenarios.money_rules import NUMBERS, PROMISED_BY
from scenarios.paradex import open_exchange
from target_stub.bugs import BUGS

HEADER = """# The money rules

Every rule of the reference exchange, what it means in money, and the planted bug that it must
catch. A rule that the exchange promises only with a guard is in force only when that guard is on.
`changeover run paradex-2026-01-19 --bug NAME` plants a bug; the test suite finds each of them
within its budget of schedules, and accuses nobody when none is planted.
"""


def rules() -> dict[str, Invariant]:
    """All rules by their number in the catalogue, made for an exchange that never runs."""
    exchange = open_exchange(World(Simulation()))
    return {number: make(exchange) for number, make in NUMBERS.items()}


def markdown() -> str:
    """The whole document."""
    lines = [HEADER]
    for number, rule in rules().items():
        guard = PROMISED_BY.get(number)
        promise = f" (promised with `{guard}`)" if guard else ""
        lines.append(f"## {number} `{rule.name}`{promise}\n\n{rule.describe}\n")
        for name, bug in BUGS.items():
            if bug.breaks == rule.name:
                lines.append(
                    f"- `--bug {name}`: {bug.text}. Modelled on: {bug.incident}. Budget: "
                    f"{bug.budget} schedules."
                )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
