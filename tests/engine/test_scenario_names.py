"""A name means one scenario, wherever it was declared."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import scenario
from harness.errors import UsageError
from harness.scenario import _registry, registered

DECLARED = "from harness import scenario\n\n\n@scenario\nasync def till(world):\n    pass\n"
Written = Callable[[str, str], object]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Write a module and import it; nothing of it stays."""
    monkeypatch.syspath_prepend(tmp_path)
    before, modules = dict(_registry), set(sys.modules)

    def write(name: str, text: str) -> object:
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write
    _registry.clear()
    _registry.update(before)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_two_files_cannot_share_a_name(written: Written) -> None:
    written("one_till", DECLARED)
    with pytest.raises(UsageError, match=r"named 'till': one_till\.py:4 and other_till\.py:4"):
        written("other_till", DECLARED)


def test_one_file_cannot_name_two_alike(written: Written) -> None:
    twice = DECLARED + "\n\n" + DECLARED.partition("\n\n\n")[2]
    with pytest.raises(UsageError, match=r"named 'till': one_till\.py:4 and one_till\.py:9"):
        written("one_till", twice)


def test_a_module_may_be_loaded_again_and_moved_about(written: Written, tmp_path: Path) -> None:
    module = written("one_till", DECLARED)
    (tmp_path / "one_till.py").write_text("# A line that was not there.\n" + DECLARED)
    importlib.reload(module)  # type: ignore[arg-type]
    site = registered()["till"].site
    assert site is not None
    assert site.line == 5


def test_a_file_may_be_imported_under_two_names(written: Written, tmp_path: Path) -> None:
    written("one_till", DECLARED)
    path = tmp_path / "one_till.py"
    spec = importlib.util.spec_from_file_location("tests.one_till", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["tests.one_till"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert registered()["till"].module == "tests.one_till"


def test_what_a_function_declares_may_be_declared_again(written: Written) -> None:
    def declare(number: int) -> None:
        @scenario(name="passing till")
        async def story(world: object) -> None:
            assert number

    declare(1)
    declare(2)

    @scenario(name="passing till")
    async def other(world: object) -> None:
        pass

    assert registered()["passing till"] is other
    written("one_till", DECLARED)
    with pytest.raises(UsageError, match="two scenarios are named 'till'"):
        scenario(name="till")(other.story)


def test_a_module_that_is_gone_leaves_its_names(written: Written) -> None:
    written("one_till", DECLARED)
    del sys.modules["one_till"]
    written("other_till", DECLARED)
    assert registered()["till"].module == "other_till"
