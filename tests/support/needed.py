"""Programs of other stacks: where CI is set they must be there, elsewhere the tests that need them are skipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import NoReturn

import pytest


def program(name: str, *, since: int = 0) -> str:
    """Its path.

    Args:
        name: Looked up on PATH.
        since: The oldest major version that will do; 0 for any.
    """
    path = shutil.which(name)
    if path is None or (since and _major(path) < since):
        missing(f"{name} {since} or newer is needed" if since else f"{name} is needed")
    return path


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _major(path: str) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    number = re.search(r"\d+", said)
    return int(number[0]) if number else 0
