"""What may not even appear in the source of the core: a result could come to depend on it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import target_stub.core

SOURCES = sorted(Path(target_stub.core.__file__).parent.glob("*.py"))
FORBIDDEN_MODULES = {
    "harness",
    "scenarios",
    "trio",
    "random",
    "time",
    "datetime",
    "uuid",
    "secrets",
    "os",
    "threading",
}
FORBIDDEN_CALLS = {"float", "hash", "id", "set", "open", "print", "getattr"}
ALLOWED = {
    ("parameters.py", "getattr"),  # validation loops over field names
    ("state.py", "getattr"),  # ``Market.known`` takes a field name
    ("digest.py", "getattr"),  # writes whatever fields there are
}


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").split(".")[0]}
    return set()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_core_is_pure(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        where = f"{source.name}:{getattr(node, 'lineno', 0)}"
        assert not _imported(node) & FORBIDDEN_MODULES, where
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float), where
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            assert name not in FORBIDDEN_CALLS or (source.name, name) in ALLOWED, where
