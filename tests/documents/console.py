"""Reads console blocks out of Markdown, runs their commands, and writes or compares the outputs.

A block is fenced as ``console``; a line that begins with ``$ `` is a command, the lines after it
are its output, and a line ``...`` stands for any number of lines left out. What differs between
two machines or two minutes (durations, versions, digests, line numbers) is masked on both sides.

    python -m tests.documents.console README.md     rewrites the outputs in place
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.live import servers

ROOT = Path(__file__).parent.parent.parent
FENCE = re.compile(r"```console\n(.*?)```", re.DOTALL)
#: Commands that set up or would run this very test; other tests execute what they stand for.
SETS_UP = ("git ", "cd ", "make ", "python3 -m venv", "pip ", "uv ", ".venv/bin/", "npm ")
#: The document whose services are built first, with what npm fetches; and how long that may take.
BUILT, BUILD_WAIT_S = "somebody-elses-service", 120
_MASKS = (
    (re.compile(r"\b\d[\d,]*(\.\d+)?( ?m?s\b|/s\b)"), "<time>"),
    (re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{6,8}\b"), "<digest>"),
    (re.compile(r"(?<=-)\b[0-9]{6}(?=\.json)"), "<digest>"),
    (re.compile(r"\.py:\d+"), ".py:<line>"),
    (re.compile(r"(python|trio|changeover) \d+\.\d+(\.\d+)?"), r"\1 <version>"),
    (re.compile(r"\s+git \S+(\+changes)?"), ""),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the output that the document shows for it."""

    line: str
    output: str

    @property
    def sets_up(self) -> bool:
        """Whether it only prepares, and is tested elsewhere."""
        return self.line.startswith(SETS_UP)


def commands(block: str) -> Iterator[Command]:
    """The commands of one console block, in their order."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        while line.endswith("\\"):
            more, _, output = output.partition("\n")
            line = line[:-1] + more.strip()
        yield Command(line, output)


def run(line: str, folder: Path) -> str:
    """What a command prints in a folder, errors included; its exit code is shown by ``; echo``."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("GITHUB", "PYTEST", "COV"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "CI": "",
    }
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return done.stdout


def masked(text: str) -> list[str]:
    """The lines of an output without what no two runs share; empty lines do not count."""
    for pattern, substitute in _MASKS:
        text = pattern.sub(substitute, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def agrees(shown: str, real: str) -> bool:
    """Whether an output is what the document shows, where ``...`` alone on a line skips lines."""
    wanted, found = masked(shown), masked(real)
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in wanted
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in found)) is not None


def workplace(document: Path) -> Path:
    """A fresh folder with the examples of the documentation, and those of this document alone."""
    folder = Path(tempfile.mkdtemp(prefix="changeover-documents-"))
    examples = ROOT / "docs" / "examples"
    for example in (*examples.glob("*.py"), *(examples / document.stem).glob("*")):
        if example.is_file():
            shutil.copy(example, folder)
    return folder


def missing(document: Path) -> str:
    """Why the commands of a document cannot be run on this machine; empty if they can be."""
    if document.stem != BUILT:
        return ""
    absent = [each for each in ("node", "npm", "cc", "pg_config") if not shutil.which(each)]
    if absent:
        return f"{', '.join(absent)} needed, to build the services of {document.name}"
    if find_spec("psycopg") is None:
        return f"psycopg (the extra live) is needed, for a service of {document.name}"
    return servers.missing()


def build(document: Path, folder: Path) -> str:
    """Fetch and build what a document's services are made of; why that cannot be done."""
    if document.stem != BUILT:
        return ""
    for block in FENCE.findall(document.read_text()):
        for command in commands(block):
            if command.line.startswith("npm "):
                try:
                    done = subprocess.run(
                        ["bash", "-c", command.line],
                        cwd=folder,
                        capture_output=True,
                        text=True,
                        timeout=BUILD_WAIT_S,
                        check=False,
                    )
                except subprocess.TimeoutExpired:
                    return f"{command.line!r} took more than {BUILD_WAIT_S} s"
                if done.returncode:
                    return f"{command.line!r} failed: {done.stderr[-300:]}"
    return ""


def rewrite(path: Path) -> None:
    """Run the commands of a document and put their real outputs into it."""
    folder = workplace(path)
    if why := missing(path) or build(path, folder):
        raise SystemExit(f"{path}: {why}")

    def renew(match: re.Match[str]) -> str:
        shown = ""
        for command in commands(match[1]):
            shown += f"$ {command.line}\n"
            keeps = command.sets_up or "\n...\n" in f"\n{command.output}"
            shown += command.output if keeps else run(command.line, folder).rstrip() + "\n"
        return f"```console\n{shown}```"

    path.write_text(FENCE.sub(renew, path.read_text()))
    shutil.rmtree(folder)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        rewrite(Path(argument))
