"""Web apps under test, the receiver's publisher, and a view that can be held while it runs."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio

from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.core.eviction import Eviction
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ISS = "https://op.example/t1"
SIGNED_IN_AT = 900
LOGOUT_AT = 1000
DEADLINE_S = 60.0
PAGE = {"Accept": "text/html,application/xhtml+xml"}
API = {"Accept": "application/json"}


def claims(user: str, **changes: Any) -> dict[str, Any]:
    """The ID token claims of one user's session."""
    payload = {
        "iss": ISS, "aud": "portal", "sub": user, "sid": f"sid-{user}", "auth_time": SIGNED_IN_AT, "iat": SIGNED_IN_AT,
    }  # fmt: skip
    return {name: value for name, value in (payload | changes).items() if value is not None}


def wait_for(condition: Callable[[], object]) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class World:
    """A Redis with the receiver's publisher, and what the app under test heard and did.

    Attributes:
        store: A client of that Redis.
        heard: Ids of the evictions the app's guard heard.
        views: Users for whom a view ran.
        entered: Set while the held view runs.
        release: Lets the held view finish.
    """

    def __init__(self, url: str, store: redis.Redis) -> None:
        self.url = url
        self.store = store
        self.heard: list[str] = []
        self.views: list[str | None] = []
        self.entered = threading.Event()
        self.release = threading.Event()
        self._published = 0

    def hear(self, eviction: Eviction) -> None:
        """Given to the app's guard as `on_eviction`."""
        self.heard.append(eviction.id)

    def hold(self) -> None:
        """Called by a view that is held."""
        self.entered.set()
        assert self.release.wait(DEADLINE_S)

    def logout(self, user: str, *, heard: bool = True, **changes: Any) -> Eviction:
        """Publish a logout of the user's session as the receiver does, and wait until the app has heard it."""
        return asyncio.run(self.publish(user, heard=heard, **changes))

    async def publish(self, user: str, *, heard: bool = True, **changes: Any) -> Eviction:
        """The same, on a loop that runs already."""
        self._published += 1
        fields: dict[str, Any] = {
            "id": f"e{self._published}", "tenant": "t1", "iss": ISS, "client_id": "portal", "sub": user,
            "sid": f"sid-{user}", "scope": "session", "logout_at": LOGOUT_AT, "received_at": 1.0, **changes,
        }  # fmt: skip
        eviction = Eviction(**fields)
        async with redis.asyncio.Redis.from_url(self.url) as client:
            await publisher_to(client).publish(eviction)
        async with asyncio.timeout(DEADLINE_S):
            while heard and eviction.id not in self.heard:
                await asyncio.sleep(0.005)
        return eviction

    def last_event(self) -> Eviction:
        """The newest event, with what the registry added."""
        entries: Any = self.store.xrevrange(KeyNames().events, count=1)
        [(_, fields)] = entries
        return Eviction.from_json(fields[b"event"])


@pytest.fixture
def world(redis_server: EmbeddedRedis) -> Iterator[World]:
    """The suite's Redis, emptied."""
    with redis.Redis.from_url(redis_server.url) as store:
        store.flushall()
        store.set(KeyNames().epoch, 0)
        yield World(redis_server.url, store)


@pytest.fixture
def away() -> str:
    """The URL of a Redis that is down."""
    return EmbeddedRedis().url
