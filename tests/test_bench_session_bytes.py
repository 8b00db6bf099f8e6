"""The bench that takes a session's bytes apart measures what register.lua writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.session_bytes import KEYS, PLAIN, Registered, fill

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis


async def written(client: redis.asyncio.Redis) -> dict[bytes, object]:
    """What is in the keys of sessions."""
    found: dict[bytes, object] = {key: await client.get(key) async for key in client.scan_iter(KEYS.user("*"))}
    for kind in ("sids", "account"):
        async for key in client.scan_iter(f"{KEYS.prefix}:{kind}:*"):
            found[key] = await client.hgetall(key)
    return found


async def test_plain_commands_write_what_the_script_does(
    redis_client: redis.asyncio.Redis, redis_server: EmbeddedRedis
) -> None:
    """The form that the others are changes of is the one that is in use."""
    fill(redis_server.url, Registered(), 20)
    registered = await written(redis_client)
    await redis_client.flushdb()
    fill(redis_server.url, PLAIN, 20)
    assert registered == await written(redis_client)
    assert len(registered) > 40
