"""Findings that nobody would write by hand: for properties that hold of every one."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from harness.findings.finding import (
    Constraint,
    Counterfactual,
    Fact,
    Finding,
    Shrinking,
    StepName,
    Violation,
)
from harness.history import Event, Site
from harness.schedule.choices import Deviation, Schedule

_NAMES = (
    "market_data#1", "market_data#2", "market_data", "risk", "risk#10", "database", "nemesis",
    "clock", "a_service_with_a_very_long_name_eth#1", "a_service_with_a_very_long_name_btc#1",
    "台帳#1", "",
)  # fmt: skip
_DOINGS = ("crash market_data#1", "restart risk", "boot", "write index", "kill", "read", "")

names = st.sampled_from(_NAMES)
lanes = names.filter(bool)
texts = st.one_of(st.sampled_from(_DOINGS), st.text(max_size=60))
values = st.one_of(
    st.just(""), st.text(max_size=30), st.decimals(allow_nan=False, places=8).map(str)
)
steps = st.integers(1, 60)
kinds = st.sampled_from(("read", "write", "send", "receive", "phase", "fault", "note"))
sites = st.none() | st.builds(
    Site, path=st.text(max_size=20), line=st.integers(0, 9999), function=st.text(max_size=9)
)
events = st.builds(
    Event,
    step=steps,
    at_ms=st.integers(0, 10**13),
    lane=lanes,
    kind=kinds,
    operation=texts,
    resource=st.sampled_from(("", "index", "accounts")),
    value=values,
    before=values,
    after=values,
    peer=names,
    site=sites,
)
labels = st.one_of(texts, st.tuples(names, texts).map(": ".join))
violations = st.builds(
    Violation,
    invariant=st.text(string.ascii_lowercase + "_", min_size=1, max_size=90),
    message=texts,
    step=steps,
    at_ms=st.integers(0, 10**7),
    describe=texts,
    consequence=texts,
    resource=st.sampled_from(("", "index")),
    before=values,
    after=values,
    lane=names,
    operation=texts,
    site=st.one_of(st.just("target/file.py:12 write"), st.text(max_size=20)),
    accounts=st.lists(texts, max_size=4).map(tuple),
    loss_usdc=values,
    stack=st.lists(st.text(max_size=90), max_size=3).map(tuple),
)
_words = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=20)
_tokens = st.builds(
    Schedule,
    scenario=_words,
    seed=st.integers(0, 2**64),
    choices=st.dictionaries(steps, st.integers(1, 9), max_size=5),
    variant=st.dictionaries(
        st.text(string.ascii_lowercase, min_size=1, max_size=8), _words, max_size=2
    ),
).map(lambda schedule: schedule.token)


words = st.one_of(
    texts,
    st.sampled_from(("sends put index", "goes on at a.py:3", "timeout of call read (2 s)")),
)
step_names = st.builds(
    StepName,
    label=labels,
    occurrence=st.integers(1, 130),
    kind=st.sampled_from(("task", "operation", "timer", "fault", "orphan")),
    touches=st.sampled_from(("", "write memory/risk/total")),
    step=st.integers(0, 60),
    words=words,
)


@st.composite
def findings(draw: st.DrawFn, *, events_max: int = 30) -> Finding:
    """Any finding that the file format allows, its history in the order of its steps."""
    history = draw(st.lists(events, max_size=events_max))
    history.sort(key=lambda event: event.step)
    pair = st.tuples(st.integers(0, 500), st.integers(0, 500))
    return Finding(
        scenario=draw(_words),
        token=draw(_tokens),
        seed=draw(st.integers(0, 2**64)),
        digest=draw(st.text("0123456789abcdef", min_size=6, max_size=64)),
        violations=tuple(draw(st.lists(violations, min_size=1, max_size=5))),
        deviations=tuple(
            draw(
                st.lists(
                    st.builds(
                        Deviation,
                        steps,
                        st.integers(1, 9),
                        labels,
                        labels,
                        names,
                        st.sampled_from(("", "task", "timer", "fault")),
                        words=words,
                    ),
                    max_size=9,
                )
            )
        ),
        steps=draw(st.integers(1, 10**6)),
        ended_at_ms=draw(st.integers(0, 10**9)),
        blast_radius=tuple(draw(st.lists(st.builds(Fact, texts, texts), max_size=3))),
        order=draw(st.sampled_from(("batch-legal", "any", ""))),
        history=tuple(history),
        variant=draw(st.dictionaries(_words, _words, max_size=2)),
        held=tuple(draw(st.lists(_words, max_size=9))),
        notes=tuple(draw(st.lists(texts, max_size=2))),
        counterfactuals=tuple(
            draw(
                st.lists(
                    st.builds(Counterfactual, steps, labels, labels, st.booleans()), max_size=3
                )
            )
        ),
        constraints=tuple(
            draw(st.lists(st.builds(Constraint, step_names, step_names, st.booleans()), max_size=6))
        ),
        orders_tried=draw(st.sampled_from(((0, 0), (10, 10), (3, 10)))),
        replays=draw(st.sampled_from(((0, 0), (3, 3), (2, 3)))),
        seconds=draw(st.floats(allow_nan=False, allow_infinity=False)),
        shrinking=draw(
            st.builds(
                Shrinking, pair, pair, pair, st.integers(0, 500), tried=st.just(("9a02e1c7",))
            )
        ),
        versions=draw(st.dictionaries(_words, st.text(max_size=20), max_size=5)),
        sources=draw(st.dictionaries(_words, _words, max_size=3)),
        saved=draw(st.sampled_from(("", ".changeover/findings/a-9a02e1.json", "moved/a b.json"))),
        reason=draw(texts),
    )
