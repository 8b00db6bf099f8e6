"""`receiver caches`: how far the evictor is, and what it knows of each cache."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from receiver.bus.events import acks
from receiver.bus.keys import KeyNames
from receiver.diagnosis import caches, doctor
from receiver.diagnosis.caches import CacheSeen, CachesReport
from receiver.ops.settings import Settings
from tests.consumer.listening import eviction
from tests.diagnosis.conftest import Command, write_config
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

KEYS = KeyNames()
CACHES = [
    {"name": "web", "layout": "microsoft-identity-web", "prefix": "web:"},
    {"name": "flask", "layout": "flask-session"},
]


async def publish(client: redis.asyncio.Redis, *names: str) -> list[str]:
    """Their entries in the stream."""
    publisher = publisher_to(client)
    return [(await publisher.publish(eviction(name, time.time()))).entry_id for name in names]


async def acknowledged_in_part(client: redis.asyncio.Redis, name: str, entry_id: str, caches: str) -> None:
    """As a worker does that could not look into these."""
    listener = acks.AckSource("evictor", "w1", "evictor", 0.0)
    await acks.acknowledge(client, KEYS, listener, [acks.Ack(name, entry_id, 1.0, 1.0, caches)], now=1.0)


async def test_in_the_middle_of_a_storm(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four are done between the two looks; one cache is watched, of the other one eviction is unknown."""
    entries = await publish(redis_client, "e1", "e2", "e3", "e4")
    await redis_client.xgroup_create(KEYS.events, "evictor", "0")
    await redis_client.set(KEYS.watched("web"), "1")
    await acknowledged_in_part(redis_client, "e1", entries[0], "flask")
    looks = 0
    progress = caches._progress

    async def looked(client: redis.asyncio.Redis, keys: KeyNames) -> object:
        nonlocal looks
        looks += 1
        if looks == 2:
            await client.xreadgroup("evictor", "w1", {keys.events: ">"}, count=2)
            await client.xack(keys.events, "evictor", *entries[:2])
        return await progress(client, keys)

    monkeypatch.setattr(caches, "_progress", looked)
    monkeypatch.setattr(caches, "LOOK_S", 0.0)
    seen = await caches.look(Settings(redis={"url": redis_server.url}, caches=CACHES, events={"max_events": 1000}))
    assert (2, 0.002, 0, 4) == (seen.waiting, seen.room_used, seen.dead_letters, seen.looked_at)
    assert seen.per_s > 0
    assert (
        CacheSeen(name="web", watched=True, unknown=0), CacheSeen(name="flask", watched=False, unknown=1)
    ) == seen.caches  # fmt: skip


async def test_the_command(
    command: Command, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, tmp_path: Path, op: OP
) -> None:
    """A line on the evictions and one for each cache, or JSON; also where no evictor ever ran."""
    del redis_client
    config = str(write_config(tmp_path, op, redis_url=redis_server.url, sections={"caches": CACHES}))
    text = await command("caches", "--config", config)
    assert (0, "") == (text.code, text.err)
    assert 3 == len(text.out.splitlines())
    said = json.loads((await command("caches", "--json", "--config", config)).out)
    assert (None, ["web", "flask"]) == (said["waiting"], [cache["name"] for cache in said["caches"]])


def test_nothing_moves() -> None:
    """No time is told then."""
    text = caches.to_text(CachesReport(waiting=5, left_s=None, room_used=0.5))
    assert "nothing moves" in text
    assert "50%" in text


async def test_doctor_names_what_is_unknown(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """A warning at the cache in which users may still be, and at no other."""
    entries = await publish(redis_client, "e1", "e2")
    for name, entry_id in zip(("e1", "e2"), entries, strict=True):
        await acknowledged_in_part(redis_client, name, entry_id, "flask")
    checks = await doctor.examine(Settings(redis={"url": redis_server.url}, caches=CACHES))
    found = [check for check in checks if check.name == "unknown"]
    assert [("cache flask", "warning")] == [(check.area, check.outcome) for check in found]
    assert "2 of the last 2" in found[0].text
