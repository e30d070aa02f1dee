"""The same texts run over asyncio, as the other tools need them."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest
import trio

from harness.schedule import memory
from tests.benchmarks.classics import shim
from tests.benchmarks.classics.catalogue import CLASSIC, PROGRAMS
from tests.benchmarks.classics.peers import PEERS, Peer

TEXTS = shim.programs_over_asyncio()
CLASSICS = [name for name, program in PROGRAMS.items() if program.kind == CLASSIC]


def twin_of(name: str) -> Any:
    return partial(TEXTS[name].text, repaired=True)


def buggy(name: str) -> Any:
    return partial(TEXTS[name].text, repaired=False)


def test_the_texts_are_those_of_the_programs_and_trio_is_back() -> None:
    assert list(TEXTS) == CLASSICS
    assert sys.modules["trio"] is trio
    assert sys.modules["harness.schedule.memory"] is memory
    for name in CLASSICS:
        assert TEXTS[name].text is not PROGRAMS[name].text
        assert TEXTS[name].threads == PROGRAMS[name].threads


@pytest.mark.parametrize("name", CLASSICS)
def test_a_twin_ends_over_asyncio(name: str) -> None:
    asyncio.run(twin_of(name)())


@pytest.mark.parametrize("name", CLASSICS)
def test_a_twin_has_as_many_tasks_as_its_program_says(name: str) -> None:
    with shim.spinning():
        assert asyncio.run(shim.count_tasks(twin_of(name))) == PROGRAMS[name].threads


def test_a_bug_shows_over_asyncio_in_some_order() -> None:
    """A cast in random order finds the wrong formula of the account."""

    async def play(seed: int) -> None:
        cast = shim.Cast(buggy("account"))
        steps: list[Coroutine[Any, Any, None]] = [cast.play(n) for n in range(4)]
        dice = random.Random(seed)
        while steps:
            step = dice.choice(steps)
            try:
                step.send(None)
            except StopIteration:
                steps.remove(step)

    def play_until_it_shows() -> None:
        for seed in range(200):
            asyncio.run(play(seed))

    with shim.spinning(), pytest.raises(AssertionError):
        play_until_it_shows()


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_that_is_installed_finds_a_bug_and_accuses_no_twin(peer: Peer) -> None:
    if not peer.version:
        pytest.skip(f"{peer.package} is not installed (the extra 'peers')")
    assert peer.search(buggy("wronglock_3"), seed=1, schedules=60).found
    done = peer.search(twin_of("wronglock_3"), seed=1, schedules=5)
    assert (done.found, done.schedules) == (False, 5)


def test_a_peer_is_believed_what_it_says_of_its_search() -> None:
    def explore(main: object, seed: int, schedules: int) -> tuple[int, bool, int]:
        return schedules - seed, True, 7 * schedules

    done = Peer("no-such-peer", "random", explore).search(twin_of("account"), seed=2, schedules=5)
    assert (done.schedules, done.found, done.steps) == (3, True, 35)


def test_a_peer_that_is_not_installed_has_no_version() -> None:
    assert not Peer("no-such-peer", "random", PEERS[0].explore).version
