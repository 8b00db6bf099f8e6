"""Two OPs, a receiver and an evictor in processes of their own, and the Redis they share."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import redis
import requests

from receiver.bus.link.embedded import EmbeddedRedis
from tests.stacks.op import StackOP
from tests.stacks.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stacks.java.clients import Client

CLIENTS = ["portal", "orders"]

TOKEN = "a-token-of-the-tests"
"""For the receiver's API."""

CACHES: list[dict[str, Any]] = [
    {"name": "tokens", "layout": "msal4j", "prefix": "tokens:"},
    {"name": "sessions", "layout": "spring-session"},
    {"name": "plain-tokens", "layout": "msal4j", "prefix": "portal-plain:msal:"},
    {"name": "plain-sessions", "layout": "spring-session", "prefix": "portal-plain:"},
    {"name": "both-tokens", "layout": "msal4j", "prefix": "portal-both:msal:"},
    {"name": "both-sessions", "layout": "spring-session", "prefix": "portal-both:"},
    {"name": "both-on-3-tokens", "layout": "msal4j", "prefix": "portal-both-on-3:msal:"},
    {"name": "both-on-3-sessions", "layout": "spring-session", "prefix": "portal-both-on-3:"},
]
"""What the evictor is told of."""


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
        cache: dict[str, Any] = json.loads(self.redis.get(key) or b"{}")
        return cache

    def holds(self, client: Client, user: str) -> bool:
        """Whether the user's account is in the client's token cache."""
        account = client.account(user)
        assert account is not None
        return account in str(self.blob(client.key))

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
