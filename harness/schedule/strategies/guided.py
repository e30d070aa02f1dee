"""A search that is led by coverage: it changes runs that have shown something new."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.corpus import Entry
from harness.schedule.strategies.protocol import Seen, split_kinds
from harness.schedule.strategies.walks import uniform

#: How often a run builds on nothing: what is rare may lie where no run of the corpus leads.
EXPLORE_SHARE = 0.25
#: How often a run keeps the beginning of its model and walks on at random from there; otherwise
#: it keeps all of it and changes a choice or two.
WALK_SHARE = 0.5
#: How often a changed run is joined with the rest of another one instead.
SPLICE_SHARE = 0.2


def guided(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """Take a run of the corpus, rare ones more often, and change it; a random walk without one.

    Greybox fuzzing of schedules (as in Wolff et al.: Greybox fuzzing for concurrency testing,
    2024) with the matrix of restart phases and writes for coverage.
    """
    entries = seen.corpus.entries
    if not entries or rng.random() < EXPLORE_SHARE:
        return uniform(number, rng, seen)
    model = rng.choices(entries, seen.corpus.energies)[0]
    walk = uniform(number, rng, seen) if rng.random() < WALK_SHARE else None
    cut = rng.randrange(1, model.steps + 1) if walk else model.steps + 1
    choices = {step: choice for step, choice in model.choices if step < cut}
    wild: dict[int, None] = {}
    if walk is None:
        if rng.random() < SPLICE_SHARE:
            choices = _spliced(model, rng.choice(entries), rng)
        for _ in range(rng.choice((1, 2))):
            _change(choices, wild, model.steps, rng)

    def choose(options: Sequence[Option], step: int) -> int:
        if walk is not None and step >= cut:
            return walk(options, step)
        if step in wild:
            return _anything(options, rng)
        choice = choices.get(step, 0)
        return choice if choice < len(options) else 0

    return choose


def _spliced(first: Entry, second: Entry, rng: Random) -> dict[int, int]:
    """The one up to a step, the other from there on."""
    cut = rng.randrange(1, first.steps + 1)
    kept = [each for each in first.choices if each[0] < cut]
    return dict(kept + [each for each in second.choices if each[0] >= cut])


def _change(choices: dict[int, int], wild: dict[int, None], steps: int, rng: Random) -> None:
    """Drop a choice, move one, or leave a step to chance."""
    what = rng.choice(("drop", "move", "add"))
    if what == "add" or not choices:
        wild[rng.randrange(1, steps + 1)] = None
        return
    step = rng.choice(sorted(choices))
    choice = choices.pop(step)
    if what == "move":
        choices[max(1, step + rng.choice((-1, 1)) * round(2 ** (5 * rng.random())))] = choice


def _anything(options: Sequence[Option], rng: Random) -> int:
    """Any option; one that never has to happen as likely as all others together."""
    _, _, optional = split_kinds(options)
    if optional and rng.random() < 0.5:
        return rng.choice(optional)
    return rng.randrange(len(options))
