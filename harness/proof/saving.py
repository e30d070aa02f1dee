"""A search as plain data, so that it can be written down and go on in another process.

Kept are the vocabulary, the states in which something is still to be tried, with the way to each,
and the errands that were on their way: those are sent again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Any

from harness.proof.errands import Errand, Step
from harness.proof.explorer import Explorer, Sent, Tally
from harness.proof.happening import Event
from harness.proof.tree import Branch, State

Data = dict[str, Any]


def to_data(explorer: Explorer) -> Data:
    """Everything that a search needs to go on."""
    places: dict[State, int] = {}
    states: list[State] = []
    for last in [*explorer.opened, *(sent.state for sent in explorer.sent)]:
        for state in last.way():
            if state not in places:
                places[state] = len(states)
                states.append(state)
    vocabulary = explorer.vocabulary
    return {
        "processes": vocabulary.processes,
        "touches": vocabulary.touches,
        "tally": asdict(explorer.tally),
        "forms": sorted(explorer.forms),
        "numbers": explorer.numbers,
        "states": [_state_data(state, places) for state in states],
        "open": [places[state] for state in explorer.opened],
        "sent": [
            {
                "errand": asdict(sent.errand),
                "state": places[sent.state],
                "branch": _branch_data(sent.branch) if sent.branch else None,
            }
            for sent in explorer.sent
        ],
    }


def take_over(explorer: Explorer, data: Data) -> list[Errand]:
    """Let a new search go on where another one was; the errands that were on their way then."""
    vocabulary = explorer.vocabulary
    for parent, name in data["processes"]:
        vocabulary.process((parent, name))
    for touches in data["touches"]:
        vocabulary.set_of([(resource, how) for resource, how in touches])
    explorer.tally = Tally.of(data["tally"])
    explorer.forms = set(data["forms"])
    explorer.numbers = data["numbers"]
    states: list[State] = []
    for each in data["states"]:
        states.append(_state(each, states, explorer))
    explorer.root = states[0]
    explorer.opened = [states[place] for place in data["open"]]
    explorer.sent = deque()
    for each in data["sent"]:
        errand = each["errand"]
        explorer.sent.append(
            Sent(
                Errand(
                    errand["number"],
                    tuple(errand["prefix"]),
                    tuple((process, touched) for process, touched in errand["sleep"]),
                    tuple(errand["guide"]),
                ),
                states[each["state"]],
                _branch(each["branch"]) if each["branch"] else None,
            )
        )
    explorer.begun = True
    return [sent.errand for sent in explorer.sent]


def _state_data(state: State, places: dict[State, int]) -> Data:
    event = state.came_by
    return {
        "parent": places[state.parent] if state.parent else None,
        "event": _event_data(event) if event else None,
        "could": list(state.could.items()),
        "sleep": list(state.sleep.items()),
        "taken": list(state.taken.items()),
        "unseen": state.unseen,
        "open": state.is_open,
        "branches": [_branch_data(branch) for branch in state.branches],
    }


def _state(data: Data, states: list[State], explorer: Explorer) -> State:
    parent = None if data["parent"] is None else states[data["parent"]]
    event = _event(data["event"], explorer) if data["event"] else None
    state = State(parent, event, [], dict(data["sleep"]))
    state.could, state.taken = dict(data["could"]), dict(data["taken"])
    state.unseen, state.is_open = data["unseen"], data["open"]
    state.branches = [_branch(each) for each in data["branches"]]
    return state


def _event_data(event: Event) -> Data:
    return {
        "step": list(event.step),
        "enabled": sorted(event.enabled),
        "past": hex(event.past),
        "head": event.head,
        "level": event.level,
        "touched": event.touched,
    }


def _event(data: Data, explorer: Explorer) -> Event:
    process, choice, touched, order, kind, could, *rest = data["step"]
    pairs = tuple((who, place) for who, place in could)
    event = Event(Step(process, choice, touched, order, kind, pairs, *rest))
    event.enabled = frozenset(data["enabled"])
    event.past, event.head, event.level = int(data["past"], 16), data["head"], data["level"]
    event.touched = data["touched"]
    event.masks = explorer.vocabulary.masks[event.touched]
    return event


def _branch_data(branch: Branch) -> list[Any]:
    return [branch.process, branch.touched, [_branch_data(each) for each in branch.below]]


def _branch(data: list[Any]) -> Branch:
    branch = Branch((data[0], data[1]))
    branch.below = [_branch(each) for each in data[2]]
    return branch
