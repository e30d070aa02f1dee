"""The timeline as one page: every event of the run, with nothing to load and nothing to run.

The page is the report, and a table with one row an event and one column a service of the story;
all other lanes share the last column. The rows that tell the story are shown at once, the others
when asked for. It can be mailed, stored as an artifact and opened years later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from harness.findings.aftermath import blast_radius, cost, followed, followed_headline, losses
from harness.findings.anatomy import (
    about,
    commands,
    exactness,
    held,
    order_headline,
    what_broke,
    where,
)
from harness.findings.diagram import LANES_MAX, ROWS_MAX
from harness.findings.finding import Finding
from harness.findings.reasons import grounds, orders
from harness.findings.selection import Row, select
from harness.findings.strokes import captions
from harness.findings.watched import changes, differences, site_text
from harness.findings.wording import column_of, counted, one_line, plain, sentence
from harness.history import Event

#: A value of more characters is cut, with its length; the saved file holds all of it.
VALUE_MAX = 160
#: A history of so many events at most is shown whole.
WHOLE_MAX = 40

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --bad: #d33; --odd: #c80; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 82rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; border-left: .4rem solid var(--bad); padding-left: .8rem }
h2 { font-size: 1.05rem; margin-top: 2rem; border-bottom: 1px solid var(--line) }
p, li { max-width: 50rem }
.cost { font-size: 1.1rem; font-weight: bold; color: var(--bad) }
code, pre, td, th { font-family: ui-monospace, monospace; font-size: .82rem }
pre { background: var(--soft); padding: .8rem; overflow-x: auto }
table { border-collapse: collapse }
th { position: sticky; top: 0; background: Canvas; text-align: left }
td, th { padding: .2rem .6rem; vertical-align: top; border-left: 1px solid var(--line) }
td { overflow-wrap: anywhere; min-width: 6rem; max-width: 22rem }
td.number { text-align: right; min-width: 0; white-space: nowrap; opacity: .75 }
tr { border-top: 1px solid var(--soft) }
tr.deviates { outline: 2px solid var(--odd); outline-offset: -2px }
tr.breaks { outline: 3px solid var(--bad); outline-offset: -3px; font-weight: bold }
tr.quiet { display: none; opacity: .8 }
tr.fold td { text-align: center; opacity: .6; background: var(--soft); max-width: none }
#every:checked ~ .timeline tr.quiet { display: table-row }
#every:checked ~ .timeline tr.fold { display: none }
td.fault { color: var(--bad) }
small { opacity: .75; display: block; font-weight: normal }
"""


def render_html(finding: Finding, *, test_id: str | None = None) -> str:
    """The report and the whole history as one self-contained page."""
    violation = finding.violation
    title = f"RACE {one_line(violation.invariant)}"
    typed = "\n".join(command for command, _ in commands(finding, test_id))
    broke, *reasons = what_broke(violation)
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>\n",
            f"<h1>{_text(title)}<small>{_text(where(finding))}</small></h1>\n",
            _paragraphs((broke,)),
            _paragraphs(
                (cost(finding), sentence(losses(violation)), blast_radius(finding)), kind="cost"
            ),
            _paragraphs(reasons),
            _list(violation.stack) if violation.stack else "",
            _changes(finding),
            _paragraphs((*map(sentence, finding.notes), held(finding, most=len(finding.held)))),
            _followed(finding),
            f"<h2>Why this order</h2>\n<p>{_text(order_headline(finding))}</p>\n",
            _list(map(" ".join, orders(finding.constraints))) if finding.constraints else "",
            _paragraphs(grounds(finding)),
            _deviations(finding),
            f"<h2>Timeline</h2>\n{_timeline(finding)}",
            f"<h2>Reproduce</h2>\n<p>{_text(exactness(finding))}</p>\n",
            f"<pre>{escape(typed)}</pre>\n",
            f"<h2>About this run</h2>\n{_list(about(finding))}",
            "</body></html>\n",
        )
    )


def _text(text: str) -> str:
    return escape(one_line(text))


def _paragraphs(texts: Iterable[str], kind: str = "") -> str:
    start = f'<p class="{kind}">' if kind else "<p>"
    return "".join(f"{start}{_text(text)}</p>\n" for text in texts if text)


def _list(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(text)}</li>" for text in texts) + "</ul>\n"


