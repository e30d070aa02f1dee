"""The reduced incident: what it needs to happen, and that a proof finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine import execute, follow
from harness.proof.bounds import Bound
from harness.proof.errands import Subject
from harness.proof.proving import HELD, SPENT, VIOLATED, Budget, prove
from harness.schedule.choices import Schedule
from scenarios.paradex_reduced import paradex_reduced
from tests.machine.profiles import NIGHTLY

#: The page that says what a proof of the reduced incident comes to.
DOCUMENT = Path(__file__).parents[2] / "docs/proof.md"


def subject(guards: str, *, restarts: int = 1) -> Subject:
    """The reduced incident in a variant."""
    variant = paradex_reduced.variant(guards=guards)
    return Subject(paradex_reduced, variant=variant, bound=Bound(restarts=restarts))


def test_without_guards_a_proof_finds_the_jump_and_the_wrongful_liquidations() -> None:
    target = subject("none")
    proof = prove(target, Budget())
    assert proof.verdict == VIOLATED
    assert f"violated, at interleaving {proof.tally.runs:,}:" in DOCUMENT.read_text()
    choices = {step: choice for step, choice in enumerate(proof.choices, 1) if choice}
    schedule = Schedule(paradex_reduced.name, 0, choices, dict(target.variant))
    run = execute(paradex_reduced, seed=0, choose=follow(schedule), variant=schedule.variant)
    broken = {violation.invariant for violation in run.violations}
    assert {"funding_index_step_is_bounded", "liquidations_are_justified"} <= broken
    assert run.restarts == 1


def test_without_a_restart_it_holds_in_every_order() -> None:
    proof = prove(subject("none", restarts=0), Budget())
    assert proof.verdict == HELD
    assert proof.tally.complete > 10


@pytest.mark.skipif(not NIGHTLY, reason="minutes: run at night")
def test_with_all_guards_it_holds_in_every_order() -> None:
    proof = prove(subject("all"), Budget())
    assert proof.verdict == HELD
    assert f"held in all {proof.tally.complete:,} distinct interleavings" in DOCUMENT.read_text()


def test_with_all_guards_nothing_is_found_and_independence_is_no_mere_claim() -> None:
    proof = prove(subject("all"), Budget(runs=60))
    assert proof.verdict == SPENT
    assert proof.traded > 50
    assert proof.probes.interval[0] > 0
