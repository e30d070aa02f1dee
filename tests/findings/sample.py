"""A finding to render, to keep and to damage: the incident of 19 January 2026 in small."""

from __future__ import annotations

from harness.findings.finding import Counterfactual, Finding, Shrinking, Violation
from harness.history import Event, Site
from harness.schedule.choices import Deviation

INDEX = "funding_index/BTC-USD-PERP"
TEST_ID = "tests/test_race.py::test_race[paradex-2026-01-19]"

_MARKET = "target_stub/cloud/market_data.py"
_RISK = "target_stub/cloud/risk.py"
_FOLDED = "-2819.53434361"


def _history() -> tuple[Event, ...]:
    tick = Site(_MARKET, 88, "apply_funding")
    persist = Site(_MARKET, 131, "persist")
    liquidate = Site(_RISK, 64, "liquidate")
    return (
        Event(1, 0, "market_data#1", "phase", "boot"),
        Event(2, 1, "market_data#1", "read", "hydrate", INDEX, value="-2819.53", peer="database"),
        Event(3, 2, "market_data#1", "phase", "ready"),
        Event(4, 2, "risk", "read", "health check", "accounts", value="ok", peer="chain"),
        Event(
            6,
            5000,
            "market_data#1",
            "write",
            "apply funding",
            INDEX,
            before="-2819.53000000",
            after=_FOLDED,
            peer="database",
            site=tick,
        ),
        Event(7, 5000, "publisher", "read", "read index", INDEX, value=_FOLDED, peer="database"),
        Event(8, 5001, "publisher", "send", "publish", INDEX, value=_FOLDED, peer="chain"),
        Event(9, 5002, "operator", "note", "open maintenance window", peer="database"),
        Event(11, 5003, "nemesis", "fault", "crash market_data#1", peer="market_data#1"),
        Event(12, 5003, "nemesis", "fault", "restart market_data", peer="market_data#2"),
        Event(13, 5004, "market_data#2", "phase", "boot"),
        Event(14, 5004, "market_data#2", "send", "load checkpoint", INDEX, peer="database"),
        Event(15, 5005, "clock", "note", "funding tick is due", peer="market_data#2"),
        Event(16, 5005, "market_data#2", "note", "tick before hydrated", "market"),
        Event(
            17,
            5005,
            "market_data#2",
            "write",
            "persist index",
            INDEX,
            before=_FOLDED,
            after="0",
            peer="database",
            site=persist,
        ),
        Event(18, 5006, "publisher", "read", "read index", INDEX, value="0", peer="database"),
        Event(19, 5006, "publisher", "send", "publish", INDEX, value="0", peer="chain"),
        Event(20, 5007, "market_data#2", "receive", "hydrate", INDEX, value="0", peer="database"),
        Event(21, 5008, "risk", "read", "read index", INDEX, value="0", peer="chain"),
        Event(
            22,
            5008,
            "risk",
            "write",
            "liquidate 12 accounts",
            "accounts",
            before="open",
            after="liquidated",
            peer="chain",
            site=liquidate,
        ),
    )


def _violations() -> tuple[Violation, ...]:
    return (
        Violation(
            invariant="funding_index_step_is_bounded",
            message=(
                "after its restart market_data#2 wrote 0 over the funding index of BTC-USD-PERP: "
                "a step of +2,819.53 USDC where 5 s allow 0.81"
            ),
            step=17,
            at_ms=5005,
            describe="an index moves by at most max rate x spot / USDC x elapsed / period",
            consequence="left alone, every BTC long owes 2,819.53 USDC of funding per BTC",
            resource=INDEX,
            before=_FOLDED,
            after="0",
            lane="market_data#2",
            operation="persist index",
            site=f"{_MARKET}:131 persist",
            phase="booting",
        ),
        Violation(
            invariant="liquidation_only_below_margin",
            message="12 healthy accounts were liquidated at the index 0",
            step=22,
            at_ms=5008,
            lane="risk",
            operation="liquidate 12 accounts",
            site=f"{_RISK}:64 liquidate",
            accounts=tuple(f"account-{number:02}" for number in range(1, 13)),
            loss_usdc="33,834.41",
        ),
    )


def sample() -> Finding:
    """What a full report is made of."""
    return Finding(
        scenario="paradex-2026-01-19",
        token="paradex-2026-01-19@4211:11=3,15=2",
        seed=4211,
        digest="9a02e1c7" + "0" * 56,
        violations=_violations(),
        deviations=(
            Deviation(11, 3, "nemesis: crash market_data#1", "market_data#1: flush index"),
            Deviation(15, 2, "clock -> 5005 ms for market_data#2: tick", "market_data#2: hydrate"),
        ),
        steps=22,
        ended_at_ms=5008,
        order="batch-legal",
        history=_history(),
        held=("cash_is_conserved", "positions_sum_to_zero", "funding_is_zero_sum"),
        notes=("conservation of cash held throughout: it cannot see this",),
        counterfactuals=(
            Counterfactual(15, "clock -> 5005 ms for market_data#2: tick", "hydrate", True),
        ),
        replays=(3, 3),
        replay_ms=9,
        strategy="pct(3)",
        schedule_number=137,
        schedules_planned=300,
        seconds=0.93,
        profile="dev",
        shrinking=Shrinking((212, 22), (19, 2), (2, 1), 61, 500, "one-minimal"),
        versions={"python": "3.11.7", "trio": "0.35.0", "changeover": "0.1.0", "git": "1f3c9ab"},
        saved=".changeover/findings/paradex-2026-01-19-9a02e1.json",
    )
