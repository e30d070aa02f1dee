"""Every command that the documentation shows runs, and prints what is shown."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import reference
from tests.documents.console import (
    FENCE,
    ROOT,
    agrees,
    build,
    commands,
    masked,
    missing,
    run,
    workplace,
)

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = ROOT / "docs" / "examples" / "test_deposits_race.py"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_output_shown_is_real(path: Path) -> None:
    blocks = FENCE.findall(path.read_text())
    if why := missing(path):
        pytest.skip(why)
    folder = workplace(path)
    try:
        if why := build(path, folder):
            pytest.skip(why)
        for block in blocks:
            for command in commands(block):
                if command.sets_up:
                    continue
                real = run(command.line, folder)
                assert agrees(command.output, real), (
                    f"$ {command.line}\n--- shown\n{command.output}\n--- real\n{real}\n"
                    f"(python -m tests.documents.console {path.name} rewrites it)"
                )
    finally:
        shutil.rmtree(folder)


def test_an_output_that_is_not_real_would_be_noticed() -> None:
    assert agrees("one\n...\nthree 4 ms\n", "one\ntwo\nthree 5 ms\n")
    assert not agrees("one\nthree\n", "one\ntwo\nthree\n")
    assert not agrees("3 accounts lost 5.00 USDC\n", "4 accounts lost 5.00 USDC\n")
    assert masked("digest 9a02e1c7") == ["digest <digest>"]


def test_the_example_in_the_readme_is_the_file_and_short() -> None:
    text = EXAMPLE.read_text()
    assert f"```python\n{text}```" in (ROOT / "README.md").read_text()
    assert text.count("\n") <= 40


def test_the_example_of_crash_equivalence_is_the_file() -> None:
    text = (ROOT / "docs" / "examples" / "statements_equivalence.py").read_text()
    assert f"```python\n{text}```" in (ROOT / "docs" / "crash-equivalence.md").read_text()


def test_the_scenario_of_somebody_elses_services_is_the_file_and_short() -> None:
    text = (ROOT / "docs" / "examples" / "somebody-elses-service" / "races.py").read_text()
    assert f"```python\n{text}```" in (ROOT / "docs" / "somebody-elses-service.md").read_text()
    assert text.partition("def payouts")[2].count("\n") <= 16


def test_the_example_is_mended_by_what_the_readme_says(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    removed, added = _diff(readme)
    text = EXAMPLE.read_text()
    for line in removed:
        assert text.count(line) == 1, line
    first = min(text.index(line) for line in removed[1:])
    mended = text[:first] + "".join(added) + text[first:]
    for line in removed:
        mended = mended.replace(line, "", 1)
    (tmp_path / "test_mended_race.py").write_text(mended)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "race", "--race-schedules", "300"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _diff(readme: str) -> tuple[list[str], list[str]]:
    """The lines that the README's diff takes away and adds."""
    match = re.search(r"```diff\n(.*?)```", readme, re.DOTALL)
    assert match, "the README shows how the example is mended"
    lines = match[1].splitlines(keepends=True)
    return (
        [line[1:] for line in lines if line.startswith("-")],
        [line[1:] for line in lines if line.startswith("+")],
    )


def test_the_two_make_targets_do_what_the_readme_says() -> None:
    for target, command in (("run", "changeover run paradex-2026-01-19"), ("test", "pytest")):
        done = subprocess.run(
            ["make", "--dry-run", "--always-make", target],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert command in done.stdout
        assert "-m venv .venv" in done.stdout


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_reference_is_what_the_code_says() -> None:
    assert reference.DOCUMENT.read_text() == reference.page()


def test_the_table_of_rules_is_the_one_that_the_rules_make() -> None:
    from scenarios.rule_table import markdown

    assert (ROOT / "docs" / "invariants.md").read_text() == markdown()
