"""The Java modules, built and installed in Maven's local repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stacks.java.maven import installed_listener
from tests.support import needed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def modules() -> Path:
    """Built and installed once, and again only when a source has changed."""
    needed.program("javac", since=17)
    return installed_listener()
