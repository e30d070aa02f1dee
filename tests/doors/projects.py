"""A small project of a user, and the two doors to it."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from harness import cli

ROOT = Path(__file__).resolve().parents[2]
LEDGERS = (Path(__file__).parent / "ledgers.txt").read_text(encoding="utf-8")
#: Other plugins cost seconds in each run and change nothing here, so only ours is loaded.
PLUGIN = ("-p", "harness.pytest_plugin")
#: What a CI or a pytest around this one sets must not reach the programs under test.
LEAKS = ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_SHA", "CI_COMMIT_SHA")

#: What begins like a command but only names our version.
_COMMAND = re.compile(r"pytest |changeover (?!source|\d|:)")

Done = subprocess.CompletedProcess[str]


def make_project(folder: Path, table: str = "") -> None:
    """A pyproject that names ledgers.py, and no built-in scenario."""
    (folder / "pyproject.toml").write_text(
        f'[tool.changeover]\nscenarios = ["ledgers"]\n{table}', encoding="utf-8"
    )
    (folder / "ledgers.py").write_text(LEDGERS, encoding="utf-8")
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "__init__.py").touch()


def clean_environment() -> dict[str, str]:
    """The environment without what decides profiles and seeds."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in LEAKS and not name.startswith(("CHANGEOVER_", "PYTEST_"))
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "200",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


class Project:
    """A folder with ledgers, and how to run things in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_project(folder)

    def configure(self, table: str) -> None:
        """Add to its pyproject."""
        with (self.folder / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(table)

    def changeover(self, *arguments: str) -> Done:
        """Run the command in this process, which is quick; the fixture keeps it apart."""
        out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with redirect_stdout(out), redirect_stderr(errors):
            code = cli.main(arguments)
        told = [stream.buffer.getvalue().decode() for stream in self._flushed(out, errors)]
        return Done(arguments, code, *told)

    @staticmethod
    def _flushed(*streams: Any) -> tuple[Any, ...]:
        for stream in streams:
            stream.flush()
        return streams

    def type(self, *words: str, **environment: str) -> Done:
        """Run a program of its own, as a user would."""
        return subprocess.run(
            self.program(*words),
            cwd=self.folder,
            env={**clean_environment(), **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def interrupt(self, *words: str, after: str) -> Done:
        """Run a program of its own and press Ctrl-C once a line of its errors has ``after``."""
        with subprocess.Popen(
            self.program(*words),
            cwd=self.folder,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as running:
            assert running.stderr is not None
            for line in running.stderr:
                if after in line:
                    break
            running.send_signal(signal.SIGINT)
            told, errors = running.communicate(timeout=60)
        return Done(words, running.returncode, told, errors)

    @staticmethod
    def program(*words: str) -> list[str]:
        """The words with what stands for the installed program."""
        programs = {
            "changeover": [sys.executable, "-m", "harness.cli"],
            "pytest": [sys.executable, "-m", "pytest", *PLUGIN],
        }
        return [*programs[words[0]], *words[1:]]

    def findings(self) -> list[Path]:
        """The files of its findings."""
        return sorted((self.folder / ".changeover" / "findings").glob("*.json"))


def printed_commands(text: str) -> list[list[str]]:
    """Every command that a text tells the user to type, without what it says about it."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    lines = (line.strip() for line in joined.splitlines())
    found = [line.split("   ")[0] for line in lines if _COMMAND.match(line)]
    return [shlex.split(line) for line in found if len(shlex.split(line)) > 1]
