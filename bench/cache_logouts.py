"""Publish logouts, and see the users' keys go."""

from __future__ import annotations

import time
from typing import Self

import redis.asyncio

from bench.cache_rig import GONE_S, KEYS, OURS, Side
from bench.cache_values import logout
from receiver.bus.events.publish import EvictionPublisher, Retention


class Logouts:
    """Publishes logouts to one side, and sees the users' keys go."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._client = redis.asyncio.Redis.from_url(side.url, client_name=OURS)
        self._publisher = EvictionPublisher(self._client, KEYS, Retention())
        self._pubsub = self._client.pubsub()
        self._head = "__keyspace@0__:"

    async def __aenter__(self) -> Self:
        """Listen for what Redis tells of the caches' keys."""
        # By first letters, for the keys of the project itself begin with a brace.
        await self._pubsub.psubscribe(self._head + "[a-z]*")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._pubsub.aclose()
        await self._client.aclose()

    async def publish(self, number: int) -> float:
        """Publish one logout; seconds until Redis has acknowledged it."""
        began = time.perf_counter()
        await self._publisher.publish(logout(number))
        return time.perf_counter() - began

    async def one(self, number: int) -> float:
        """One logout; seconds until the last of the user's keys was gone."""
        left = {self._head + key for key in self._side.kind.keys(number)}
        while await self._pubsub.get_message(timeout=0.0):
            # Of what came before this logout.
            pass
        began = time.perf_counter()
        await self.publish(number)
        while left:
            message = await self._pubsub.get_message(timeout=GONE_S)
            if message is None:
                raise RuntimeError(f"user {number} is still there")
            if message["type"] == "pmessage" and message["data"] == self._side.kind.gone:
                left.discard(message["channel"].decode())
        return time.perf_counter() - began
