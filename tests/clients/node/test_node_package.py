"""The npm package: its own tests, its types, the conformance kit, and an app that installs the packed file."""

from __future__ import annotations

import logging
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from receiver.bus.events.acks import ACKNOWLEDGE
from tests.listeners.run import play
from tests.listeners.situations import SITUATIONS, Situation
from tests.listeners.vectors import FILE
from tests.support.needed import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LIBRARIES = ("redis", "ioredis")
"""Clients of Redis tried in every situation; the older ones only in one."""

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

APP = """
import { createListener } from 'logout-listener';
import { createClient } from 'redis';
try {
  createListener({ redis: createClient(), app: 'fresh', typo: 1 });
} catch (error) {
  console.log(error.name);
}
const listener = createListener({ redis: createClient({ url: process.env.REDIS_URL }), app: 'fresh' });
console.log(await listener.start());
console.log(await listener.status({ iss: 'https://op.example', sub: 'u', aud: 'c' }));
await listener.stop();
"""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the receiver says while its Redis is killed under it is not looked at."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(command: list[str], place: Path, **environment: str) -> str:
    """What it prints; an assertion with all of it where it fails."""
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, timeout=240, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_tests(package: Path) -> None:
    """`npm test`, the decisions of the core among them."""
    run(["npm", "test"], package, VECTORS=str(FILE))


def test_types(package: Path) -> None:
    """The sources and the published types hold together."""
    run(["npm", "run", "types"], package)


def test_the_script_is_the_receivers(package: Path) -> None:
    """It acknowledges with the very script of this package, but for comments."""
    code = "\n".join(line for line in ACKNOWLEDGE.text.splitlines() if line and not line.lstrip().startswith("--"))
    assert f"`\n{code}\n`" in (package / "src" / "acknowledge.js").read_text()


def test_modules_are_small(package: Path) -> None:
    """None is over 300 lines."""
    assert not [file.name for file in (package / "src").iterdir() if len(file.read_text().splitlines()) > 300]


def test_packed_file_in_a_fresh_app(package: Path, tmp_path: Path, own_redis_url: str) -> None:
    """`npm pack`, installed from the file where nothing else of this repository is, listens."""
    packed = run(["npm", "pack", "--silent", "--pack-destination", str(tmp_path)], package).strip()
    app = tmp_path / "app"
    app.mkdir()
    (app / "package.json").write_text('{"name": "fresh", "private": true, "type": "module"}')
    (app / "app.mjs").write_text(APP)
    run(["npm", "install", "--no-audit", "--no-fund", str(tmp_path / packed), "redis@6.3.1"], app)
    said = run(["node", "app.mjs"], app, REDIS_URL=own_redis_url)
    assert ["TypeError", "true", "live"] == [line for line in said.splitlines() if not line.startswith("fresh:")]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_situation(situation: Situation, library: str, package: Path) -> None:
    """It does what the contract says, with either client of Redis."""
    row = await play(situation, f"node {package}/test/kit-driver.mjs {library}", logouts=2_000)
    if row.outcome == "not tried":
        missing(row.said)
    assert "ok" == row.outcome, (row.said, row.log)


@pytest.mark.parametrize("library", ["redis-4", "redis-5", "ioredis-5"])
async def test_older_clients(library: str, package: Path) -> None:
    """Entries that are none, of all situations the one where replies of every shape are read."""
    malformed = next(situation for situation in SITUATIONS if situation.name == "malformed")
    row = await play(malformed, f"node {package}/test/kit-driver.mjs {library}", logouts=2_000)
    assert "ok" == row.outcome, (row.said, row.log)