def _row(cells: Iterable[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>\n"


def _changes(finding: Finding) -> str:
    rows = [
        _row((str(row.step), row.before, row.after, row.actor, row.site))
        for row in changes(finding)
    ]
    head = _row(("step", "before", "after", "by", "at"), "th")
    return f"<table>{head}{''.join(rows)}</table>\n" if rows else ""


def _followed(finding: Finding) -> str:
    told = [f"Step {one.step}: {one.text}" for one in followed(finding)]
    if not told:
        return ""
    return f"<h2>What followed</h2>\n<p>{_text(followed_headline(finding))}</p>\n{_list(told)}"


def _deviations(finding: Finding) -> str:
    return _list(
        f"step {one.step}: {one.doing} ran before {one.first or 'option 0'}"
        for one in finding.deviations
    )


# --- the timeline ----------------------------------------------------------------------------


def _timeline(finding: Finding) -> str:
    scene, violation = select(finding, lanes_max=LANES_MAX, rows_max=ROWS_MAX), finding.violation
    events = scene.events
    rows = [row for row in scene.rows if isinstance(row, Row)]
    told = {row.stands_for[0]: captions(row.event, "")[0] for row in rows}
    breaking = next(row.stands_for[0] for row in rows if row.breaks)
    deviating = {one.step for one in finding.deviations} - {finding.violation.step}
    acting = {column_of(event.lane) for event in events}
    columns = [name for name in scene.columns if name in acting]
    busy = Counter(column_of(event.lane) for event in events if event.lane != violation.invariant)
    spare = [name for name, _ in busy.most_common() if name not in columns]
    columns += spare[: LANES_MAX - len(columns)]
    width = len(columns) + bool(acting - set(columns))
    folds = len(events) > WHOLE_MAX
    body = [_row(("step", "ms", *columns, *["the others"][: width - len(columns)]), "th")]
    folded: list[str] = []
    for index, event in enumerate(events):
        deviates = event.step in deviating
        deviating.discard(event.step)
        kind = "breaks" if index == breaking else "deviates" if deviates else ""
        if kind or index in told or not folds:
            body += [*_folded(folded, width), _event(event, columns, width, kind, told.get(index))]
            folded = []
        else:
            folded.append(_event(event, columns, width, "quiet"))
    body += _folded(folded, width)
    legend = "Orange: not first-in-first-out. Red: the step that broke the invariant."
    every = f'<label for="every"> show all {counted(len(events), "event")}</label>\n'
    asked = f'<input type="checkbox" id="every">{every}' if folds else ""
    return f'<p>{legend}</p>\n{asked}<div class="timeline"><table>{"".join(body)}</table></div>\n'


def _folded(rows: Sequence[str], width: int) -> list[str]:
    """Rows that are shown only when asked for, and the one that counts them meanwhile."""
    if not rows:
        return []
    count = f'<td colspan="{width + 2}">{counted(len(rows), "event")}</td>'
    return [f'<tr class="fold">{count}</tr>\n', *rows]


def _event(
    event: Event, columns: Sequence[str], width: int, kind: str, told: str | None = None
) -> str:
    """The row of an event, in the column of its service or in the last one, of all others."""
    name = column_of(event.lane)
    words = told or one_line(event.operation) or event.kind
    if name not in columns:
        words = f"{event.lane}: {words}"
    elif "#" in event.lane:
        words = f"#{event.lane.partition('#')[2]} {words}"
    number = columns.index(name) if name in columns else len(columns)
    cell = f'<td class="{escape(event.kind)}">{_text(words)}{_details(event)}</td>'
    mark = f' class="{kind}"' if kind else ""
    at = f'<td class="number">{event.step}</td><td class="number">{event.at_ms}</td>'
    after = "<td></td>" * (width - number - 1)
    return f"<tr{mark}>{at}{'<td></td>' * number}{cell}{after}</tr>\n"


def _details(event: Event) -> str:
    if event.kind == "phase" and event.resource == event.lane:
        return ""
    toward = "from" if event.kind in ("read", "receive") else "to"
    facts = (
        event.resource,
        *_values(event),
        f"{toward} {event.peer}" if event.peer else "",
        site_text(event.site),
    )
    return "".join(f"<small>{_text(fact)}</small>" for fact in facts if fact)


def _values(event: Event) -> list[str]:
    """The value of an event, or what it changed, field by field if it is a row of them."""
    before, after = plain(event.before), plain(event.after)
    if not before and not after:
        return [_cut(plain(event.value))]
    fields = differences(before, after)
    if len(before) + len(after) <= VALUE_MAX or not fields:
        return [f"{_cut(before)} -> {_cut(after)}"]
    return [f"{name}: {_cut(old)} -> {_cut(new)}" for name, old, new in fields]


def _cut(text: str) -> str:
    if len(text) <= VALUE_MAX:
        return text
    return f"{text[:VALUE_MAX]} … ({len(text):,} characters in the saved file)"
