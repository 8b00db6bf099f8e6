"""A realm, an app with an MSAL cache in Redis, and what a test does with both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msal

from receiver.ingress.server import Server, running
from tests.stacks.keycloak.server import CLIENT, SECRET, Keycloak

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.ops.settings import Settings

CACHE = "app:token-cache"
DEADLINE_S = 120.0
"""Seconds anything may take on a machine that is busy."""


@dataclass
class World:
    """A realm that transmits, an app with an MSAL cache in Redis, and what a receiver is started with.

    Attributes:
        settings: Of receivers and commands.
    """

    keycloak: Keycloak
    realm: str
    settings: Settings
    redis: redis.asyncio.Redis

    @contextlib.asynccontextmanager
    async def receiver(self) -> AsyncIterator[Server]:
        """A receiver."""
        async with running(self.settings) as server:
            yield server

    async def sign_in(self, name: str) -> str:
        """A user who signs in: MSAL's tokens are in the shared cache; their `sub`."""
        sub = await asyncio.to_thread(self.keycloak.make_user, self.realm, name)
        cache = msal.SerializableTokenCache()
        stored: Any = await self.redis.get(CACHE)
        if stored:
            cache.deserialize(stored.decode())

        def fill() -> None:
            app = msal.ConfidentialClientApplication(
                CLIENT, client_credential=SECRET, oidc_authority=self.keycloak.issuer(self.realm),
                token_cache=cache, http_client=self.keycloak.http, exclude_scopes=["offline_access"],
            )  # fmt: skip
            self.keycloak.sign_in(app, name)

        await asyncio.to_thread(fill)
        await self.redis.set(CACHE, cache.serialize())
        return sub

    async def accounts(self) -> list[str]:
        """`local_account_id` of every account in the cache, as MSAL reads it."""
        cache = msal.SerializableTokenCache()
        stored: Any = await self.redis.get(CACHE)
        if stored:
            cache.deserialize(stored.decode())
        kinds = msal.TokenCache.CredentialType
        assert bool(list(cache.search(kinds.ACCOUNT))) == bool(list(cache.search(kinds.REFRESH_TOKEN)))
        return sorted(str(account["local_account_id"]) for account in cache.search(kinds.ACCOUNT))

    async def log_out(self, sub: str) -> float:
        """What an administrator does; when they began."""
        began = time.monotonic()
        await asyncio.to_thread(self.keycloak.log_out, self.realm, sub)
        return began

    async def gone(self, sub: str) -> None:
        """Return when the user is in the cache no more."""
        async with asyncio.timeout(DEADLINE_S):
            while sub in await self.accounts():
                await asyncio.sleep(0.02)

    async def events(self) -> list[str]:
        """`sub` of every event."""
        entries: Any = await self.redis.xrange("{logout}:events")
        return [json.loads(fields[b"event"])["data"]["sub"] for _, fields in entries]
