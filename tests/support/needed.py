"""What a machine may lack: programs of other stacks, rights, history.

`tests/conftest.py` skips a test that needs it, or fails it where CI is set; a command says so and ends.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import NoReturn


class LackingError(Exception):
    """This machine lacks something; the sentence says what."""


def program(name: str, *, since: int = 0) -> str:
    """Its path.

    Args:
        name: Looked up on PATH.
        since: The oldest major version that will do; 0 for any.

    Raises:
        LackingError: It is not there, or older.
    """
    path = shutil.which(name)
    if path is None or (since and _major(path) < since):
        missing(f"{name} {since} or newer is needed" if since else f"{name} is needed")
    return path


def missing(reason: str) -> NoReturn:
    """Say what is lacking."""
    raise LackingError(reason)


def _major(path: str) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    number = re.search(r"\d+", said)
    return int(number[0]) if number else 0
