"""The feed: everything after the last id, once, in order; resets exactly when something is gone."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.ingress import epoch_watch
from receiver.ingress.api import feed as event_feed
from tests.api.conftest import DEADLINE_S, TOKEN, Api, Block
from tests.support.receiver import start_receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.clock import Clock
    from tests.support.op import OP

STREAM = KeyNames().events


def subjects(blocks: list[Block]) -> list[str]:
    """Who is evicted, by block; `reset` for resets."""
    return ["reset" if b.event == "reset" else json.loads(b.data or "")["data"]["sub"] for b in blocks]


async def test_feed_starts_now(api: Api) -> None:
    """Without an id only what comes after connecting is sent, as it stands in the stream, with the entry's id."""
    await api.evict("before")
    async with api.feed() as feed:
        ordered = await api.evict("after")
        block = await feed.event()
        headers = feed.response.headers

    [stored] = [event for event in await api.receiver.events() if event["id"] == ordered["id"]]
    assert ("eviction", ordered["entry_id"], stored) == (block.event, block.id, json.loads(block.data or ""))
    assert "text/event-stream" == headers["Content-Type"]
    assert ("no-store", "no") == (headers["Cache-Control"], headers["X-Accel-Buffering"])


async def test_tokens_and_orders_are_heard_in_order_by_all(api: Api, op: OP) -> None:
    """Two feeds both get everything in the order of the stream."""
    async with api.feed() as one, api.feed() as two:
        for number in range(10):
            await (api.evict(f"u{number}") if number % 2 else api.receiver.post(op.token(sub=f"u{number}")))
        expected = [f"u{number}" for number in range(10)]
        assert expected == subjects(await one.events(10))
        assert expected == subjects(await two.events(10))
        assert 2 == api.metric("logout_sse_clients")
    assert 20 == api.metric("logout_sse_events_total")
    await until(lambda: api.metric("logout_sse_clients") == 0)


@pytest.mark.parametrize("by", ["header", "query", "both"])
async def test_resume_is_exact(api: Api, by: str) -> None:
    """With the last id seen the feed goes on with the very next entry; the header wins over the address."""
    ids = [(await api.evict(f"u{number}"))["entry_id"] for number in range(5)]
    query = {"header": "", "query": f"?last_event_id={ids[1]}", "both": f"?last_event_id={ids[3]}"}[by]

    async with api.feed(None if by == "query" else ids[1], query) as feed:
        assert ["u2", "u3", "u4"] == subjects(await feed.events(3))
        await api.evict("live")
        assert ["live"] == subjects([await feed.event()])
    assert 0 == api.metric("logout_sse_resets_total")


async def test_no_gap_and_no_duplicate_between_catch_up_and_live(api: Api) -> None:
    """Feeds that resume far behind, while events go on coming, get each exactly once and in order."""
    for number in range(250):
        await api.receiver.redis.xadd(STREAM, {"event": _event(f"u{number}"), "n": number + 1})
    await api.receiver.redis.set(KeyNames().sequence, 250)
    expected = [f"u{number}" for number in range(300)]

    async def publish() -> None:
        for number in range(250, 300):
            await api.evict(f"u{number}")

    async def read() -> list[str]:
        async with api.feed("0-0") as feed:
            return subjects(await feed.events(300))

    _, *read_by = await asyncio.gather(publish(), read(), read(), read())

    assert [expected] * 3 == read_by
    assert 0 == api.metric("logout_sse_resets_total")


async def test_trimmed_past_is_a_reset(api: Api) -> None:
    """A client whose next entry is gone is told first, then gets what there is."""
    ids = [(await api.evict(f"u{number}"))["entry_id"] for number in range(5)]
    await api.receiver.redis.xtrim(STREAM, maxlen=2, approximate=False)

    async with api.feed(ids[1]) as feed:
        assert ["reset", "u3", "u4"] == subjects(await feed.events(3))
    async with api.feed("0-0") as feed:
        assert ["reset", "u3", "u4"] == subjects(await feed.events(3))
    assert 2 == api.metric("logout_sse_resets_total")


async def test_nothing_missed_is_no_reset(api: Api) -> None:
    """Nobody is told to drop everything when its last entry is the last one trimmed, or everything is."""
    async with api.feed() as feed:
        ids = [(await api.evict(f"u{number}"))["entry_id"] for number in range(3)]
        await feed.events(3)
    await api.receiver.redis.xtrim(STREAM, maxlen=1, approximate=False)
    async with api.feed(ids[1]) as feed:
        assert ["u2"] == subjects([await feed.event()])

    await api.receiver.redis.xtrim(STREAM, maxlen=0, approximate=False)
    async with api.feed(ids[2]) as feed:
        await api.evict("next")
        assert ["next"] == subjects([await feed.event()])
    assert 0 == api.metric("logout_sse_resets_total")


