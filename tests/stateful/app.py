"""A web app as the docs tell people to write one: sessions and an MSAL token cache per session, in Redis."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msal
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from receiver.consumer import Eviction, Guard, ThreadGuard
from receiver.consumer.msal_cache import forget_account_in_redis
from receiver.core.cursor import order
from tests.support.keys import b64

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stateful.oracle import Login

DEADLINE_S = 60.0
"""Seconds until an app must have heard everything."""

Blob: TypeAlias = Any  # msal.SerializableTokenCache: the library is not typed


class App:
    """Its stores outlive its process; `start` and `stop` are a process's life.

    Args:
        url: The Redis of the receiver, where the app's own keys are too.
        client_id: The app.
        threads: Whether it has no event loop and so uses `ThreadGuard`.
    """

    def __init__(self, url: str, client_id: str, *, threads: bool) -> None:
        self.client_id = client_id
        self._url = url
        self._threads = threads
        self._lock = threading.Lock()
        # The app's own: an eviction must not fail because Redis comes back a moment later.
        self.redis = redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.02), 500))

    async def start(self) -> None:
        """A new process: what the last one knew is gone."""
        if self._threads:
            self._guard: Guard | ThreadGuard = ThreadGuard(self._url, app=self.client_id, on_eviction=self._forget)
            self._guard.start()
        else:
            self._guard = Guard(self._url, app=self.client_id, on_eviction=self._forget)
            await self._guard.start()

    async def stop(self) -> None:
        """The process ends."""
        if isinstance(self._guard, ThreadGuard):
            await asyncio.to_thread(self._guard.stop)
        else:
            await self._guard.stop()

    async def sign_in(self, login: Login, iat: int | None = None) -> bool:
        """Code redeemed: register, then keep session and tokens, unless it is signed out already.

        While Redis cannot tell, the app asks its user to try again, and the user does.
        """
        claims, names = login.claims(iat), [self._session_key(login.key)]
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    live = await self._ask("register", claims, home_account_id=login.account, keys=names)
                    break
                except (redis.RedisError, OSError):  # a time limit that has passed is an OSError, too
                    await asyncio.sleep(0.05)
        with self._lock:
            if live:
                tokens = self.tokens(login) or msal.SerializableTokenCache()
                self.refreshed(login, tokens, iat)
                self.redis.set(self._session_key(login.key), json.dumps(claims))
            else:
                self._drop(login.key)
        return bool(live)

    def tokens(self, login: Login) -> Blob | None:
        """The token cache of a session; None when there is none."""
        value = self.redis.get(self._tokens_key(login.key))
        if not isinstance(value, bytes):
            return None
        cache = msal.SerializableTokenCache()
        cache.deserialize(value.decode())
        return cache

    def refreshed(self, login: Login, tokens: Blob, iat: int | None) -> None:
        """A refresh that was in flight ends: the whole cache is saved, whatever happened meanwhile."""
        add_tokens(tokens, login, iat)
        self.redis.set(self._tokens_key(login.key), tokens.serialize())

    def holds(self, login: Login) -> bool:
        """Whether a request with this session would find it, with a token to act with."""
        session, tokens = self.redis.get(self._session_key(login.key)), self.tokens(login)
        return isinstance(session, bytes) and tokens is not None and any(tokens.search(ACCESS_TOKEN))

    async def standing(self, login: Login, iat: int | None = None) -> Literal["live", "ended"]:
        """What the guard says of the session; waits while Redis is coming back."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer = await self._ask("status", login.claims(iat), home_account_id=login.account)
                if answer != "unknown":
                    return "live" if answer == "live" else "ended"
                await asyncio.sleep(0.05)

    async def has_heard(self, entry_id: str) -> None:
        """Wait until this process has handled the stream up to an entry, and the app has cleared what it should."""
        guard = self._guard
        subscriber = (guard._guard if isinstance(guard, ThreadGuard) else guard)._subscriber
        async with asyncio.timeout(DEADLINE_S):
            while order(subscriber.position or "0-0") < order(entry_id) or not subscriber.has_cleared:
                await asyncio.sleep(0.005)

    def _forget(self, eviction: Eviction) -> None:
        for session in eviction.sessions:
            for name in session.keys if session.client_id == self.client_id else ():
                # Between the eviction and now the user may have signed in anew under the same session id.
                with self._lock:
                    found = self.redis.get(name)
                    if isinstance(found, bytes) and json.loads(found)["auth_time"] <= eviction.logout_at:
                        self._drop(name.rpartition(":")[2])
        concerns_us = eviction.applies_to == "tenant" or eviction.client_id == self.client_id
        if eviction.scope == "user" and concerns_us:
            for account in eviction.accounts:
                for key in self.redis.scan_iter(self._tokens_key("*")):
                    forget_account_in_redis(self.redis, key.decode(), account, logout_at=eviction.logout_at)

    def _drop(self, key: str) -> None:
        self.redis.delete(self._session_key(key), self._tokens_key(key))

    def _session_key(self, key: str) -> str:
        return f"{self.client_id}:session:{key}"

    def _tokens_key(self, key: str) -> str:
        return f"{self.client_id}:tokens:{key}"

    async def _ask(self, question: str, *arguments: object, **options: object) -> Any:
        call: Callable[..., Any] = getattr(self._guard, question)
        if isinstance(self._guard, ThreadGuard):
            return await asyncio.to_thread(call, *arguments, **options)
        return await call(*arguments, **options)


ACCESS_TOKEN = msal.TokenCache.CredentialType.ACCESS_TOKEN


def add_tokens(cache: Blob, login: Login, iat: int | None = None) -> None:
    """What MSAL stores after a code was redeemed or a token refreshed."""
    uid, _, utid = login.account.partition(".")
    client_info = {"client_info": b64(json.dumps({"uid": uid, "utid": utid}))} if utid else {}
    cache.add(
        {
            "client_id": login.client,
            "scope": ["openid", "api"],
            "token_endpoint": "https://op.example/t1/token",
            "response": {
                "access_token": f"at-{login.key}",
                "refresh_token": f"rt-{login.key}",
                "id_token": f"{b64('{}')}.{b64(json.dumps(login.claims(iat)))}.{b64('s')}",
                "expires_in": 3600,
                "token_type": "Bearer",
                **client_info,
            },
        }
    )
