"""What a machine lacks skips a test, and fails it where CI is set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEST = """
import pytest
from tests.support.needed import program

@pytest.fixture(params=["", "1"], ids=["away", "in_CI"], autouse=True)
def _where(monkeypatch, request):
    monkeypatch.setenv("CI", request.param)

@pytest.fixture
def tool(_where):
    return program("no-such-program-anywhere")

def test_that_asks():
    program("no-such-program-anywhere")

async def test_that_waits():
    program("no-such-program-anywhere")

def test_with_a_fixture(tool):
    pass
"""


def test_skipped_or_failed(tmp_path: Path) -> None:
    """In a test, in a coroutine and in a fixture."""
    file = tmp_path / "test_it.py"
    file.write_text(TEST)
    arguments = ["-q", "-rA", "-p", "no:cacheprovider", "-p", "tests.conftest", "--rootdir", str(ROOT), str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), *arguments],
        cwd=ROOT, env={**os.environ, "CI": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    lines = done.stdout.splitlines()
    assert "2 failed, 3 skipped, 1 error" in lines[-1], done.stdout
    assert 3 == len([line for line in lines if line.startswith(("FAILED", "ERROR")) and "in_CI]" in line])
    assert "no-such-program-anywhere is needed" in done.stdout
