"""What others have published: schedules to the first bug.

Sources: ``SURW`` to ``N-S`` are the artifact of 'Selectively Uniform Concurrency Testing' (Zhao et
al., ASPLOS 2025), file ``stats/period/out.tex``: mean and standard deviation of 20 trials of at
most 10,000 schedules (a million for SafeStack), ``N-U`` and ``N-S`` its ablations. ``POS*`` to
``RFF`` are means of 20 trials computed from ``full-data.csv`` of the artifact of 'Greybox Fuzzing
for Concurrency Testing' (Wolff et al., ASPLOS 2024); ``PERIOD`` and ``GenMC`` are as its
``prior_work.csv`` has them. A ``*`` behind a figure: not found in every trial. ``-``: never found.
``.``: no figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

COLUMNS = (
    *("SURW", "PCT-3", "PCT-10", "POS", "RW", "N-U", "N-S"),
    *("POS*", "PCT3*", "QL", "RFF", "PERIOD", "GenMC"),
)
#: Which of our strategies is which column.
SAME = {"surw": "SURW", "pct(3)": "PCT-3", "pct(10)": "PCT-10", "pos": "POS", "random": "RW"}

TABLE = """
account           6±5      4±2       4±3       4±3       18±24     7±4       3±1        1 9 6 1 2 5
bluetooth_driver  70±55    112±73    83±86     36±29     215±225   70±55     1494±1474* 72 161 155 45 9 10
deadlock01        2±0      13±12     7±6       4±3       3±3       4±3       3±1        4 20 1 5 3 .
lazy01            2±0      5±3       5±3       5±3       21±21     6±3       4±2        5 10 12 6 3 1
stack             5±3      3±2       3±1       2±1       176±136   5±4       986±1163*  2 2 1 2 2 20
token_ring        8±6      8±6       8±8       9±11      13±13     10±7      9±6        7 8 12 5 4 14
twostage          8±4      13±14     9±10      15±12     464±581   8±5       9±8        15 9 336 8 3 3
twostage_20       6±3      159±151   101±92    156±137   -         172±164   24±28      185 188 - 22 . .
twostage_50       20±17    1676±1715 692±392   1637±1385 -         1834±1894 93±58      1984* 849 - 35 . .
reorder_3         7±7      185±199   148±191   86±70     -         26±20     24±23      223 241 45843* 7 6 .
reorder_4         7±6      554±643   362±213   533±651   -         53±45     22±27      1464 395 - 6 9 .
reorder_5         10±9     647±517   1094±1216 2169±2182 -         152±118   27±28      4377* 1126 - 6 12 .
reorder_10        17±11    3225±2426* 4462±3266* -       -         4358±3358* 74±65     - 2356 - 6 27 .
reorder_20        6±4      3005±2680 3297±2877* -        -         3783±3345* 10±9      - 2128 - 6 39 .
reorder_50        13±12    3304±1721* -        -         -         -         75±62      - 12346* - 6 . .
wronglock         7±7      51±50     20±20     10±14     36±42     4±3       4±1        1 88 37 1 10 3
wronglock_3       9±9      58±46     14±10     11±14     36±42     5±4       5±2        1 40 37 1 6 .
carter01          .        .         .         .         .         .         .          2 5 1 2 5 .
queue             .        .         .         .         .         .         .          1 12 1 1 25 22
circular_buffer   .        .         .         .         .         .         .          2 5 2 2 17 8
stringbuffer      8±7      281±261   26±24     23±19     2243±2324* 8±6      834±608    18 195 1405 15 12 .
WorkStealQueue    6±4      48±49     16±14     12±7      .         33±33     13±10      10 12 - 10 1661 .
boundedBuffer     9±7      20±18     6±4       5±4       7±7       8±6       7±5        6 15 14 8 20 .
qsort_mt          3048±2669* 4714±2931* 3689±2997* 3004±2787* 3442±2806* 2392±1718 297±209 646 3838 - 322 27 .
SafeStack         368921±329371* -   -         -         -         .         -          - - - - . .
"""  # noqa: E501

_FIGURE = re.compile(r"(?P<mean>\d+)(±(?P<deviation>\d+))?(?P<star>\*)?")


@dataclass(frozen=True, slots=True)
class Published:
    """One figure: ``mean`` is nothing if it was never found; ``always`` if in every trial."""

    mean: float | None
    deviation: float | None = None
    always: bool = True

    def __str__(self) -> str:
        if self.mean is None:
            return "never"
        spread = f"±{self.deviation:.0f}" if self.deviation is not None else ""
        return f"{self.mean:.0f}{spread}{'' if self.always else '*'}"


def parse(text: str) -> Mapping[str, Mapping[str, Published]]:
    """The figures of a table, by program and column; columns without a figure are left out."""
    figures: dict[str, dict[str, Published]] = {}
    for line in text.strip().splitlines():
        program, *cells = line.split()
        if len(cells) != len(COLUMNS):
            raise ValueError(f"{program} has {len(cells)} figures, expected {len(COLUMNS)}")
        figures[program] = {
            column: _figure(cell)
            for column, cell in zip(COLUMNS, cells, strict=True)
            if cell != "."
        }
    return figures


def _figure(cell: str) -> Published:
    if cell == "-":
        return Published(None, always=False)
    match = _FIGURE.fullmatch(cell)
    if match is None:
        raise ValueError(f"{cell!r} is not a figure; expected 12, 12±3, 12±3*, - or .")
    deviation = match["deviation"]
    return Published(
        float(match["mean"]), float(deviation) if deviation else None, match["star"] is None
    )


PUBLISHED = parse(TABLE)
