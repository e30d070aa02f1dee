"""Where the words of the command go: reports, data, GitHub annotations, the summary of a run.

Standard output carries the answer and nothing else, so that it can be read by a program.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from harness.coverage import matrix_of
from harness.doors.gate import Result
from harness.doors.wordings import as_data, brief, report, statistics_text, summary
from harness.findings import store
from harness.findings.markdown import code, escaped, fenced, github_annotation, render_markdown
from harness.findings.matrix import matrix_markdown

#: Standard output, while what targets print goes elsewhere.
_kept: list[TextIO] = []


@contextmanager
def kept_for_answers() -> Iterator[None]:
    """Keep standard output for the answer: what a target prints goes to standard error."""
    _kept.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _kept.pop()


def standard_output() -> TextIO:
    """Where answers go."""
    return _kept[-1] if _kept else sys.stdout


def say(text: str) -> None:
    """Write the answer."""
    standard_output().write(text if text.endswith("\n") else text + "\n")
    standard_output().flush()


def tell(text: str) -> None:
    """Write what is only for a human who watches."""
    sys.stderr.write(text if text.endswith("\n") else text + "\n")
    sys.stderr.flush()


def wants_ascii(asked: bool = False) -> bool:
    """Whether to draw in ASCII: when asked, or when the terminal can show nothing else."""
    try:
        "●─▶│✖▲…".encode(standard_output().encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return asked


def format_of(asked: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The format of a run's output; that of GitHub where GitHub runs it."""
    return asked or ("github" if environment.get("GITHUB_ACTIONS") == "true" else "text")


def show(result: Result, form: str, *, ascii: bool) -> None:
    """Show a result as soon as it is there; JSON waits for the end."""
    if form == "json":
        return
    if text := report(result, ascii=ascii):
        say(text)
    say(statistics_text(result, ascii=ascii))
    if form == "github":
        for finding in result.findings:
            say(github_annotation(finding))
        if result.error or result.difference is not None:
            say(f"::error title={result.outcome}::{summary(result)}")


def show_all(results: Sequence[Result], form: str, *, code: int, header: str) -> None:
    """The end of a run: how it came out, in one line, or everything as JSON."""
    if form == "json":
        say(json.dumps(data_of(results, code), indent=1))
        return
    outcomes = [result.outcome for result in results]
    counts = ", ".join(f"{outcomes.count(each)} {each}" for each in dict.fromkeys(outcomes))
    say(f"{counts or 'nothing ran'}; {header} (exit {code})")
    if form == "github":
        _append_summary(results)


def data_of(results: Sequence[Result], code: int) -> dict[str, object]:
    """A whole run as JSON values."""
    return {"format": 1, "exit_code": code, "results": [as_data(result) for result in results]}


def github_lines(files: Iterable[str]) -> list[str]:
    """What GitHub shows beside the code for saved findings; their reports go to its summary."""
    findings = [store.load(file) for file in files]
    _append([render_markdown(finding) for finding in findings])
    return [github_annotation(finding) for finding in findings]


def _append_summary(results: Sequence[Result]) -> None:
    blocks = []
    for result in results:
        blocks += [render_markdown(finding) for finding in result.findings]
        if not result.findings:
            blocks.append(f"### {code(result.scenario)} {result.outcome}\n\n")
            blocks.append(escaped(summary(result)) + "\n\n")
            text = report(result)
            blocks.append(fenced(text.splitlines()) + "\n\n" if text else "")
        table = fenced(statistics_text(result).splitlines())
        blocks.append(f"<details><summary>What was tried</summary>\n\n{table}\n\n</details>\n\n")
        if matrix := matrix_markdown(matrix_of(result.statistics.covered)):
            blocks.append(f"<details><summary>Coverage</summary>\n\n{matrix}\n</details>\n\n")
    _append(blocks)


def _append(blocks: Sequence[str]) -> None:
    """Add to what GitHub shows on the page of the run, if it asked for that."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("".join(blocks))
    except OSError as error:
        tell(f"WARNING  the step summary could not be written: {error}")


def remember(results: Sequence[Result], *, root: Path, seed: int, profile: str, code: int) -> str:
    """Write the summary of a run to ``latest`` in ``root``; returns a warning if that failed."""
    try:
        store.write_summary(
            {
                "seed": seed,
                "profile": profile,
                "exit_code": code,
                "results": [brief(result) for result in results],
            },
            root,
            now=datetime.now(UTC),
        )
    except store.StoreError as error:
        return f"the summary of this run could not be written: {error}"
    return ""
