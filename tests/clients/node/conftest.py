"""The Node package beside what it is tested with, installed once per lock file."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from receiver.bus.link.embedded import EmbeddedRedis
from tests.support import needed
from tests.support.building import building

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "clients" / "node"


@pytest.fixture(scope="session")
def package() -> Path:
    """A copy with its development dependencies; kept until the lock file changes."""
    needed.program("node", since=20)
    return _installed(PACKAGE)


@pytest.fixture(scope="session")
def node_oidc_provider() -> Path:
    """An OP of npm's, as kept."""
    needed.program("node", since=20)
    return _installed(Path(__file__).parent / "oidc_provider")


@building
def _installed(package: Path) -> Path:
    npm = needed.program("npm")
    lock = (package / "package-lock.json").read_bytes()
    place = ROOT / ".tools" / "clients-node" / hashlib.sha256(lock).hexdigest()[:12]
    shutil.copytree(package, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    if not (place / "installed").exists():
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=place, check=True, capture_output=True)
        (place / "installed").touch()
    return place


@pytest.fixture
def own_redis_url() -> Iterator[str]:
    """A Redis of its own."""
    with EmbeddedRedis() as server:
        yield server.url
