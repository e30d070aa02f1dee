"""The house rules, kept by reading the source: who imports whom, how big a room may be, which
names are traps, and what may never stand in a project whose runs must be repeatable."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("harness", "scenarios", "target_stub")
LINES_MAX, FUNCTION_LINES_MAX = 400, 70

#: Who stands on whose shoulders; a module imports from its own package or from a lower rank only.
RANKS = (
    ("harness.errors",),
    ("harness.settings", "harness.history", "harness.coverage", "harness.schedule.choices"),
    ("harness.findings", "harness.raised"),
    ("harness.invariants", "harness.schedule.strategies", "harness.schedule.fragments"),
    ("harness.schedule", "harness.judged"),
    ("harness.world",),
    ("harness.scenario", "harness.equivalence"),
    ("harness.simulated", "harness.live"),
    ("harness.engine",),
    ("harness.budget", "harness.steps", "harness.narration"),
    ("harness.experiments",),
    ("harness.candidates", "harness.constraints", "harness.proof", "harness.sizes"),
    ("harness.shrink", "harness.repeat", "harness.statistics"),
    ("harness.confirmation", "harness.knowledge"),
    ("harness.trial",),
    ("harness.campaign", "harness.replay", "harness.carrying"),
    ("harness.doors", "harness.cli", "harness.pytest_plugin"),
)
DOORS = ("harness.cli", "harness.pytest_plugin")


def modules(*packages: str) -> list[Path]:
    """The source files of some packages."""
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def name_of(path: Path) -> str:
    """A file's module name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere, for type checking too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rank(module: str) -> int | None:
    """The rank of a module: of the longest prefix that has one."""
    best: tuple[int, int] | None = None
    for level, names in enumerate(RANKS):
        for name in names:
            if (module == name or module.startswith(f"{name}.")) and (
                best is None or len(name) > best[1]
            ):
                best = (level, len(name))
    return best[0] if best else None


@pytest.mark.parametrize("path", modules("harness"), ids=name_of)
def test_the_harness_imports_only_downwards(path: Path) -> None:
    module = name_of(path)
    if module == "harness":
        return  # the public API names what the rooms hold, and loads it only when asked
    own = rank(module)
    assert own is not None, f"{module} has no rank; give it one in this file"
    for imported in imports(path):
        if not imported.startswith("harness"):
            continue
        other = rank(imported)
        room = module.rpartition(".")[0]
        same_room = imported == room or imported.startswith(f"{room}.")
        if other is not None and other >= own and not (same_room and other == own):
            pytest.fail(f"{module} (rank {own}) imports {imported} (rank {other})")


def test_the_harness_knows_no_exchange_and_the_exchange_no_harness() -> None:
    for path in modules("harness"):
        assert not [m for m in imports(path) if m.split(".")[0] in ("scenarios", "target_stub")]
    for path in modules("target_stub"):
        assert not [m for m in imports(path) if m.split(".")[0] in ("scenarios", "harness")], path


def test_only_their_rooms_import_trio_and_pytest() -> None:
    for path in modules("harness"):
        module = name_of(path)
        if not module.startswith(("harness.schedule", "harness.world")):
            assert "trio" not in {m.split(".")[0] for m in imports(path)}, module
        if module != "harness.pytest_plugin":
            assert not {m.split(".")[0] for m in imports(path)} & {"pytest", "_pytest"}, module


def test_nobody_imports_a_door() -> None:
    for path in modules(*PACKAGES):
        if name_of(path) not in DOORS:
            assert not [m for m in imports(path) if m in DOORS], path


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=name_of)
def test_rooms_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LINES_MAX, f"{path} is too long: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, f"{path}: {node.name}"


def test_no_test_name_is_caught_by_k_race_by_accident() -> None:
    trap = re.compile(r"trace|graceful|bracket|embrace", re.IGNORECASE)
    for path in modules("tests"):
        if path.name.startswith("test_"):
            assert not trap.search(path.name), path
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "name", None) or ""
            assert not (name.lower().startswith("test") and trap.search(name)), f"{path}: {name}"


def test_nothing_unrepeatable_is_called() -> None:
    for path in modules(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("hash", "id"), f"{path}:{node.lineno}"


def test_money_is_never_a_float() -> None:
    for path in modules("target_stub/core"):
        for node in ast.walk(ast.parse(path.read_text())):
            floating = isinstance(node, ast.Constant) and isinstance(node.value, float)
            made = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float"
            assert not floating and not made, f"{path}:{getattr(node, 'lineno', 0)}"


def test_nothing_is_left_unfinished_or_tied_to_one_machine() -> None:
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b")
    tied = re.compile(
        "/(?:" + "|".join(("wo" + "rk", "far" + "m", "ro" + "ot")) + r")/\w|\.\./shared"
    )
    for name in files:
        path = ROOT / name
        if path.suffix not in {".py", ".md", ".toml", ".yml"} or not path.is_file():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not tied.search(line), f"{name}:{number}"
            if name.split("/")[0] in PACKAGES:
                assert not unfinished.search(line), f"{name}:{number}"
