"""One receiver for all property tests, and the `thorough` profile.

pytest tests/fuzz --hypothesis-profile=thorough --timeout=0
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Self

import pytest
import redis.asyncio
from hypothesis import settings

from receiver.bus.link.embedded import EmbeddedRedis
from tests.fuzz import worlds
from tests.support.clock import Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP
from tests.support.receiver import EVENTS, Answer, Receiver, start_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("thorough", deadline=None)

REPORTERS = ("receiver", "aiohttp", "asyncio")
"""Loggers that would tell of an unhandled exception."""


class Live:
    """A receiver for tests that are plain functions; it outlives the examples and runs only while one is sent.

    Attributes:
        lax: The OP behind tenant lax; it signs with RS256 too.
        strict: The OP behind tenant strict.
    """

    def __init__(self, redis_url: str) -> None:
        self.lax = worlds.lax(RS256=rsa_pair("k1").private)
        self.strict = worlds.strict()
        self._redis_url = redis_url
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self._receiver: Receiver | None = None
        self._faults = _Faults()

    def __enter__(self) -> Self:
        try:
            self._loop.run_until_complete(self._start())
        except BaseException:
            self._close()
            raise
        # Whatever the receiver catches and reports as a fault of its own.
        for name in REPORTERS:
            logging.getLogger(name).addHandler(self._faults)
        return self

    def __exit__(self, *_: object) -> None:
        for name in REPORTERS:
            logging.getLogger(name).removeHandler(self._faults)
        self._close()

    def _close(self) -> None:
        try:
            self._loop.run_until_complete(self._stack.aclose())
        finally:
            self._loop.close()

    def send(self, body: bytes, content_type: str) -> tuple[Answer, int]:
        """POST any body; returns the answer and how many events came of it."""
        return self._loop.run_until_complete(self._send(body, content_type))

    def logout(self, token: str) -> tuple[Answer, int]:
        """POST one token as an OP does."""
        return self.send(b"logout_token=" + token.encode(), "application/x-www-form-urlencoded")

    async def _start(self) -> None:
        clock = Clock()
        client = redis.asyncio.Redis.from_url(self._redis_url)
        self._stack.push_async_callback(client.aclose)
        tenants = []
        for world in (self.lax, self.strict):
            op = await self._stack.enter_async_context(OP(clock, path="/" + world.settings["name"]))
            op.keys = world.key_set["keys"]
            tenants.append({**world.settings, "jwks_uri": op.issuer + "/jwks"})
        starting = start_receiver(self._redis_url, client, clock, tenants, keys={"held_tokens": 0})
        self._receiver = await self._stack.enter_async_context(starting)

    async def _send(self, body: bytes, content_type: str) -> tuple[Answer, int]:
        receiver = self._receiver
        assert receiver is not None
        self._faults.seen.clear()
        before = await receiver.redis.xlen(EVENTS)
        answer = await receiver.send(
            "POST", data=body, headers={"Content-Type": content_type}, skip_auto_headers=["Content-Type"]
        )
        assert [] == self._faults.seen
        return answer, await receiver.redis.xlen(EVENTS) - before


class _Faults(logging.Handler):
    """Keeps what is logged as an error: a fault of the receiver, where a refusal is a warning."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(
            record.getMessage() + (logging.Formatter().formatException(record.exc_info) if record.exc_info else "")
        )


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """The receiver the property tests talk to, with a Redis that no other test empties or cuts off."""
    with EmbeddedRedis() as server, Live(server.url) as running:
        yield running
