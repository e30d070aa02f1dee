"""Findings are kept whole, once, under a name that finds them again, and nothing is deleted."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.findings import files, serial, store
from harness.findings.finding import Finding
from harness.findings.store import StoreError
from tests.findings.sample import sample

NOW = datetime(2026, 1, 19, 4, 30, tzinfo=UTC)


def another(digest: str, scenario: str = "paradex-2026-01-19") -> Finding:
    """The sample under another digest."""
    return replace(sample(), digest=digest.ljust(64, "0"), scenario=scenario, token=f"{scenario}@1")


def dated(path: Path, seconds: int) -> Path:
    """The file with a time of its own, so that the order does not hang on the clock."""
    os.utime(path, (seconds, seconds))
    return path


def test_a_saved_finding_is_found_by_every_name(tmp_path: Path) -> None:
    root = tmp_path / ".changeover"
    path = store.save(sample(), root)
    assert path == root / "findings" / "paradex-2026-01-19-9a02e1.json"
    expected = replace(sample(), saved=path.as_posix())
    for name in ("9a02e1", "9a", "paradex", path.stem, path.name, path, "last", sample().digest):
        assert store.load(name, root) == expected


def test_the_folder_keeps_itself_out_of_git_and_of_backups(tmp_path: Path) -> None:
    root = tmp_path / ".changeover"
    store.save(sample(), root)
    assert (root / ".gitignore").read_text() == "*\n"
    signature = "Signature: 8a477f597d28d172789f06886806bc55"
    assert (root / "CACHEDIR.TAG").read_text().startswith(signature)


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    root = tmp_path / ".changeover"
    assert store.list_findings(root) == store.Listing(())
    assert store.latest_summary(root) is None
    with pytest.raises(UsageError, match="nothing is saved"):
        store.load("last", root)
    assert list(tmp_path.iterdir()) == []


def test_the_same_finding_twice_is_one_file_with_what_was_learnt_last(tmp_path: Path) -> None:
    store.save(replace(sample(), replays=(0, 0)), tmp_path)
    store.save(sample(), tmp_path)
    assert [one.replays for one in store.list_findings(tmp_path).findings] == [(3, 3)]


def test_two_findings_with_the_same_six_digits_are_two_files(tmp_path: Path) -> None:
    first, second = another("9a02e1c7"), another("9a02e1ff")
    paths = {store.save(one, tmp_path) for one in (first, second, first, second)}
    assert len(paths) == 2
    assert store.load(second.digest, tmp_path).digest == second.digest
    with pytest.raises(UsageError, match="ambiguous"):
        store.load("9a02e1", tmp_path)


def test_a_scenario_cannot_choose_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    path = store.save(replace(sample(), scenario="../../etc/a b:c"), root)
    assert path.parent == root / "findings"
    assert path.name == "etc-a-b-c-9a02e1.json"


def test_sites_are_written_without_the_folders_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    event = next(one for one in sample().history if one.site)
    assert event.site is not None
    here = replace(event, site=replace(event.site, path=str(tmp_path / "target" / "file.py")))
    path = store.save(replace(sample(), history=(here,)), Path(".changeover"))
    assert str(tmp_path) not in path.read_text()
    site = store.load(path).history[0].site
    assert site is not None
    assert site.path == "target/file.py"


def test_an_ambiguous_start_lists_what_it_could_mean(tmp_path: Path) -> None:
    store.save(another("abc111"), tmp_path)
    store.save(another("abc222"), tmp_path)
    with pytest.raises(UsageError) as caught:
        store.load("abc", tmp_path)
    assert "paradex-2026-01-19-abc111, paradex-2026-01-19-abc222" in str(caught.value)
    assert store.load("abc2", tmp_path).identity == "abc222"


def test_an_unknown_name_gets_the_closest_one(tmp_path: Path) -> None:
    store.save(sample(), tmp_path)
    with pytest.raises(UsageError, match="did you mean '9a02e1'"):
        store.load("9a0ze1", tmp_path)
    for path in ("nowhere/at/all.json", "/etc"):
        with pytest.raises(UsageError, match=f"unknown finding '{path}': no such file, and none"):
            store.load(path, tmp_path)
    with pytest.raises(UsageError):
        store.load("x" * 5000, tmp_path)


def test_last_is_the_newest(tmp_path: Path) -> None:
    dated(store.save(another("aaaaaa"), tmp_path), 2000)
    dated(store.save(another("bbbbbb"), tmp_path), 1000)
    assert store.load("last", tmp_path).identity == "aaaaaa"
    found = store.list_findings(tmp_path).findings
    assert [one.identity for one in found] == ["aaaaaa", "bbbbbb"]


def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path) -> None:
    for number in ("", ".2"):
        path = store.save(sample(), tmp_path)
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(UsageError) as caught:
            store.load("9a02e1", tmp_path)
        aside = path.with_name(path.name + ".unreadable" + number)
        assert str(path) in str(caught.value)
        assert f"set aside as {aside}" in str(caught.value)
        assert aside.exists()
        assert not path.exists()


def test_bytes_that_are_no_text_are_set_aside(tmp_path: Path) -> None:
    path = store.save(sample(), tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text"):
        store.load(path, tmp_path)
    assert path.with_name(path.name + ".unreadable").read_bytes() == b"\xff\xfe\x00"


def test_a_committed_file_is_never_set_aside(tmp_path: Path) -> None:
    path = store.keep(sample(), "guards the index", tmp_path / "regressions")
    path.write_text("{")
    with pytest.raises(UsageError, match="not JSON"):
        store.load(path, tmp_path / ".changeover")
    assert path.exists()
    assert len(store.list_regressions(path.parent).problems) == 1


def test_a_newer_file_stays_where_it_is(tmp_path: Path) -> None:
    path = store.save(sample(), tmp_path)
    path.write_text(json.dumps({**serial.encode(sample()), "format": 2}))
    with pytest.raises(UsageError, match="upgrade, or replay by its token paradex"):
        store.load("9a02e1", tmp_path)
    assert path.exists()


def test_a_list_goes_past_what_it_cannot_read(tmp_path: Path) -> None:
    store.save(sample(), tmp_path)
    broken = store.save(another("bbbbbb"), tmp_path)
    broken.write_text("{}")
    listing = store.list_findings(tmp_path)
    assert [one.identity for one in listing.findings] == ["9a02e1"]
    assert len(listing.problems) == 1
    assert str(broken) in listing.problems[0]
    assert broken.exists()


def _save_many(root: Path, count: int) -> None:
    for _ in range(count):
        store.save(sample(), root)


def test_two_processes_can_save_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    root = tmp_path / "root"
    writers = [context.Process(target=_save_many, args=(root, 40)) for _ in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert store.list_findings(root).problems == ()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert [path.name for path in (root / "findings").iterdir()] == [
        "paradex-2026-01-19-9a02e1.json"
    ]


def _die_before_the_rename(root: Path) -> None:
    def power_cut(*paths: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    _prepared = store.save(another("aaaaaa"), root)
    os.replace = power_cut  # type: ignore[assignment]
    store.save(sample(), root)


def test_a_kill_before_the_rename_leaves_no_broken_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    victim = context.Process(target=_die_before_the_rename, args=(tmp_path,))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    listing = store.list_findings(tmp_path)
    assert [one.identity for one in listing.findings] == ["aaaaaa"]
    assert listing.problems == ()
    assert store.save(sample(), tmp_path).exists()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "directory that can be written")],
)
def test_a_disk_that_refuses_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    store.save(another("aaaaaa"), tmp_path)

    def refuse(*paths: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError) as caught:
        store.save(sample(), tmp_path)
    message = str(caught.value)
    assert "9a02e1.json" in message
    assert os.strerror(number) in message
    assert remedy in message
    assert len(list((tmp_path / "findings").iterdir())) == 1


def test_a_file_where_the_folder_should_be_is_explained(tmp_path: Path) -> None:
    root = tmp_path / ".changeover"
    root.write_text("not a folder")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        store.save(sample(), root)
    with pytest.raises(StoreError, match=r"\.changeover"):
        store.write_summary({}, root, now=NOW)


def test_the_latest_summary_can_be_read_back(tmp_path: Path) -> None:
    first = store.write_summary({"seed": 1, "findings": []}, tmp_path, now=NOW)
    second = store.write_summary({"seed": 2}, tmp_path, now=NOW)
    assert first.name.startswith("20260119T043000")
    assert first != second
    assert (tmp_path / "latest").is_symlink()
    assert store.latest_summary(tmp_path) == {"format": 1, "seed": 2}
    assert json.loads((tmp_path / "latest").read_text())["seed"] == 2


def test_where_links_fail_latest_is_a_text_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    path = store.write_summary({"seed": 3}, tmp_path, now=NOW)
    assert (tmp_path / "latest").read_text() == f"runs/{path.name}\n"
    assert store.latest_summary(tmp_path) == {"format": 1, "seed": 3}


def test_a_regression_is_kept_with_its_reason(tmp_path: Path) -> None:
    path = store.keep(sample(), "  guards the index  ", tmp_path)
    assert path == tmp_path / "paradex-2026-01-19-9a02e1.json"
    assert store.load(path).reason == "guards the index"
    assert store.keep(sample(), "guards the index", tmp_path) == path
    named = store.keep(another("bbbbbb"), "another one", tmp_path, name="zero index")
    assert named.name == "zero-index.json"
    kept = store.list_regressions(tmp_path).findings
    assert [one.identity for one in kept] == ["9a02e1", "bbbbbb"]


def test_a_regression_is_never_overwritten(tmp_path: Path) -> None:
    path = store.keep(sample(), "guards the index", tmp_path, name="index")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is another one"):
        store.keep(another("bbbbbb"), "guards the index", tmp_path, name="index")
    with pytest.raises(UsageError, match="with another reason"):
        store.keep(sample(), "something else", tmp_path, name="index")
    with pytest.raises(UsageError, match="reason"):
        store.keep(sample(), " ", tmp_path, name="other")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_of_the_summaries_the_newest_fifty_stay(tmp_path: Path) -> None:
    paths = [
        store.write_summary({"seed": each}, tmp_path, now=NOW.replace(second=each % 60))
        for each in range(56)
    ]
    assert sorted((tmp_path / "runs").iterdir()) == sorted(paths[6:])
    assert store.latest_summary(tmp_path) == {"format": 1, "seed": 55}


def test_a_schedule_in_quarantine_says_what_differed(tmp_path: Path) -> None:
    path = store.quarantine("ledger@7:3=1", "ledger", {"step": 4, "first": "a"}, tmp_path)
    assert path.parent == tmp_path / "quarantine"
    data = {"format": 1, "token": "ledger@7:3=1", "scenario": "ledger", "step": 4, "first": "a"}
    assert json.loads(path.read_text()) == data
    assert store.quarantine("ledger@7:3=1", "ledger", {"step": 4}, tmp_path) == path


def test_a_tidy_listing_sets_aside_what_it_cannot_read(tmp_path: Path) -> None:
    path = store.save(sample(), tmp_path)
    path.write_text("{")
    (problem,) = store.list_findings(tmp_path, tidy=True).problems
    assert "set aside as" in problem and not path.exists()
    assert store.list_findings(tmp_path).problems == ()


def test_a_file_is_safe_only_when_its_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a file is in its folder: both are synced, the folder after the renaming."""
    done: list[str] = []
    sync, move = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        sync(descriptor)

    def moved(old: Path, new: Path) -> None:
        done.append("renamed")
        move(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", moved)
    files.write_whole(tmp_path / "a.json", "{}")
    assert done == ["file", "renamed", "folder"]
