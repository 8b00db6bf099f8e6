"""Entra credentials, with an identity provider made up: no Azure can be reached from here."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import jwt
import pytest
import redis
from redis.auth.err import RequestTokenErr
from redis.auth.idp import IdentityProviderInterface
from redis.auth.token import JWToken

from receiver.bus.link.connection import connect, describe, ping
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.link.entra import entra_credentials
from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECT_ID = "3c9ad5a2-5a2c-4b8e-9e4c-0a6f6c5d0e11"
LIFETIME_S = 3.0


class Identity(IdentityProviderInterface):
    """Gives tokens of one object id, and makes Redis take them, as Azure does."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self.server = server
        self.given: list[str] = []
        self.away = False

    def request_token(self, force_refresh: bool = False) -> JWToken:
        del force_refresh
        if self.away:
            raise RequestTokenErr("no identity")
        claims = {"oid": OBJECT_ID, "exp": time.time() + LIFETIME_S, "n": len(self.given)}
        self.given.append(jwt.encode(claims, "k" * 32, algorithm="HS256"))
        with redis.Redis.from_url(self.server.url) as admin:
            admin.execute_command("ACL", "SETUSER", OBJECT_ID, "on", f">{self.given[-1]}", "~*", "+@all")
        return JWToken(self.given[-1])


@pytest.fixture
def identity() -> Iterator[Identity]:
    with EmbeddedRedis() as server:
        yield Identity(server)


async def test_logs_in_and_renews(identity: Identity) -> None:
    """The object id and the token are user and password; a new token comes before the old one ends."""
    provider = entra_credentials(identity)
    client = connect(identity.server.url, timeout_s=2, credential_provider=provider)
    assert OBJECT_ID == (await client.execute_command("ACL", "WHOAMI")).decode()
    assert provider.is_streaming()
    seen = len(identity.given)
    async with asyncio.timeout(LIFETIME_S * 2):
        while len(identity.given) == seen:
            await asyncio.sleep(0.05)
    assert OBJECT_ID == (await client.execute_command("ACL", "WHOAMI")).decode()
    await client.aclose()


async def test_entra_away(identity: Identity) -> None:
    """Without a token the connection fails as any other failure of Redis does."""
    identity.away = True
    client = connect(identity.server.url, timeout_s=2, credential_provider=entra_credentials(identity))
    assert "ConnectionError" == await ping(client)
    await client.aclose()


def test_extra_is_named_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-entraid the error says what to install."""
    monkeypatch.setitem(sys.modules, "redis_entraid", None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[azure\]'"):
        _ = connect("rediss://cache.example.com:10000", timeout_s=1, credentials="entra")


async def test_default_identity_asks_nobody_yet() -> None:
    """With the extra, `credentials: entra` makes a client; a token is asked for with the first connection."""
    client = connect("rediss://cache.example.com:10000", timeout_s=1, credentials="entra")
    assert client.connection_pool.connection_kwargs["credential_provider"].is_streaming() is False
    await client.aclose()
    assert "RequestTokenErr" == describe(RequestTokenErr("user@example.com"))
