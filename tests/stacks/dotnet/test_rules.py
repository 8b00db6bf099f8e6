"""The rules of the .NET examples' shared files, run over recorded values: what is refused and what passes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.stacks.dotnet.mono_build import RECORDINGS, build

if TYPE_CHECKING:
    from pathlib import Path

RUN_TIMEOUT_S = 60
"""Seconds for all checks on a busy machine; they usually take one."""


def test_the_guarded_cache_and_the_cookie_rules(tmp_path: Path) -> None:
    """Signed-out tokens are neither written nor read, plain and encrypted; new sign-ins and others' tokens pass."""
    checks = build(tmp_path, "Checks")
    done = subprocess.run(
        ["mono", str(checks), str(RECORDINGS)], capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == [], done.stderr
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith("ok cookie:") for line in lines) == 13
    assert sum(line.endswith("(encrypted)") for line in lines) * 2 == len(lines) - 15
