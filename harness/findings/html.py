"""The timeline as one page: every lane and every event, with nothing to load and nothing to run.

The page is a table, one row an event and one column a lane; what deviates and what broke is
marked. It can be mailed, stored as an artifact and opened years later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from harness.findings.anatomy import (
    about,
    changes,
    commands,
    counterfactual_sentences,
    exactness,
    followed_headline,
    losses,
    order_headline,
    order_sentence,
    site_text,
    stayed_green,
    what_broke,
    where,
)
from harness.findings.finding import Finding
from harness.findings.wording import one_line, sentence
from harness.history import Event

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --bad: #d33; --odd: #c80; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 78rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; border-left: .4rem solid var(--bad); padding-left: .8rem }
h2 { font-size: 1.05rem; margin-top: 2rem; border-bottom: 1px solid var(--line) }
code, pre, td, th { font-family: ui-monospace, monospace; font-size: .85rem }
pre { background: var(--soft); padding: .8rem; overflow-x: auto }
.timeline { overflow: auto; max-height: 85vh }
table { border-collapse: collapse }
th { position: sticky; top: 0; background: Canvas; text-align: left }
td, th { padding: .15rem .6rem; vertical-align: top; border-left: 1px solid var(--line) }
tr:nth-child(even) { background: var(--soft) }
tr.deviates { outline: 2px solid var(--odd); outline-offset: -2px }
tr.breaks { outline: 3px solid var(--bad); outline-offset: -3px; font-weight: bold }
td.fault { color: var(--bad) }
small { opacity: .75; display: block; font-weight: normal }
"""


def render_html(finding: Finding, *, test_id: str | None = None) -> str:
    """The report and the whole history as one self-contained page."""
    violation = finding.violation
    title = f"RACE {one_line(violation.invariant)}"
    typed = "\n".join(command for command, _ in commands(finding, test_id))
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>\n",
            f"<h1>{_text(title)}<small>{_text(where(finding))}</small></h1>\n",
            _paragraphs((*what_broke(violation), losses(violation))),
            _changes(finding),
            _paragraphs(stayed_green(finding, most=len(finding.held))),
            _followed(finding),
            f"<h2>Why this order</h2>\n<p>{_text(order_headline(finding))}</p>\n",
            _deviations(finding),
            _paragraphs((*counterfactual_sentences(finding), order_sentence(finding))),
            f"<h2>Timeline</h2>\n{_timeline(finding)}",
            f"<h2>Reproduce</h2>\n<p>{_text(exactness(finding))}</p>\n",
            f"<pre>{escape(typed)}</pre>\n",
            f"<h2>About this run</h2>\n{_list(about(finding))}",
            "</body></html>\n",
        )
    )


def _text(text: str) -> str:
    return escape(one_line(text))


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p>{_text(text)}</p>\n" for text in texts if text)


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
    later = finding.violations[1:]
    if not later:
        return ""
    sentences = (
        f"Step {one.step}, {one.invariant}: {sentence(one.message)} {losses(one)}" for one in later
    )
    return f"<h2>What followed</h2>\n<p>{_text(followed_headline(finding))}</p>\n{_list(sentences)}"


def _deviations(finding: Finding) -> str:
    return _list(
        f"step {one.step}: {one.taken or f'option {one.choice}'} ran before "
        f"{one.first or 'option 0'}"
        for one in finding.deviations
    )


def _timeline(finding: Finding) -> str:
    lanes = list(dict.fromkeys(event.lane for event in finding.history))
    marks = {one.step: "deviates" for one in finding.deviations}
    marks[finding.violation.step] = "breaks"
    rows = [
        (event.step, _event(event, lanes, marks.get(event.step, ""))) for event in finding.history
    ]
    rows += _silent(finding, marks, columns=max(len(lanes), 1))
    rows.sort(key=lambda row: row[0])
    body = _row(("step", "ms", *lanes), "th") + "".join(row for _, row in rows)
    legend = "Orange: not first-in-first-out. Red: the step that broke the invariant."
    return f'<p>{legend}</p>\n<div class="timeline"><table>{body}</table></div>\n'


def _silent(finding: Finding, marks: dict[int, str], *, columns: int) -> list[tuple[int, str]]:
    """Rows for deviating and breaking steps that recorded no event."""
    recorded = {event.step for event in finding.history}
    words = {one.step: one.taken for one in finding.deviations}
    words.setdefault(finding.violation.step, finding.violation.message)
    return [
        (
            step,
            f'<tr class="{kind}"><td>{step}</td><td></td>'
            f'<td colspan="{columns}">{_text(words[step])}</td></tr>\n',
        )
        for step, kind in marks.items()
        if step not in recorded
    ]


def _event(event: Event, lanes: Sequence[str], kind: str) -> str:
    blank = "<td></td>"
    number = lanes.index(event.lane)
    cell = f'<td class="{escape(event.kind)}">{_text(event.operation)}{_details(event)}</td>'
    cells = blank * number + cell + blank * (len(lanes) - number - 1)
    mark = f' class="{kind}"' if kind else ""
    return f"<tr{mark}><td>{event.step}</td><td>{event.at_ms}</td>{cells}</tr>\n"


def _details(event: Event) -> str:
    event = event.rendered()
    changed = f"{event.before} -> {event.after}" if event.before or event.after else event.value
    toward = "from" if event.kind in ("read", "receive") else "to"
    facts = (
        event.resource,
        str(changed),
        f"{toward} {event.peer}" if event.peer else "",
        site_text(event.site),
    )
    return "".join(f"<small>{_text(fact)}</small>" for fact in facts if fact)
