"""The table of the documentation: every money rule, and the planted bug that it alone catches.

    python -m scenarios.rule_table > docs/invariants.md

Computed from the rules and the bugs themselves, so that it cannot drift from them.
"""

from __future__ import annotations

import sys

from harness.invariants import Invariant
from harness.schedule.simulation import Simulation
from harness.world.world import World
from scenarios.clearing import ClearingView
from scenarios.paradex import open_exchange
from scenarios.rules.catalogue import CATALOGUE, Rule, standing
from scenarios.rules.view import View
from scenarios.view import view_of
from target_stub.bugs import BUGS

HEADER = """# The money rules

The catalogue I1 to I22: what each rule means in money, what it asks of an exchange, when it may be
switched off, what happened where nobody kept it, and the planted bugs that it must catch. *Alone*
says that nobody else sees a bug: without that rule every test is green on it. A rule that an
exchange promises only with a guard is in force only when that guard is on; a rule that asks for
something that an exchange does not show is not in force, and `standing(view)` lists it as such. How
to show your own exchange to them: [own-exchange.md](own-exchange.md).

`changeover run SCENARIO --bug NAME` plants a bug; the test suite finds each of them within its
budget of schedules, and accuses nobody when none is planted.
"""


def rules() -> dict[str, Invariant]:
    """All rules by their number in the catalogue, made for exchanges that never run."""
    return {number: rule.invariant(everything()) for number, rule in CATALOGUE.items()}


def everything() -> View:
    """A view with every part: the reference exchange, and clearing for what that does not have."""
    shown, world = view_of(open_exchange(World(Simulation()))), World(Simulation())
    clearing = ClearingView(world)
    parts = {name: getattr(shown, name) for name in shown.__slots__}
    return View(**{**parts, "pools": clearing, "projections": clearing})


def markdown() -> str:
    """The whole document."""
    lines = [HEADER, *summary(), ""]
    made = rules()
    for number, rule in CATALOGUE.items():
        lines += section(number, rule, made[number])
    return "\n".join(lines)


def summary() -> list[str]:
    """One line for each rule, and where it is in force."""
    lines = ["| rule | asks for | promised with | caught by it alone |", "|---|---|---|---|"]
    for number, rule in CATALOGUE.items():
        asks = ", ".join(f"`{part}`" for part in rule.asks)
        guard = f"`{rule.promised_by}`" if rule.promised_by else ""
        alone = ", ".join(f"`{name}`" for name in caught_alone(rule))
        lines.append(f"| {number} `{rule.name}` | {asks} | {guard} | {alone} |")
    missing = [
        f"{each.number}, for which it does not show "
        + " and ".join(f"`{part}`" for part in CATALOGUE[each.number].asks)
        for each in standing(view_of(open_exchange(World(Simulation()))))
        if each.why_not and not CATALOGUE[each.number].promised_by
    ]
    return [*lines, "", f"Not in force for the reference exchange: {'; '.join(missing)}."]


def caught_alone(rule: Rule) -> list[str]:
    """The planted bugs that nobody else sees."""
    return [name for name, bug in BUGS.items() if bug.breaks == rule.name and not bug.also]


def section(number: str, rule: Rule, invariant: Invariant) -> list[str]:
    """What is said of one rule."""
    promise = f" (promised with `{rule.promised_by}`)" if rule.promised_by else ""
    lines = [
        f"## {number} `{rule.name}`{promise}\n\n{invariant.describe}\n",
        f"- May be off: {rule.off}",
        f"- Where it was not kept: {rule.incident}",
    ]
    for name, bug in BUGS.items():
        if bug.breaks == rule.name:
            seen = f"; seen by {', '.join(f'`{other}`' for other in bug.also)}, too"
            lines.append(
                f"- `--bug {name}` in `{bug.scenario}`{seen if bug.also else ' (alone)'}: "
                f"{bug.text}. Modelled on: {bug.incident}. Budget: {bug.budget} schedules."
            )
    return [*lines, ""]


if __name__ == "__main__":
    sys.stdout.write(markdown())
