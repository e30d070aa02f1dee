"""How much the state machines of this folder try: little on every run, much at night.

``HYPOTHESIS_PROFILE=nightly`` asks for the long runs. Both are derandomized and keep no database:
the same source tries the same programs everywhere, so a failure needs no luck to come back.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE", "") == "nightly"
#: How many times as many programs, and as many rules in each, are tried at night.
NIGHTLY_EXAMPLES, NIGHTLY_STEPS = 20, 2


def budget(*, examples: int, steps: int, shrinks: bool = True) -> settings:
    """So many programs of so many rules each; more of both at night."""
    return settings(
        max_examples=examples * (NIGHTLY_EXAMPLES if NIGHTLY else 1),
        stateful_step_count=steps * (NIGHTLY_STEPS if NIGHTLY else 1),
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        # No explaining: it would run the exchange hundreds of times more under a line tracer.
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        # One rule may take a hundred steps of a whole exchange; how long that takes says nothing.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
