"""Prometheus's own tool for rules and queries."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it. Without it a test is skipped, or fails where CI is set."""
    path = shutil.which("promtool")
    if path is None:
        reason = "promtool is needed (Debian: apt install prometheus)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False, timeout=60)
