"""Apps that are gone for good are forgotten, so that proof of a logout does not wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.bus.events import acks
from receiver.bus.link.connection import failing_as

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import KeyNames


async def forget(client: redis.asyncio.Redis, keys: KeyNames, app: str, *, silent_for_s: float) -> list[acks.Instance]:
    """Forget an app's instances that have been silent for so long; the ones that are left, and listen, are returned.

    What they acknowledged stays on record. An instance that speaks again is known again.

    Raises:
        RedisUnavailableError: Redis cannot be reached.
        KeyError: no app of this name is known.
    """
    with failing_as("cannot forget the app"):
        seconds, microseconds = await client.time()
        heard_ms = (int(seconds) + int(microseconds) / 1e6 - silent_for_s) * 1000
        mine = [instance for instance in await acks.instances(client, keys) if instance.app == app]
        silent = [f"{i.app}/{i.instance}" for i in mine if i.last_seen_ms < heard_ms]
        await acks.forget(client, keys, silent)
    if not mine:
        raise KeyError(app)
    return [instance for instance in mine if instance.last_seen_ms >= heard_ms]