async def test_everything_trimmed_unread_is_a_reset(api: Api) -> None:
    """A client is told also when the stream is empty by now, at once and not with the next event."""
    ids = [(await api.evict(f"u{number}"))["entry_id"] for number in range(2)]
    await api.receiver.redis.xtrim(STREAM, maxlen=0, approximate=False)

    async with api.feed(ids[0]) as feed:
        assert "reset" == (await feed.event()).event


async def test_data_lost_under_an_open_feed_is_a_reset(api: Api) -> None:
    """When Redis forgot everything an open feed hears of a reset, then of the events since."""
    async with api.feed() as feed:
        for name in ("old", "older"):
            await api.evict(name)
        assert ["old", "older"] == subjects(await feed.events(2))
        await api.receiver.redis.flushall()
        await api.evict("new")
        assert ["reset", "new"] == subjects(await feed.events(2))


async def test_stream_whose_clock_went_back_is_heard(api: Api) -> None:
    """A new stream with lower ids than those read before is read from its beginning, after a reset."""
    async with api.feed() as feed:
        await api.evict("old")
        await feed.event()
        await api.receiver.redis.flushall()
        await api.receiver.redis.xadd(STREAM, {"event": _event("new"), "n": 1}, id="1000-0")
        await api.receiver.redis.set(KeyNames().sequence, 1)
        await api.receiver.redis.xadd(STREAM, {"event": _event("newer"), "n": 2}, id="1001-0")
        blocks = await feed.events(3)
    assert ["reset", "new", "newer"] == subjects(blocks)


@pytest.mark.parametrize("more", [0, 1, 20])
@pytest.mark.parametrize("live", [True, False], ids=["live", "resuming"])
async def test_older_data_is_a_reset(
    clock: Clock, op: OP, monkeypatch: pytest.MonkeyPatch, more: int, *, live: bool
) -> None:
    """Redis comes back from an old snapshot: the client is told, open or coming back, and hears what is new."""
    # A receiver that sees it leaves a number out, between the test's own numbers too.
    monkeypatch.setattr(epoch_watch, "INTERVAL_S", 3600.0)
    server = EmbeddedRedis()
    await asyncio.to_thread(server.start)
    client = redis.asyncio.Redis.from_url(server.url)
    try:
        async with start_receiver(server.url, client, clock, [t1(op)], internal={"token": TOKEN}) as receiver:
            api = Api(receiver)
            async with api.feed() as feed:
                for number in range(5):
                    last = await api.evict(f"u{number}")
                    if number == 2:
                        await client.save()
                assert ["u0", "u1", "u2", "u3", "u4"] == subjects(await feed.events(5))
                if live:
                    await _restore(server, more)
                    assert _after_reset(await feed.events(4 + more), more)
            if not live:
                await until(lambda: api.metric("logout_sse_clients") == 0)
                await _restore(server, more)
                async with api.feed(last["entry_id"]) as feed:
                    assert _after_reset(await feed.events(4 + more), more)
            assert 1 == api.metric("logout_sse_resets_total")
    finally:
        await client.aclose()
        await asyncio.to_thread(server.stop)


async def _restore(server: EmbeddedRedis, more: int) -> None:
    server.kill()
    await asyncio.to_thread(server.start)
    client = redis.asyncio.Redis.from_url(server.url)
    assert 3 == await client.xlen(STREAM)
    for number in range(more):
        await client.xadd(STREAM, {"event": _event(f"new{number}"), "n": await client.incr(KeyNames().sequence)})
    await client.aclose()


def _after_reset(blocks: list[Block], more: int) -> bool:
    """A reset, and all that the stream holds now after it."""
    heard = subjects(blocks)
    return heard == ["reset", "u0", "u1", "u2", *(f"new{number}" for number in range(more))]


async def test_heartbeat_carries_the_id(api: Api) -> None:
    """Silence is broken by comments that say how far the feed is, so that a filtered client resumes there."""
    await api.evict("u1", client_id="c1")
    async with api.feed(query="?client_id=another") as feed:
        ordered = await api.evict("u2", client_id="c1")
        async with asyncio.timeout(DEADLINE_S):
            while (block := await feed.block()) is not None and block.id != ordered["entry_id"]:
                assert block.event is None
    assert block is not None
    assert block.comment


