"""What a step of the exchange means, whether it was simulated or real: the labels of both as one.

In the simulation a message is delivered, over there the subscriber fetches it; a write is one step
in both. That somebody publishes, listens or logs a block is a step of real processes only.
"""

from __future__ import annotations

import re

#: Who acts: lanes that are called otherwise in the other world.
_ACTORS = {
    "main": "outside#1",
    "operator": "operator#1",
    "owner": "people#1",
    **{f"trader{number}": "people#1" for number in range(10)},
}
#: Labels of the simulation, and what they mean.
_SIMULATED = (
    (r"nemesis: (\w+) restart of (\w+)", "{0} restart of {1}"),
    (r"clock -> \d+ ms for (?!nemesis)(\S+): .*", "{0} has waited"),
    (r"\S+: deliver (\w+) to (\S+)", "{1} hears of {0}"),
    (r"(\S+): deliver (\w+)\.(\w+)", "{0} asks {1} to {2}"),
    (r"(\S+): scan \w+/(\w+)/\*", "{0} reads {1}"),
    (r"(\S+): get(?: for update)? database/(\w+)/.*", "{0} reads {1}"),
    (r"(\S+): put(?: all)? database/(\w+).*", "{0} writes {1}"),
    (r"(\S+): commit .*", "{0} commits"),
    (r"(\S+): (?:maintain|reopen) .*", "{0} maintains"),
    (r"(\S+): (put|get) storage/(.*)", "{0} {1}s {2}"),
)
#: The same for real processes; a number of a connection follows the name of the process.
_REAL = (
    (r"nemesis: (\w+) restart of (\w+), as ordered", ""),
    (r"(\S+#\d+): clock -> .*", "{0} has waited"),
    (r"(\S+#\d+)\.\d+: select id, body::text from topic_(\w+) .*", "{0} hears of {1}"),
    (r"(\S+#\d+)\.storage\.\d+: (PUT|GET) /exchange/(.*)", "{0} {1}s {2}"),
    (r"(\S+#\d+)\.(\w+)\.\d+: POST /(\w+)", "{0} asks {1} to {2}"),
    (r"(\S+#\d+)\.\d+: select (?:key, )?row::text from (\w+).*", "{0} reads {1}"),
    (r"(\S+#\d+)\.\d+: insert into (\w+) \(key, row\).*", "{0} writes {1}"),
    (r"(\S+#\d+)\.\d+: commit", "{0} commits"),
    (r"(\S+#\d+)\.\d+: update stored\.maintenance .*", "{0} maintains"),
)
_MEANINGS = [(re.compile(pattern), words) for pattern, words in (*_REAL, *_SIMULATED)]


def kin(label: str) -> str:
    """What a label of either world means; empty for what only one of them has."""
    for pattern, words in _MEANINGS:
        if (match := pattern.fullmatch(label)) is not None:
            return words.format(*(_ACTORS.get(each, each).lower() for each in match.groups()))
    return ""
