"""What a machine lacks skips a test, and fails it where CI is set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEST = """
import pytest
from tests.support.needed import program

@pytest.fixture
def tool():
    return program("no-such-program-anywhere")

def test_that_asks():
    program("no-such-program-anywhere")

async def test_that_waits():
    program("no-such-program-anywhere")

def test_with_a_fixture(tool):
    pass
"""


@pytest.mark.parametrize(("ci", "said"), [("", "3 skipped"), ("1", "failed")])
def test_skipped_or_failed(tmp_path: Path, ci: str, said: str) -> None:
    """In a test, in a coroutine and in a fixture."""
    file = tmp_path / "test_it.py"
    file.write_text(TEST)
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "tests.conftest", "--rootdir", str(ROOT), str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), *arguments],
        cwd=ROOT, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert said in done.stdout.splitlines()[-1]
    assert "no-such-program-anywhere is needed" in done.stdout
