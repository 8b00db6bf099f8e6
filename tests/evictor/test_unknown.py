"""A logout some of whose names go beyond a limit is acknowledged as unknown; ack, trace, metric and log say so."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from receiver.bus.caches import cache_index
from receiver.bus.keys import KeyNames
from receiver.core.layouts import msal_cache
from receiver.core.marks import digest
from tests.evictor.rig import FLASK, NODE, WEB, Work, World
from tests.evictor.written import dumped, id_token, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.core.eviction import Eviction

KEYS = KeyNames()
BLIND = {"name": "blind", "layout": "flask-session", "prefix": "blind:", "index": False}
HOMES = 16
"""Accounts of a user whose subjects one logout looks up."""


async def said_unknown(world: World, eviction: Eviction, *caches: str) -> bool:
    """Whether the acknowledgement and the trace name just these caches."""
    ack = await world.redis.hget(KEYS.acks_of(eviction.id), "evictor/@evictor")
    app = await world.traced(eviction)
    return (
        ack == f"unknown {','.join(caches)}".encode()
        and app.unknown == {"@evictor": list(caches)}
        and not app.done
        and app.after_ms is None
    )


def session(world: World, sid: str) -> str:
    """A web session, which no account leads to."""
    return json.dumps({"idToken": id_token(world.op.issuer, "u1", "c1", sid=sid)})


async def test_no_room_in_the_index(
    work: Work, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the index had no room for its name; a logout whose name is there is done, and so is one after its time."""
    async with work(FLASK, BLIND) as world:
        await redis_client.set("session:a", session(world, "s1"))
        await until(lambda: world.is_indexed("session:a"))
        monkeypatch.setattr(cache_index, "MAX_NAMES", 0)
        await redis_client.set("session:b", session(world, "s2"))
        await until(lambda: redis_client.hlen(KEYS.full_buckets))

        assert (await world.traced(await world.log_out_session("s1"))).done
        lacking = await world.log_out_session("s2")
        assert await said_unknown(world, lacking, "flask")
        assert 1 == world.sample("logout_unknown_total", cache="flask")
        assert 0 == world.sample("logout_unknown_total", cache="blind")
        [said] = [record for record in caplog.records if record.getMessage() == "evict.unknown"]
        assert ("flask", "index_full", lacking.id) == tuple(
            said.__dict__["fields"][name] for name in ("cache", "reason", "id")
        )

        for bucket in await redis_client.hkeys(KEYS.full_buckets):
            await redis_client.hset(KEYS.full_buckets, bucket, str(world.now))
        assert (await world.traced(await world.log_out_session("s2", jti="later"))).done


async def test_more_names_than_one_logout_looks_up(
    work: Work, redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Where subjects were left out of it; a user with just as many as are looked up is done."""
    async with work(WEB, NODE, BLIND) as world:
        for sub, count in (("within", HOMES), ("beyond", HOMES + 1)):
            homes = [(digest("account", world.op.issuer, name), name) for name in map("{}".format, range(count))]
            user = digest("sub", world.op.issuer, sub)
            members = ",".join(f'{home} "{name}"' for home, name in homes)
            await redis_client.hset(KEYS.index_bucket(user), user, f"{world.now + 900},{members}")
        await world.put_data("web:16", dumped(tokens(world.op.issuer, account="16")))

        assert (await world.traced(await world.log_out_user("within"))).done
        beyond = await world.log_out_user("beyond")
        assert 1 == beyond.beyond
        assert await world.gone("web:16")
        assert await said_unknown(world, beyond, "blind", "node", "web")
        assert 1 == world.sample("logout_unknown_total", cache="web")
        reasons = {r.__dict__["fields"]["reason"] for r in caplog.records if r.getMessage() == "evict.unknown"}
        assert {"too_many_names"} == reasons


BLOB = dumped(tokens("https://op.example"))


@pytest.mark.parametrize(
    "left",
    [gzip.compress(BLOB), json.dumps({"cache": BLOB.decode(), "version": 1}), json.dumps({"value": json.loads(BLOB)})],
)
async def test_a_value_of_the_user_that_cannot_be_read(
    work: Work, redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture, left: bytes | str
) -> None:
    """Compressed, or wrapped in a form that is not known: it stays, at the user's key and at that of all users."""
    shared = {"name": "shared", "layout": "msal-python", "key": "msal:all"}
    async with work(NODE, shared, FLASK) as world:
        for key in ("node:u1", "msal:all", "node:u2", "session:u1"):
            await redis_client.set(key, left)
        eviction = await world.log_out_user("u1")
        assert await said_unknown(world, eviction, "node", "shared")
        assert {"node:u1", "msal:all", "node:u2", "session:u1"} == await world.keys()
        reasons = {r.__dict__["fields"]["reason"] for r in caplog.records if r.getMessage() == "evict.unknown"}
        assert {"unreadable"} == reasons

        for key in ("node:u1", "msal:all"):
            await redis_client.set(
                key, dumped(tokens(world.op.issuer), tokens(world.op.issuer, account="u3", sub="u3"))
            )
        assert (await world.traced(await world.log_out_user("u1", jti="later"))).done


async def test_a_fault_of_ours(work: Work, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that an error of ours leaves as it is may hold the user."""
    async with work(NODE) as world:
        await redis_client.set(
            "node:u1", dumped(tokens(world.op.issuer), tokens(world.op.issuer, account="u2", sub="u2"))
        )
        await world.watched("node:")

        def faulty(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(msal_cache, "without", faulty)
        assert await said_unknown(world, await world.log_out_user("u1"), "node")


async def test_a_session_that_is_the_users_no_more(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """An app that has signed the user out itself keeps the session, with nothing of the user in it: that is done."""
    async with work(FLASK) as world:
        await redis_client.set("session:a", session(world, "s1"))
        await until(lambda: world.is_indexed("session:a"))
        await redis_client.set("session:a", json.dumps({"_permanent": True, "cart": [1]}))
        assert (await world.traced(await world.log_out_session("s1"))).done
        assert {"session:a"} == await world.keys()


@pytest.mark.parametrize("empty", ["{}", ""])
async def test_an_empty_cache_in_a_wrapping(work: Work, redis_client: redis.asyncio.Redis, empty: str) -> None:
    """A framework's text of a cache in which no user is."""
    async with work(NODE, {"name": "shared", "layout": "msal-python", "key": "msal:all"}) as world:
        for key in ("node:u1", "msal:all"):
            await redis_client.set(key, json.dumps(empty))
        assert (await world.traced(await world.log_out_user("u1"))).done
