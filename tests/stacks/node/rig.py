"""What the tests of Node apps share: npm, child processes, one Redis, two OPs, a receiver and an evictor."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import redis
import requests

from receiver.bus.link.embedded import EmbeddedRedis
from tests.stacks.op import StackOP
from tests.stacks.program import end
from tests.support import needed
from tests.support.building import building
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
EXAMPLE = ROOT / "examples" / "node"
PACKAGE = ROOT / "clients" / "node"
_OTHERS = shutil.ignore_patterns("node_modules", "test")
LOCKS = {"7": EXAMPLE, "2": HERE / "msal-node-2"}
"""MSAL Node's major version to the directory with the lock file of everything the app needs."""

DEADLINE_S = 25.0
"""Seconds anything may take on a machine that is busy; it usually takes milliseconds."""

CLIENT = "shop"

T = TypeVar("T")


def in_thread(call: Callable[[], T]) -> Future[T]:
    """A call in flight."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@contextlib.contextmanager
def tokens_that_need_refreshing(op: StackOP) -> Iterator[None]:
    """Access tokens this short-lived are refreshed by MSAL at every silent call."""
    before, op.access_token_s = op.access_token_s, 60
    try:
        yield
    finally:
        op.access_token_s = before


@building
def installed(version: str) -> Path:
    """The example and the driver beside what `npm ci` installs for them; kept until the lock file changes."""
    needed.program("node", since=20)
    npm = needed.program("npm")
    source = LOCKS[version]
    lock = (source / "package-lock.json").read_bytes()
    place = ROOT / ".tools" / "node" / f"{version}-{hashlib.sha256(lock).hexdigest()[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    # Where both lock files look for it; npm copies it from there.
    shutil.copytree(PACKAGE, ROOT / ".tools" / "clients" / "node", dirs_exist_ok=True, ignore=_OTHERS)
    if not (place / "installed").exists():
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(source / name, place)
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=place, check=True, capture_output=True)
        (place / "installed").touch()
    # As it is now: it may have changed since.
    shutil.copytree(PACKAGE, place / "node_modules" / "logout-listener", dirs_exist_ok=True, ignore=_OTHERS)
    for file in (*EXAMPLE.glob("*.mjs"), HERE / "driver.mjs"):
        shutil.copy(file, place)
    return place


class Child:
    """One program, started with `with` and ended with it."""

    def __init__(self, command: list[str], log: Path, *, directory: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def lines(self) -> list[str]:
        """What it has printed; an assertion with it when the program has ended."""
        printed = self._log.read_text()
        assert self._process.poll() is None, printed
        return printed.splitlines()

    def line_with(self, text: str) -> str:
        """The first line that holds it."""
        return eventually(lambda: next((line for line in self.lines() if text in line), None))

    def send(self, line: str) -> None:
        """One line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        end(self._process)


class World:
    """What all apps share, and what a test does to it.

    Attributes:
        ops: The OP of each shape.
        redis: A client of the Redis that holds everything.
        environment: For Node programs: where Redis is, and whom to trust.
        config: The receiver's and the evictor's.
    """

    def __init__(self, ops: dict[str, StackOP], redis_url: str, ca_file: Path, receiver: str, config: Path) -> None:
        self.ops = ops
        self.config = config
        self.redis = redis.Redis.from_url(redis_url)
        self.environment = {"REDIS_URL": redis_url, "NODE_EXTRA_CA_CERTS": str(ca_file)}
        self._receiver = receiver

    def of(self, shape: str) -> dict[str, str]:
        """What an app needs to sign in at the OP of this shape."""
        protocol = {"oidc": "OIDC", "entra": "AAD"}[shape]
        return {**self.environment, "AUTHORITY": self.ops[shape].authority, "PROTOCOL": protocol, "CLIENT_ID": CLIENT}

    def logout(self, op: StackOP, user: str) -> str:
        """Sign the user out at the OP, which tells the receiver; the logout token's `jti`."""
        token = op.logout_token(client_id=CLIENT, user=user)
        answer = requests.post(self._receiver, data={"logout_token": token}, timeout=DEADLINE_S)
        assert answer.status_code == 200, answer.text
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])

    def accounts_in(self, key: str) -> set[str]:
        """Whose tokens this value holds; nobody's where there is none."""
        blob = json.loads(self.redis.get(key) or "{}")
        sections = ("AccessToken", "RefreshToken", "IdToken", "Account")
        return {entry["home_account_id"] for section in sections for entry in blob.get(section, {}).values()}


def running_world(directory: Path, caches: list[dict[str, Any]]) -> Iterator[World]:
    """Start it all, the evictor for these caches; end it all."""
    places = {shape: directory / shape for shape in ("oidc", "entra")}
    for place in places.values():
        place.mkdir()
    ops = {"oidc": StackOP(places["oidc"]), "entra": StackOP(places["entra"], shape="entra")}
    with EmbeddedRedis() as server, ops["oidc"], ops["entra"]:
        ca_file = directory / "cas.pem"
        ca_file.write_bytes(b"".join(op.ca_file.read_bytes() for op in ops.values()))
        settings = {
            "public": {"host": "127.0.0.1", "port": 0},
            "internal": {"host": "127.0.0.1", "port": 0},
            "redis": {"url": server.url},
            "outbound": {"ca_file": str(ca_file)},
            "tenants": [
                {"name": "oidc", "issuer": ops["oidc"].issuer, "client_ids": [CLIENT]},
                {"name": "entra", "issuer": ops["entra"].issuer, "client_ids": [CLIENT], "account_from_sub": False},
            ],
            "caches": caches,
        }
        config = directory / "receiver.json"
        config.write_text(json.dumps(settings))

        def start(command: str) -> Child:
            full = [sys.executable, "-m", "receiver", command, "--config", str(config)]
            return Child(full, directory / f"{command}.log", directory=ROOT, environment={"PYTHONUNBUFFERED": "1"})

        with start("serve") as serve, start("evict") as evict:
            address = json.loads(serve.line_with("startup"))["public"]
            evict.line_with("startup")
            world = World(ops, server.url, ca_file, f"http://{address}/backchannel-logout", config)
            yield world
            world.redis.close()
            evict.lines()
            serve.lines()
