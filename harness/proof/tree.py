"""The states of a search in which choices are open, and the sequences that are to be tried there.

Sleep sets and wakeup trees after Abdulla et al. (see :mod:`harness.proof.happening`): a process
that was tried in a state sleeps in what comes later from there until somebody gets in its way, and
a sequence is only added where nothing that is tried already leads to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.proof.happening import Event, Move
from harness.proof.resources import Masks
from harness.proof.vocabulary import Vocabulary


class Branch:
    """A move that is to be made, and the branches that are to follow it."""

    __slots__ = ("below", "process", "touched")

    def __init__(self, move: Move) -> None:
        self.process, self.touched = move
        self.below: list[Branch] = []


class State:
    """A state of the search: where it is, who sleeps there, what was tried and what is to be tried.

    ``could`` are the processes that can go, with the places of their options. ``taken`` are those
    that were tried, with what they touched; of those in ``unseen`` that is not known yet.
    """

    __slots__ = (
        "branches",
        "came_by",
        "could",
        "depth",
        "is_open",
        "parent",
        "sleep",
        "taken",
        "unseen",
    )

    def __init__(
        self,
        parent: State | None,
        came_by: Event | None,
        could: Iterable[tuple[int, int]],
        sleep: dict[int, int],
    ) -> None:
        self.parent = parent
        self.came_by = came_by
        self.depth: int = parent.depth + 1 if parent else 0
        self.could = dict(could)
        self.sleep = sleep
        self.taken: dict[int, int] = {}
        self.unseen = 0
        self.branches: list[Branch] = []
        self.is_open = False

    def way(self) -> list[State]:
        """The states on the way here, the first one first, this one last."""
        states: list[State] = []
        state: State | None = self
        while state is not None:
            states.append(state)
            state = state.parent
        return states[::-1]


def add(state: State, moves: Sequence[Move], vocabulary: Vocabulary) -> bool:
    """Let a sequence of moves be tried from a state, unless that leads nowhere new."""
    masks = vocabulary.masks
    if moves[0][0] not in state.could:
        return False
    for tried in (state.sleep, state.taken):
        for process, touched in tried.items():
            if _may_begin(process, masks[touched], moves, masks):
                return False
    left, branches = list(moves), state.branches
    while True:
        for branch in branches:
            if _may_begin(branch.process, masks[branch.touched], left, masks):
                left = _removed(branch.process, left)
                if not left or not branch.below:
                    return False
                branches = branch.below
                break
        else:
            _append(branches, left)
            return True


def _append(branches: list[Branch], moves: Iterable[Move]) -> None:
    for move in moves:
        branch = Branch(move)
        branches.append(branch)
        branches = branch.below


def _may_begin(process: int, mine: Masks, moves: Iterable[Move], masks: Sequence[Masks]) -> bool:
    """Whether a sequence is equal to one that begins with this process."""
    for other, touched in moves:
        if other == process:
            return True
        if mine.conflict(masks[touched]):
            return False
    return False


def _removed(process: int, moves: Sequence[Move]) -> list[Move]:
    left = list(moves)
    for index, (other, _) in enumerate(left):
        if other == process:
            del left[index]
            break
    return left


def sequences(branches: Iterable[Branch]) -> list[tuple[Move, ...]]:
    """The sequences that a forest of branches holds, from the top to each leaf."""
    found: list[tuple[Move, ...]] = []
    for branch in branches:
        move = (branch.process, branch.touched)
        found += [(move, *rest) for rest in sequences(branch.below)] or [(move,)]
    return found
