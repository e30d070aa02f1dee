"""``python -m tests.documents.reference > docs/reference.md``: what a scenario is written with.

Names are chosen here; signatures and sentences are those of the code, so that the page says what
the code says. A test compares the two.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
from harness.scenario import Scenario
from harness.world.database import Database
from harness.world.disk import Disk
from harness.world.messages import Request
from harness.world.network import Network
from harness.world.objectstore import ObjectStore
from harness.world.service import Life, Service
from harness.world.transactions import Transaction
from harness.world.world import World

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference.md"
HEAD = """# Reference

What a scenario is written with, by name; [own-service.md](own-service.md) says how it goes
together. `python -m tests.documents.reference > docs/reference.md` writes this page from the code.
Times are virtual seconds unless a name says otherwise.

"""
FUNCTIONS = (harness.scenario, harness.restart, harness.clock_jump, harness.touch)
#: Who is told of, under which name a story has it, and which of its names are for stories.
CLASSES: tuple[tuple[type, str, str], ...] = (
    (
        World,
        "world",
        "guards bug service client start_client finished database object_store disk sqlite network "
        "invariant add_invariants random faker now_ms does timeout watch sometimes reachable reach "
        "note measure jump_clock",
    ),
    (Service, "service = world.service(name, run)", "ready restart start stop crash alive gone"),
    (Life, "life, which a service is handed", "enter phase stopping stop_requested alive"),
    (
        Database,
        "database = world.database(...)",
        "load get put put_all compare_and_put update delete scan transaction table maintain reopen",
    ),
    (
        Transaction,
        "async with database.transaction() as transaction",
        "get get_for_update put put_all compare_and_put update delete scan",
    ),
    (
        ObjectStore,
        "storage = world.object_store(...)",
        "load get put put_if delete list begin_outage end_outage objects",
    ),
    (Network, "network = world.network(...)", "listen call send publish subscribe partition heal"),
    (Request, "request, which a listener gets", "payload method reply fail"),
    (
        Disk,
        "disk = world.disk(...)",
        "load read write append rename delete fsync sync_directory listing",
    ),
)


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "## Declaring"
    yield ""
    for function in FUNCTIONS:
        yield from _entry(function.__name__, function)
    yield ""
    yield "What a scenario can be told:"
    yield ""
    yield _plain(inspect.cleandoc(Scenario.__doc__ or "").split("\n\n", 1)[1])
    for owner, name, members in CLASSES:
        yield ""
        yield f"## {owner.__name__}: `{name}`"
        yield ""
        for member in members.split():
            yield from _entry(member, inspect.getattr_static(owner, member, None))


def _entry(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, property):
        yield f"- `{name}`: {_sentence(member)}"
    elif callable(member):
        waits = "await " if inspect.iscoroutinefunction(member) else ""
        yield f"- `{waits}{name}{_signature(member)}`: {_sentence(member)}"
    else:
        yield f"- `{name}`: {ATTRIBUTES[name]}"


#: What is set when it is made has no docstring of its own.
ATTRIBUTES = {
    "guards": "The names of the guards that are on.",
    "bug": "The name of the planted bug; empty without one.",
    "faker": "Invented names and addresses, the same for one seed.",
    "payload": "What was sent.",
    "method": "What is asked for.",
}


def _signature(function: Any) -> str:
    parameters = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in inspect.signature(function).parameters.values()
        if each.name != "self" and not each.name.startswith("_")
    ]
    text = str(inspect.Signature(parameters))
    return re.sub(r"<function .*?>", "...", text)


def _sentence(member: Any) -> str:
    paragraph = inspect.cleandoc(member.__doc__ or "").split("\n\n", 1)[0]
    if not paragraph:
        raise ValueError(f"{member} has no docstring")
    return _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`")


if __name__ == "__main__":
    sys.stdout.write(page())
