"""Publishes to a test's Redis, as a receiver does, but with patience: no OP waits for the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.bus.events.publish import Durability, EvictionPublisher, Retention
from receiver.bus.keys import KeyNames

if TYPE_CHECKING:
    import redis.asyncio

PATIENT = Durability(try_for_s=20.0)
"""On a busy machine one round trip may take longer than an OP would wait for it."""


def publisher_to(client: redis.asyncio.Redis) -> EvictionPublisher:
    """With the usual prefix and the usual retention."""
    return EvictionPublisher(client, KeyNames(), Retention(), durability=PATIENT)
