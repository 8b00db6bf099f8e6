"""One Redis, two OPs, a receiver and an evictor: what all apps of these tests share."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal

import redis
import requests

from receiver.bus.link.embedded import EmbeddedRedis
from tests.stacks.op import StackOP
from tests.stacks.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Shape = Literal["oidc", "entra"]

SHARED_KEY = "msal:all"
ACCOUNT_PREFIX = "msal:by-account:"
ENCRYPTED_PREFIX = "msal:encrypted:"
ENCRYPTED_SHARED_KEY = "msal:encrypted-all"
CLIENTS = ["portal", "orders"]

LOOKS_AGAIN_S = [0.2, 0.6, 1.2]
"""When the evictor looks again after an eviction, in seconds; by default 2, 10 and 60."""

PAST_ALL_LOOKS_S = 1.8
"""Seconds after which it has looked for the last time."""

CACHES: list[dict[str, Any]] = [
    {"name": "shared", "layout": "msal-python", "key": SHARED_KEY},
    {"name": "accounts", "layout": "msal-python", "prefix": ACCOUNT_PREFIX},
    {"name": "encrypted", "layout": "msal-python", "prefix": ENCRYPTED_PREFIX},
    {"name": "encrypted-shared", "layout": "msal-python", "key": ENCRYPTED_SHARED_KEY},
    {"name": "flask", "layout": "flask-session", "prefix": "flask-plain:"},
    {"name": "flask-line", "layout": "flask-session", "prefix": "flask-line:"},
    {"name": "django", "layout": "django-session", "prefix": "django-plain:1:django.contrib.sessions.cache"},
    {"name": "django-line", "layout": "django-session", "prefix": "django-line:1:django.contrib.sessions.cache"},
    {"name": "fastapi", "layout": "msal-python", "prefix": "fastapi-plain:"},
    {"name": "fastapi-line", "layout": "msal-python", "prefix": "fastapi-line:"},
]
"""As a user of the examples configures it, once for the app as it was and once for the app with the line."""


class World:
    """What a test does to it: log users out, and look at what is left.

    Attributes:
        ops: The OP of each shape.
        redis: A client of the Redis that holds everything.
        redis_url: Its address.
        ca_file: The CAs of both OPs.
    """

    def __init__(self, ops: dict[str, StackOP], redis_url: str, ca_file: Path, receiver: str, evictor: Program) -> None:
        self.ops = ops
        self.redis_url = redis_url
        self.redis = redis.Redis.from_url(redis_url)
        self.ca_file = ca_file
        self.evictor = evictor
        self.http = requests.Session()
        # Neither a proxy nor CAs of the machine's.
        self.http.trust_env = False
        self.http.verify = str(ca_file)
        self._receiver = receiver

    def logout(self, op: StackOP, user: str, *, client_id: str = "portal") -> None:
        """Sign the user out at the OP, which tells the receiver by a logout token for this client."""
        token = op.logout_token(client_id=client_id, user=user)
        answer = self.http.post(self._receiver, data={"logout_token": token}, timeout=10)
        assert answer.status_code == 200, answer.text

    def keys(self, prefix: str) -> set[str]:
        """The keys that begin with it."""
        return {key.decode() for key in self.redis.scan_iter(f"{prefix}*")}


def running_world(directory: Path) -> Iterator[World]:
    """Start it all; end it all."""
    places = {shape: directory / shape for shape in ("oidc", "entra")}
    for place in places.values():
        place.mkdir()
    with (
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
                    "internal": {"host": "127.0.0.1", "port": 0},
                    "redis": {"url": server.url},
                    "outbound": {"ca_file": str(ca_file)},
                    "tenants": [
                        {"name": "oidc", "issuer": oidc.issuer, "client_ids": CLIENTS},
                        {"name": "entra", "issuer": entra.issuer, "client_ids": CLIENTS, "account_from_sub": False},
                    ],
                    "caches": CACHES,
                    "evictor": {"recheck_s": LOOKS_AGAIN_S},
                }
            )
        )
        serve, evict = (
            Program([sys.executable, "-m", "receiver", command, "--config", str(config)], directory / f"{command}.log")
            for command in ("serve", "evict")
        )
        with serve, evict:
            address = serve.wait_for_line("startup")["public"]
            evict.wait_for_line("startup")
            world = World(
                {"oidc": oidc, "entra": entra}, server.url, ca_file, f"http://{address}/backchannel-logout", evict
            )
            yield world
            evict.assert_running()
            serve.assert_running()
            world.redis.close()
            world.http.close()


class InFlight:
    """A call in a thread of its own; `answer` is there after `join`."""

    def __init__(self, call: Any) -> None:
        self.answer: Any = None
        self._call = call
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> Any:
        """Wait for it."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.answer

    def _run(self) -> None:
        self.answer = self._call()
