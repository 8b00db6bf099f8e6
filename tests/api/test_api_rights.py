"""The API with exactly the rights docs/events.md gives the receiver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from tests.api.conftest import TOKEN, Api
from tests.docs.pages import blocks, read
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    from tests.support.clock import Clock
    from tests.support.op import OP


async def test_rights_on_the_page_are_enough(clock: Clock, op: OP) -> None:
    """Every call works for the Redis user of the page."""
    server = EmbeddedRedis()
    await asyncio.to_thread(server.start)
    admin = redis.asyncio.Redis.from_url(server.url)
    [commands] = blocks(read("events.md"), "redis-acl")
    for command in commands.splitlines():
        await admin.execute_command(*command.split())
    await admin.execute_command("ACL", "SETUSER", "default", "resetpass", "-@all")
    await admin.aclose()
    url = server.url.replace("redis://", "redis://receiver:secret@")
    session = {"iss": op.issuer, "client_id": "c1", "sub": "u1", "sid": "s1"}
    registration = {**session, "home_account_id": "uid.utid", "keys": ["k1"]}
    async with (
        redis.asyncio.Redis.from_url(url) as client,
        start_receiver(url, client, clock, [t1(op)], internal={"token": TOKEN}) as receiver,
    ):
        api = Api(receiver)
        for number in range(64):  # the size at which a bucket of sessions is tidied
            registration["sid"] = f"s{number}"
            assert 200 == (await api.call("PUT", "/sessions", registration))[0]
        assert {"signed_out": False} == (await api.call("POST", "/sessions/check", session))[1]
        async with api.feed("0-0") as feed:
            ordered = await api.evict("u1")
            assert ordered["entry_id"] == (await feed.event()).id
        async with api.feed():
            assert 200 == (await api.call("GET", f"/evictions/{ordered['id']}"))[0]
        assert 404 == (await api.call("GET", "/evictions?jti=unknown"))[0]
    await asyncio.to_thread(server.stop)
