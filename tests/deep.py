"""Which tests are deep: those that need more than Python and Redis, or minutes. One place, read by conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DIRECTORIES = ("chaos", "stacks", "versions")
"""Below tests/: all that is in them is deep."""

MARKS = frozenset({"topology", "tls_server", "node", "java", "deep"})
"""A test with one of these is deep."""


def mark(items: Iterable[pytest.Item], tests: Path) -> None:
    """Mark deep tests, and name the group that one process runs: what it starts takes long, so it is started once.

    Args:
        items: What was collected.
        tests: The directory that holds all tests.
    """
    for item in items:
        place = item.path.relative_to(tests).parts if item.path.is_relative_to(tests) else ("",)
        if place[0] in DIRECTORIES or any(item.get_closest_marker(name) for name in MARKS):
            item.add_marker(pytest.mark.deep)
            item.add_marker(pytest.mark.xdist_group("-".join(place[: 2 if place[0] == "stacks" else 1])))
