"""Each observation is needed: without it the search would miss how some program can end."""

from __future__ import annotations

import pytest

from harness.engine import campaign
from harness.proof.errands import Subject
from harness.proof.resources import Touch
from harness.proof.witness import Witness
from harness.scenario import Scenario
from harness.schedule.choices import Option
from tests.proof.enumeration import enumerated, explored
from tests.proof.needed import NEEDED, Needed

RUNS_MAX = 300


@pytest.mark.parametrize("name", NEEDED)
def test_without_an_observation_an_ending_is_missed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = NEEDED[name]
    subject = Subject(
        Scenario(name=needed.story.__name__, story=needed.story, stall_s=5.0), bound=needed.bound
    )
    with campaign():
        truth = enumerated(subject, runs_max=RUNS_MAX)
        assert truth.whole
        seen, _ = explored(subject)
        assert seen.finals == truth.finals
        assert seen.classes.keys() == truth.classes.keys()
        _hide(needed, monkeypatch)
        blind, _ = explored(subject)
    assert blind.finals < truth.finals


def _hide(needed: Needed, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Witness.watch

    def blind(self: Witness, option: Option) -> tuple[list[Touch], list[Touch]]:
        touches, order = watch(self, option)
        return [touch for touch in touches if not needed.hides(option, touch)], order

    monkeypatch.setattr(Witness, "watch", blind)
