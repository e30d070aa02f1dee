"""Selectively uniform random walk: every interleaving of the accesses to one object equally likely.

Zhao, Wolff, Mathur and Roychoudhury, 'Selectively uniform concurrency testing', ASPLOS 2025. A
random walk visits few of the orders in which a long task and a short one can touch one variable;
weighting each task by the accesses that it still has before it makes all of them equally likely.

Every second round over the objects is ours: forty-nine writers of one kind leave one reader little
chance to be first, so there it is drawn which *kind* of task comes next, whatever their number.
So is this: nobody restarts in the profile, and a later incarnation is expected to do what the
first one did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.protocol import Profile, Seen
from harness.schedule.strategies.walks import uniform, wander


def surw(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """One object of interest a run; whose access of it comes next is drawn by what is left.

    How often each task will touch the object, its children included, comes from the profile of
    the first-in-first-out run. Steps that do not touch the object go on at random meanwhile, and
    whoever would touch it out of turn waits. Without any shared object it is a random walk.
    """
    objects = shared_objects(seen.profile)
    if not objects:
        return uniform(number, rng, seen)
    chosen = objects[number % len(objects)]  # in turn: no object waits longer than by bad luck
    by_kind = number // len(objects) % 2 == 1
    lottery: _Lottery = (_KindLottery if by_kind else _TaskLottery)(chosen, seen.profile, rng)

    def pick(options: Sequence[Option], moves: Sequence[int]) -> int:
        for index in moves:
            lottery.meet(options[index].actor)
        touching = {index for index in moves if _touches(options[index], chosen)}
        mine = [i for i in moves if i not in touching or lottery.admits(options[i].actor)]
        if not mine:
            # The profile was of another run: whoever was drawn does not get there.
            lottery.draw([options[index].actor for index in moves])
            mine = [index for index in moves if lottery.admits(options[index].actor)]
        taken = mine[int(rng.random() * len(mine))]
        if taken in touching:
            lottery.took(options[taken].actor)
        return taken

    return wander(rng, seen, pick)


def shared_objects(profile: Profile) -> list[str]:
    """The resources that more than one actor touched, in alphabetical order."""
    actors: dict[str, int] = {}
    for touches in profile.touches.values():
        for resource in touches:
            actors[resource] = actors.get(resource, 0) + 1
    return sorted(resource for resource, count in actors.items() if count > 1)


def _touches(option: Option, resource: str) -> bool:
    return any(touched == resource for touched, _ in option.footprint)


class _Lottery(Protocol):
    """Decides who touches the object next."""

    def meet(self, actor: str) -> None:
        """Somebody is there."""

    def admits(self, actor: str) -> bool:
        """Whether it is this one's turn to touch the object."""

    def draw(self, actors: Sequence[str]) -> None:
        """Draw again, among these."""

    def took(self, actor: str) -> None:
        """The object was touched: the next turn is drawn when somebody asks."""


def kind_of(actor: str) -> str:
    """What a task is: its name without the count of tasks of that name."""
    head, dot, count = actor.rpartition(".")
    return head if dot and count.isdigit() else actor


_INCARNATION = re.compile(r"#\d+")


def in_first_life(name: str) -> str:
    """Who this was in the first incarnation of its service: the profile knows no other."""
    return _INCARNATION.sub("#1", name, count=1)


class _KindLottery:
    """Every kind of task that still has an access to the object before it has one ticket."""

    def __init__(self, resource: str, profile: Profile, rng: Random) -> None:
        self._rng = rng
        self._expected: dict[str, int] = {}
        for actor, row in profile.touches.items():
            if count := row.get(resource, 0):
                self._expected[kind_of(actor)] = self._expected.get(kind_of(actor), 0) + count
        self._left = dict(self._expected)
        self._winner = ""

    def meet(self, actor: str) -> None:
        """Somebody is there; a later incarnation has a ticket of its own."""
        kind = kind_of(actor)
        if kind not in self._left:
            self._left[kind] = self._expected.get(in_first_life(kind), 0)

    def admits(self, actor: str) -> bool:
        """Whether it is of the kind whose turn it is."""
        if not self._winner:
            self.draw([kind for kind, left in self._left.items() if left > 0] or [actor])
        return kind_of(actor) == self._winner

    def draw(self, actors: Sequence[str]) -> None:
        """Draw evenly among the kinds of these."""
        kinds = list(dict.fromkeys(map(kind_of, actors)))
        self._winner = kinds[int(self._rng.random() * len(kinds))]

    def took(self, actor: str) -> None:
        """One access less to come."""
        self._left[kind_of(actor)] = self._left.get(kind_of(actor), 0) - 1
        self._winner = ""


class _TaskLottery:
    """Who touches the object next: drawn by how often each actor still will.

    The tickets of a task that does not exist yet are in the hands of the one that starts it.
    """

    def __init__(self, resource: str, profile: Profile, rng: Random) -> None:
        self._rng = rng
        self._own = {actor: row.get(resource, 0) for actor, row in profile.touches.items()}
        self._parents: Mapping[str, str] = profile.parents
        self._tickets: dict[str, int] = {}
        self._winner = ""
        self._family = dict(self._own)
        for actor in reversed(list(profile.touches)):
            parent = profile.parents.get(actor)
            if parent in self._family:
                self._family[parent] += self._family[actor]

    def meet(self, actor: str) -> None:
        """Somebody is there; a child takes its family's tickets from its parent."""
        if actor in self._tickets:
            return
        known = in_first_life(actor)
        tickets = self._family.get(known, 0)
        parent = self._parents.get(known, "")
        if known != actor:
            lane, first = actor.partition(":")[0], known.partition(":")[0]
            parent = parent.replace(first, lane) if parent.startswith(f"{first}:") else ""
        self._tickets[actor] = tickets
        if tickets and parent in self._tickets:
            self._tickets[parent] -= tickets
            if self._winner == parent:
                # Who was drawn was the family: now it is said which of them.
                self.draw([parent, actor])

    def admits(self, actor: str) -> bool:
        """Whether it is the one whose turn it is."""
        if not self._winner:
            self.draw(list(self._tickets))
        return actor == self._winner

    def draw(self, actors: Sequence[str]) -> None:
        """Draw among these by their tickets; evenly, if nobody has any."""
        weights = [max(0, self._tickets[actor]) for actor in actors]
        ticket = self._rng.random() * sum(weights)
        for actor, weight in zip(actors, weights, strict=True):
            ticket -= weight
            if ticket < 0:
                self._winner = actor
                return
        self._winner = actors[int(self._rng.random() * len(actors))]

    def took(self, actor: str) -> None:
        """The object was touched: a ticket is used up, and the next turn is drawn."""
        self._tickets[actor] -= 1
        self._winner = ""
