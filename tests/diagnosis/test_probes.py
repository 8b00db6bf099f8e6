"""What is tried of a Redis before it is relied on: every right that the scripts need, with nothing left behind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from receiver.bus.caches import rechecks, removals
from receiver.bus.events.publish import PUBLISH
from receiver.bus.keys import KeyNames
from receiver.bus.link.inspect import probe_clearing, probe_publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from receiver.bus.link.embedded import EmbeddedRedis

KEYS = KeyNames()
GROUP = "evictor"
ON_RECHECKS_AND_NOTES = (rechecks.TAKE, rechecks.PUT, removals.REMOVED, removals.MARK)


def commands(*scripts: str) -> set[str]:
    """Those that scripts cannot do without, but for TIME, which changes nothing."""
    return {name for script in scripts for name in re.findall(r"redis\.call\('([A-Z]+)'", script)} - {"TIME"}


OF_PUBLISHING = commands(PUBLISH.text)
OF_CLEARING = commands(*(script.text for script in ON_RECHECKS_AND_NOTES)) | {"HSETNX", "XACK"}


@pytest.fixture
async def limited(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of a user with all rights, to whom one may be denied."""
    await redis_client.xgroup_create(KEYS.events, GROUP, id="0-0", mkstream=True)
    await redis_client.acl_setuser("limited", enabled=True, passwords=["+secret"], categories=["+@all"], keys=["*"])
    client = redis.asyncio.Redis(host="127.0.0.1", port=redis_server.port, username="limited", password="secret")
    yield client
    await client.aclose()
    await redis_client.acl_deluser("limited")


async def left(client: redis.asyncio.Redis) -> dict[str, int]:
    """What there is beside the stream and the epoch, and milliseconds for which it will be there."""
    names = [name.decode() async for name in client.scan_iter()]
    return {name: await client.pttl(name) for name in names if name not in {KEYS.events, KEYS.epoch}}


@pytest.mark.parametrize("denied", sorted(OF_CLEARING))
async def test_a_right_to_clear_is_missing(
    redis_client: redis.asyncio.Redis, limited: redis.asyncio.Redis, denied: str
) -> None:
    """It is told; what was written until then is gone a second later."""
    await redis_client.execute_command("ACL", "SETUSER", "limited", f"-{denied.lower()}")

    assert await probe_clearing(limited, KEYS, group=GROUP)
    assert all(0 < pttl <= 1000 for pttl in (await left(redis_client)).values())


@pytest.mark.parametrize("denied", sorted(OF_PUBLISHING))
async def test_a_right_to_publish_is_missing(
    redis_client: redis.asyncio.Redis, limited: redis.asyncio.Redis, denied: str
) -> None:
    """It is told, for each command of publish.lua."""
    await redis_client.execute_command("ACL", "SETUSER", "limited", f"-{denied.lower()}")

    assert await probe_publish(limited, KEYS)
    assert all(0 < pttl <= 1000 for pttl in (await left(redis_client)).values())


async def test_all_rights_are_there(redis_client: redis.asyncio.Redis, limited: redis.asyncio.Redis) -> None:
    """Nothing is told, nothing is left, and everything was tried where it is to be."""
    await redis_client.config_resetstat()
    assert "" == await probe_clearing(limited, KEYS, group=GROUP)
    assert 0 == (await redis_client.info("stats"))["keyspace_misses"]
    assert "" == await probe_publish(limited, KEYS)
    assert {} == await left(redis_client)
