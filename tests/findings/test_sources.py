"""The files that a finding was made with, and which of them were edited since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.findings import store
from harness.findings.sources import digests, edited
from tests.findings.sample import sample

FINDING = sample()


def test_what_was_edited_is_named(tmp_path: Path) -> None:
    service, rules = tmp_path / "service.py", tmp_path / "rules.py"
    service.write_text("one")
    rules.write_text("rules")
    found = digests([str(service), str(rules), str(service), str(tmp_path / "none.py")])
    assert list(found) == [str(rules), str(service)]
    finding = replace(FINDING, sources=found)
    assert edited(finding, tmp_path) == ()
    service.write_text("two")
    assert edited(finding, tmp_path) == (str(service),)
    rules.unlink()
    assert edited(finding, tmp_path) == (str(rules), str(service))


def test_a_saved_finding_names_them_below_the_project(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "library.py"
    (project / "own").mkdir(parents=True)
    (project / "own" / "service.py").write_text("one")
    elsewhere.write_text("library")
    files = [str(project / "own" / "service.py"), str(elsewhere)]
    root = project / store.ROOT
    path = store.save(replace(FINDING, sources=digests(files)), root)
    saved = store.load(path, root)
    assert list(saved.sources) == ["own/service.py"]
    assert edited(saved, project) == ()
    (project / "own" / "service.py").write_text("two")
    assert edited(saved, project) == ("own/service.py",)


def test_a_finding_of_a_schedule_is_found_by_its_token(tmp_path: Path) -> None:
    root = tmp_path / store.ROOT
    assert store.with_token(FINDING.token, root) is None
    store.save(FINDING, root)
    (root / "findings" / "broken.json").write_text(f'{{"token": "{FINDING.token}"')
    found = store.with_token(FINDING.token, root)
    assert found is not None and found.digest == FINDING.digest
    assert store.with_token(FINDING.token[:-1], root) is None
    kept = tmp_path / "other" / store.ROOT
    store.keep(FINDING, "it guards", store.regressions_beside(kept))
    committed = store.with_token(FINDING.token, kept)
    assert committed is not None and committed.reason == "it guards"
