"""The corpus keeps what showed something new, within its limit, and says what it dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.findings.corpus import Corpus, Entry
from harness.findings.files import StoreError


def filled(root: Path, *entries: Entry, entries_max: int = 1000) -> Corpus:
    """A corpus with some schedules."""
    corpus = Corpus("ledger", {}, root, entries_max=entries_max)
    for entry in entries:
        corpus.add(entry)
    return corpus


def test_a_schedule_is_found_again_with_what_was_new(tmp_path: Path) -> None:
    entries = [Entry("ledger@1:2=1", ("a", "b")), Entry("ledger@1:3=1", ("c",))]
    filled(tmp_path, *entries)
    again = Corpus("ledger", {}, tmp_path)
    assert sorted(again.entries, key=lambda each: each.token) == entries
    assert again.tokens == tuple(each.token for each in again.entries)
    assert not again.problems


def test_of_too_many_the_oldest_of_those_that_showed_least_goes(tmp_path: Path) -> None:
    entries = [
        Entry(f"ledger@1:{step}=1", ("x",) * size) for step, size in ((1, 2), (2, 1), (3, 1))
    ]
    corpus = filled(tmp_path, *entries, Entry("ledger@1:4=1", ("y",)), entries_max=3)
    assert corpus.tokens == ("ledger@1:1=1", "ledger@1:3=1", "ledger@1:4=1")
    assert corpus.dropped == 1
    assert len(list((tmp_path / "corpus" / "ledger").iterdir())) == 3


def test_another_variant_is_another_corpus(tmp_path: Path) -> None:
    filled(tmp_path, Entry("ledger@1:2=1", ("a",)), Entry("ledger+guards=all@1:2=1", ("a",)))
    assert Corpus("ledger", {"guards": "all"}, tmp_path).tokens == ("ledger+guards=all@1:2=1",)
    assert Corpus("ledger", {"bug": "x"}, tmp_path).tokens == ()


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"format": 2}', '{"format": 1, "token": 3}', '{"format": 1, "token": "x"}'],
)
def test_a_file_of_another_kind_is_set_aside_and_named(tmp_path: Path, text: str) -> None:
    filled(tmp_path, Entry("ledger@1:2=1", ("a",)))
    bad = tmp_path / "corpus" / "ledger" / "bad.json"
    bad.write_text(text)
    corpus = Corpus("ledger", {}, tmp_path)
    assert corpus.tokens == ("ledger@1:2=1",)
    (problem,) = corpus.problems
    assert f"set aside as {bad}.unreadable" in problem
    assert bad.with_name("bad.json.unreadable").read_text() == text


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "corpus").write_text("in the way")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        filled(tmp_path, Entry("ledger@1:2=1", ("a",)))


def test_what_is_written_says_its_format(tmp_path: Path) -> None:
    filled(tmp_path, entry := Entry("ledger@1:2=1", ("a",)))
    data = json.loads((tmp_path / "corpus" / "ledger" / entry.name).read_text())
    assert data == {"format": 1, "token": "ledger@1:2=1", "new": ["a"]}
