"""A plain install into an empty environment gives a working command, scenarios included."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command and hand back what it printed."""
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_plain_install_finds_the_incident(installer: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(
            ".venv", ".git", ".changeover", "*.egg-info", "__pycache__", ".hypothesis", ".*_cache"
        ),
    )
    environment = tmp_path / "environment"
    if installer == "uv":
        uv = Path(sys.executable).parent / "uv"
        made = run(uv, "venv", "--quiet", "--python", sys.executable, environment, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        python = environment / "bin" / "python"
        done = run(uv, "pip", "install", "--quiet", "--python", python, source, cwd=tmp_path)
    else:
        made = run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        done = run(environment / "bin" / "pip", "install", "--quiet", source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    command = environment / "bin" / "changeover"
    listed = run(command, "list", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "paradex-2026-01-19" in listed.stdout
    token = "paradex-2026-01-19@1"
    held = run(command, "replay", token, "--times", "1", cwd=tmp_path)
    assert held.returncode == 0, held.stdout + held.stderr
    packages = run(environment / "bin" / "python", "-c", "import pytest", cwd=tmp_path)
    assert packages.returncode != 0, "pytest belongs to an extra"