async def test_filters(api: Api) -> None:
    """A client's feed has the events for every client and its own, and none for another client only."""
    assert 400 == (await api.call("GET", "/events?tenant=t9"))[0]
    async with api.feed(query="?client_id=portal&tenant=t1") as portal, api.feed(query="?client_id=c1") as c1:
        await api.evict("only c1", client_id="c1")
        await api.evict("all")
        assert ["all"] == subjects([await portal.event()])
        assert ["only c1", "all"] == subjects(await c1.events(2))


@pytest.mark.parametrize("last", ["x", "1-", "-1", "1-2-3", "1" * 30, "$", "+"])
async def test_bad_id_is_refused(api: Api, last: str) -> None:
    """What is no entry id is 400, not a feed from somewhere."""
    status, body, _ = await api.call("GET", "/events", headers={"Last-Event-ID": last})

    assert (400, "malformed") == (status, body["error_description"])


async def test_too_many_feeds(api: Api) -> None:
    """Beyond the limit the answer is 503; a client that left makes room."""
    async with api.feed(), api.feed():
        async with api.feed():
            status, body, headers = await api.call("GET", "/events")
            assert (503, "feed_limit", "5") == (status, body["error_description"], headers["Retry-After"])
        await until(lambda: api.metric("logout_sse_clients") < 3)
        async with api.feed():
            pass


async def test_slow_client_is_dropped(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read is disconnected, keeps nothing waiting for it, and others are not held up."""
    monkeypatch.setattr(event_feed, "QUEUE_ENTRIES", 5)
    # A small buffer, or the kernel takes in megabytes on behalf of who does not read.
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", api.receiver.server.internal_port))
    _, writer = await asyncio.open_connection(sock=deaf, limit=1024)
    writer.write(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    async with api.feed() as feed:
        await until(lambda: api.metric("logout_sse_clients") == 2)
        big, sent = json.loads(_event("big")), 0
        big["data"]["reason"] = "x" * 1_000_000
        async with asyncio.timeout(DEADLINE_S):
            while api.metric("logout_sse_clients") == 2:
                sent += 1
                await api.receiver.redis.xadd(STREAM, {"event": json.dumps(big), "n": sent}, maxlen=30)
                assert ["big"] == subjects([await feed.event()])
    writer.close()
    assert 0 == api.metric("logout_sse_resets_total")


async def test_redis_away_and_back(clock: Clock, op: OP) -> None:
    """An open feed outlives an outage with heartbeats, and then goes on without loss; a new one is 503 meanwhile."""
    server = EmbeddedRedis(arguments=("--appendonly", "yes", "--appendfsync", "always"))
    await asyncio.to_thread(server.start)
    client = redis.asyncio.Redis.from_url(server.url)
    internal = {"token": TOKEN, "feed_heartbeat_s": 0.1}
    try:
        async with start_receiver(server.url, client, clock, [t1(op)], internal=internal) as receiver:
            api = Api(receiver)
            async with api.feed() as feed:
                await api.evict("before")
                assert ["before"] == subjects([await feed.event()])
                server.kill()
                assert 503 == (await api.call("GET", "/events"))[0]
                beat = await feed.block()
                assert beat is not None
                assert beat.comment
                await asyncio.to_thread(server.start)
                # By another receiver, the moment Redis is back.
                other = redis.asyncio.Redis.from_url(server.url)
                await other.xadd(STREAM, {"event": _event("after"), "n": await other.incr(KeyNames().sequence)})
                await other.aclose()
                assert ["after"] == subjects([await feed.event()])
            assert 0 == api.metric("logout_sse_resets_total")
    finally:
        await client.aclose()
        await asyncio.to_thread(server.stop)


async def test_stopping_closes_feeds(api: Api) -> None:
    """A receiver that stops ends its feeds properly, at once, and opens no new ones."""
    async with api.feed() as feed:
        await api.evict("last")
        assert ["last"] == subjects([await feed.event()])
        drained = asyncio.create_task(api.receiver.server.drain())
        while await feed.block() is not None:
            pass
        assert 503 == (await api.call("GET", "/events"))[0]
        async with asyncio.timeout(DEADLINE_S):
            await drained


def _event(sub: str) -> str:
    data: dict[str, Any] = {
        "tenant": "t1", "iss": "https://op", "client_id": None, "sub": sub, "sid": None, "jti": None, "scope": "user",
        "applies_to": "tenant", "logout_at": 1, "input": "admin", "reason": None, "accounts": [], "sessions": [],
    }  # fmt: skip
    return json.dumps(
        {
            "specversion": "1.0", "type": "logout-receiver.eviction.v1", "id": sub, "source": "https://op",
            "time": "2026-11-20T12:00:00Z", "datacontenttype": "application/json", "data": data,
        }
    )  # fmt: skip
