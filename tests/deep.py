"""Which tests are deep: those that need more than Python and Redis, or minutes. One place, read by conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORIES = ("chaos", "clients", "stacks", "versions", "wayback")
"""Below tests/: all that is in them is deep."""

MARKS = frozenset({"topology", "tls_server", "node", "java", "browser", "deep"})
"""A test with one of these is deep."""


def mark(item: pytest.Item, tests: Path) -> None:
    """Mark a deep test.

    Args:
        item: The test.
        tests: The directory that holds all tests.
    """
    place = item.path.relative_to(tests).parts if item.path.is_relative_to(tests) else ("",)
    if place[0] in DIRECTORIES or any(item.get_closest_marker(name) for name in MARKS):
        item.add_marker(pytest.mark.deep)


class ByDirectory(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types for it
    """One process runs a directory of tests: what these start takes long, so it is started once.

    In place of xdist's own groups: their names are lost with the pytest that is locked here.
    """

    def _split_scope(self, nodeid: str) -> str:
        """`tests/stacks/node` of a stack's test, `tests/topologies` of others."""
        directory = nodeid.partition("::")[0].split("/")[:-1]
        return "/".join(directory[: 3 if "stacks" in directory else 2])
