"""Two OPs, a receiver and an evictor in processes of their own, and the Redis they share."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import redis
import requests

from receiver.bus.link.embedded import EmbeddedRedis
from tests.stacks.op import StackOP
from tests.support.waiting import DEADLINE_S, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CLIENTS = ["portal", "orders"]

TOKEN = "a-token-of-the-tests"
"""For the receiver's API."""

CACHES: list[dict[str, Any]] = [
    {"name": "tokens", "layout": "msal4j", "prefix": "tokens:"},
    {"name": "sessions", "layout": "spring-session"},
    {"name": "plain-tokens", "layout": "msal4j", "key": "portal-plain:msal"},
    {"name": "plain-sessions", "layout": "spring-session", "prefix": "portal-plain:"},
    {"name": "both-tokens", "layout": "msal4j", "key": "portal-both:msal"},
    {"name": "both-sessions", "layout": "spring-session", "prefix": "portal-both:"},
]
"""What the evictor is told of."""


class Program:
    """A child process with its output in a file, started with `with` and ended with it."""

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._log = log
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        self._environment = kept | {"PYTHONUNBUFFERED": "1", **(environment or {})}

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    def assert_running(self) -> bool:
        """True, or an assertion with what it said before it ended."""
        assert self._process.poll() is None, self.output[-3000:]
        return True

    def wait_for_line(self, event: str) -> dict[str, Any]:
        """The JSON log line with this `event`."""

        def lines() -> Iterator[dict[str, Any]]:
            for line in self.output.splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict) and entry.get("event") == event:
                        yield entry

        return eventually(lambda: self.assert_running() and next(lines(), None))

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._arguments,
                cwd=self._log.parent,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class World:
    """What a test does to it: log users out, and look at what is left in Redis."""

    api_url: str

    def __init__(self, ops: dict[str, StackOP], redis_url: str, receiver: str, ca_file: Path) -> None:
        self.ops = ops
        self.redis_url = redis_url
        self.redis = redis.Redis.from_url(redis_url)
        self.port = redis_url.rpartition(":")[2].partition("/")[0]
        self._receiver = receiver
        self.http = requests.Session()
        # Neither a proxy nor CAs of the machine's.
        self.http.trust_env = False
        self.http.verify = str(ca_file)

    def logout(self, op: StackOP, user: str | None, *, client_id: str = "portal", **claims: Any) -> None:
        """Sign the user out at the OP, which tells the receiver by a logout token for this client."""
        token = op.logout_token(client_id=client_id, user=user, **claims)
        answer = self.http.post(self._receiver, data={"logout_token": token}, timeout=10)
        assert answer.status_code == 200, answer.text

    def order(self, sub: str) -> None:
        """An operator ends the sessions of a user of the tenant `oidc`; the session at the OP goes on."""
        answer = self.http.post(
            f"{self.api_url}/v1/evictions",
            json={"tenant": "oidc", "sub": sub},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=10,
        )
        assert answer.status_code == 202, answer.text

    def blob(self, key: str) -> dict[str, Any]:
        """The token cache under this key; empty when there is none."""
        return json.loads(self.redis.get(key) or b"{}")

    def keys(self, pattern: str) -> set[str]:
        """The names of the keys that fit."""
        return {key.decode() for key in self.redis.scan_iter(pattern)}


def running_world(directory: Path, *, evictor: bool) -> Iterator[World]:
    """Start it all; end it all."""
    places = {shape: directory / shape for shape in ("oidc", "entra")}
    for place in places.values():
        place.mkdir()
    with (
        contextlib.ExitStack() as programs,
        EmbeddedRedis() as server,
        StackOP(places["oidc"]) as oidc,
        StackOP(places["entra"], shape="entra") as entra,
    ):
        ca_file = directory / "cas.pem"
        ca_file.write_bytes(oidc.ca_file.read_bytes() + entra.ca_file.read_bytes())
        config = directory / "receiver.json"
        config.write_text(
            json.dumps(
                {
                    "public": {"host": "127.0.0.1", "port": 0},
                    "internal": {"host": "127.0.0.1", "port": 0, "token": TOKEN},
                    "redis": {"url": server.url},
                    "outbound": {"ca_file": str(ca_file)},
                    "tenants": [
                        {"name": "oidc", "issuer": oidc.issuer, "client_ids": CLIENTS},
                        {"name": "entra", "issuer": entra.issuer, "client_ids": CLIENTS, "account_from_sub": False},
                    ],
                    **({"caches": CACHES} if evictor else {}),
                }
            )
        )
        started = {}
        for command in ("serve", "evict") if evictor else ("serve",):
            arguments = [sys.executable, "-m", "receiver", command, "--config", str(config)]
            started[command] = programs.enter_context(Program(arguments, directory / f"{command}.log"))
        startup = started["serve"].wait_for_line("startup")
        if evictor:
            started["evict"].wait_for_line("startup")
        address, api = startup["public"], startup["internal"]
        world = World({"oidc": oidc, "entra": entra}, server.url, f"http://{address}/backchannel-logout", ca_file)
        world.api_url = f"http://{api}"
        yield world
        for program in started.values():
            program.assert_running()
        world.redis.close()
        world.http.close()
        programs.close()
