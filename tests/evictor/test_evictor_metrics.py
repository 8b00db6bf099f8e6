"""The worker's metrics say what was seen and done; their labels name nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.evictor.rig import FLASK, WEB, Work, World
from tests.evictor.written import dumped, id_token, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    import aiohttp
    import redis.asyncio

    from tests.support.op import OP


async def test_what_was_read(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Values there are, those that cannot be read, what was learnt, and when everything was read last."""
    async with work(WEB, FLASK) as world:
        for number in range(3):
            sub = f"user{number}"
            await world.put_data(f"web:home{number}", dumped(tokens(op.issuer, sub=sub, account=f"home{number}")))
        await world.put_data("web:encrypted", b"\x09\xf0\xc9\xf0")
        await redis_client.set("session:a", json.dumps({"idToken": id_token(op.issuer, "user1", "c1")}))
        await redis_client.set("session:b", json.dumps({"cookie": {}}))
        await world.worker.watcher.read_all()
        assert (4, 2) == tuple(world.sample("logout_cache_keys", cache=cache) for cache in ("web", "flask"))
        assert (1, 1) == tuple(world.sample("logout_cache_unreadable", cache=cache) for cache in ("web", "flask"))
        assert 3 <= world.sample("logout_index_notes_total", cache="web")
        learnt = world.sample("logout_index_notes_total", cache="web")
        await world.worker.watcher.read_all()
        assert learnt == world.sample("logout_index_notes_total", cache="web")
        assert world.now == world.sample("logout_index_scan_timestamp_seconds", cache="web")
        assert world.sample("logout_index_scan_seconds", cache="web") > 0
        assert 1 == world.sample("logout_cache_watching")
        assert 1 == world.sample("logout_cache_notified", cache="web")

        async def is_up() -> bool:
            return 1 == world.sample("logout_redis_up")

        await until(is_up)


async def test_what_came_back(work: Work, op: OP) -> None:
    """Each value that was over is counted by what showed it."""
    async with work(WEB) as world:
        shown: dict[str, dict[str, Any]] = {"ended": {"auth_time": world.now}, "returned": {"sid": "s1"}, "unsure": {}}
        for number, (verdict, claims) in enumerate(shown.items()):
            sub = f"user{number}"
            await world.put_data(f"web:{sub}", dumped(tokens(op.issuer, sub=sub, account=sub, cached_at=1, **claims)))
            # Else a late look at this value may count it, too: seen between the mark and its removal, it is over.
            await world.watched("web:")
            await world.log_out_user(sub)
            labels = {"cache": "web", "verdict": verdict, "outcome": "removed"}
            counted = returned(world, labels)
            back = tokens(op.issuer, sub=sub, account=sub, cached_at=world.now + 1, **claims)
            await world.put_data(f"web:{sub}", dumped(back))
            await until(lambda: counted + 1 == returned(world, labels))  # noqa: B023  # awaited in this turn


def returned(world: World, labels: dict[str, str]) -> float:
    """How many such values have been found."""
    return world.sample("logout_cache_returned_total", **labels)


async def test_labels_name_nobody(work: Work, op: OP) -> None:
    """What `/metrics` shows holds configured names only."""
    async with work(WEB) as world:
        who: dict[str, Any] = {"sub": "sub-name", "account": "account-name", "sid": "sid-name"}
        await world.put_data("web:account-name", dumped(tokens(op.issuer, **who)))
        await world.watched("web:")
        await world.log_out(sub="sub-name", sid="sid-name")
        http: aiohttp.ClientSession = world.receiver.http
        async with http.get(f"http://127.0.0.1:{world.worker.internal_port}/metrics") as response:
            text = await response.text()
        assert 'logout_cache_values_total{cache="web",outcome="deleted"} 1.0' in text
        assert "-name" not in text
