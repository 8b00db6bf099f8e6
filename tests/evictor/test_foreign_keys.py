"""Other programs' data under a cache's prefix: no logout and no reset touches it, whatever it looks like."""

from __future__ import annotations

import gzip
import json
import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from django.core.cache.backends.redis import RedisSerializer
from flask_session.base import MsgSpecSerializer

from tests.evictor.rig import Work, World, register
from tests.evictor.written import dumped, id_token, tokens
from tests.stacks.dotnet.recorded import recording
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from tests.support.op import OP

STRINGS: dict[str, bytes] = {
    "json": b'{"order": 77, "total": 12.50}',
    "json of objects": b'{"order": {"id": 77}, "customer": {"name": "a"}}',
    "json with a cookie": b'{"cookie": {"consent": true}, "cart": [1, 2]}',
    "json list": b'[{"order": 77}]',
    "counter": b"5",
    "text": b"<html>Account</html>",
    "nothing": b"",
    "bytes": os.urandom(200),
    "gzip": gzip.compress(b"x" * 300),
    "jwt": id_token("https://other.example", "someone", "c9").encode(),
    "pickled list": pickle.dumps([1, 2]),
    "pickled text": pickle.dumps("_permanent"),
    "msgpack list": b"\x93\x01\x02\x03",
    "msgpack map": b"\x81\xa5order\x4d",
    "java": b"\xac\xed\x00\x05t\x00\x05order",
    "php": b'user|a:1:{s:2:"id";i:77;}',
}
"""What other programs keep in strings."""

HASHES: dict[str, dict[Any, Any]] = {
    "data only": {"data": b"5"},
    "data of json": {"data": b'{"order": 77}', "status": b"paid"},
    "data of bytes": {"data": os.urandom(50), "absexp": b"-1"},
    "ciphertext, not asp.net's": {"data": b"\x09\xf0\xc9\xf0 something"},
    "asp.net's, another value": {"data": b"\x02\x00session", "absexp": b"-1", "sldexp": b"12000000000"},
    "asp.net's, json": {"data": b'{"cart": [77]}', "absexp": b"-1", "sldexp": b"-1"},
    "with a creation time": {"creationTime": b"1", "order": b"77"},
    "spring's, and more": {
        "creationTime": b"1", "lastAccessedTime": b"1", "maxInactiveInterval": b"1", "total": b"12.50",
    },
    "a user": {"name": b"alice", "email": b"a@example.com"},
}  # fmt: skip
"""What other programs keep in hashes."""

DEFAULTS = {
    "microsoft-identity-web": "", "msal-node": "", "flask-session": "session:",
    "django-session": ":1:django.contrib.sessions.cache", "express-session": "sess:",
    "spring-session": "spring:session:sessions:",
}  # fmt: skip
PREFIXED = {"microsoft-identity-web": "web:", "msal-node": "node:", "msal4j": "java:", "msal-python": "py:"}


async def fill(client: redis.asyncio.Redis, prefix: str) -> set[bytes]:
    """Other programs' keys of every type, some of them called like a user's account."""
    names = set()
    for number, (what, value) in enumerate(STRINGS.items()):
        names.add(f"{prefix}s-{what}")
        await client.set(f"{prefix}s-{what}", value, ex=5_000 if number % 2 else None)
    for what, fields in HASHES.items():
        names.add(f"{prefix}h-{what}")
        await client.hset(f"{prefix}h-{what}", mapping=fields)
    await client.rpush(f"{prefix}list", "a")
    await client.sadd(f"{prefix}set", "a")
    await client.zadd(f"{prefix}zset", {"a": 1})
    await client.xadd(f"{prefix}stream", {"a": "1"})
    # Called like accounts of users who sign out.
    await client.set(f"{prefix}u1", STRINGS["json"])
    await client.hset(f"{prefix}u2", mapping=HASHES["data of json"])
    await client.set(f"{prefix}u3", STRINGS["bytes"])
    names |= {prefix + name for name in ("list", "set", "zset", "stream", "u1", "u2", "u3")}
    return {name.encode() for name in names}


async def stored(client: redis.asyncio.Redis, names: set[bytes]) -> dict[bytes, bytes | None]:
    """Their serialised values, as Redis has them."""
    return {name: await client.dump(name) for name in names}


def layouts() -> list[dict[str, Any]]:
    """Each layout as it comes, and those with an empty default with a prefix too."""
    as_it_comes = [{"name": "cache", "layout": layout} for layout in DEFAULTS]
    return as_it_comes + [{"name": "cache", "layout": layout, "prefix": prefix} for layout, prefix in PREFIXED.items()]


@pytest.mark.parametrize("cache", layouts(), ids=lambda cache: f"{cache['layout']} {cache.get('prefix', 'default')}")
async def test_nothing_of_another_program(
    work: Work, redis_client: redis.asyncio.Redis, *, cache: dict[str, Any]
) -> None:
    """After logouts, looks after them and resets every foreign key is there to the byte."""
    names = await fill(redis_client, cache.get("prefix") or DEFAULTS[cache["layout"]])
    before = await stored(redis_client, names)
    async with work(cache, recheck_s=[0.05]) as world:
        for user in ("u1", "u2", "u3"):
            await world.log_out_user(user)
        await until(lambda: world.gone("{logout}:rechecks"))
        # Written while something of the same name may be in flight.
        await redis_client.set(next(name for name in names if name.endswith(b"u1")), STRINGS["json"])
        await world.worker.watcher.read_all(flush=True)
        assert before == await stored(redis_client, names)


@pytest.mark.parametrize(
    ("layout", "key", "value"),
    [
        ("microsoft-identity-web", "a.b", recording("entra-two-apps-encrypted").of("alice").fields),
        (
            "flask-session",
            "session:a",
            MsgSpecSerializer(None, "msgpack").encode({"_permanent": True, "user": {"x": 1}}),
        ),
        ("flask-session", "session:b", json.dumps({"_permanent": True, "name": "a"}).encode()),
        ("flask-session", "session:c", pickle.dumps({"_permanent": True, "name": "a"})),
        (
            "django-session",
            ":1:django.contrib.sessions.cache" + "a1" * 16,
            RedisSerializer().dumps({"_auth_user_id": "7"}),
        ),
        ("express-session", "sess:a", b'{"cookie":{"originalMaxAge":null,"path":"/"},"user":{"id":7}}'),
        (
            "spring-session",
            "spring:session:sessions:1",
            {"creationTime": b"1", "lastAccessedTime": b"1", "maxInactiveInterval": b"1", "sessionAttr:u": b"\xac\xed"},
        ),
        ("msal-python", "py:a", Fernet(Fernet.generate_key()).encrypt(b"{}")),
        ("msal-node", "node:a", b"eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVydGV4dA.dGFn"),
    ],
)
async def test_at_a_reset_the_layouts_own_go(
    work: Work, redis_client: redis.asyncio.Redis, *, layout: str, key: str, value: Any
) -> None:
    """What a library wrote and nobody can read is deleted when logouts were missed, by all that it looks like."""
    prefix = {"msal-python": "py:", "msal-node": "node:"}.get(layout)
    async with work({"name": "cache", "layout": layout, **({"prefix": prefix} if prefix else {})}) as world:
        if isinstance(value, dict):
            await redis_client.hset(key, mapping=value)  # typed for both clients
        else:
            await redis_client.set(key, value)
        await world.worker.watcher.read_all()
        assert not await world.gone(key)
        await world.worker.watcher.read_all(flush=True)
        assert await world.gone(key)


@pytest.mark.parametrize("prefix", ["", ":1:", ":1:django.contrib.sessions.cache"])
async def test_what_else_django_caches(work: Work, redis_client: redis.asyncio.Redis, *, prefix: str) -> None:
    """Under a prefix that is too short, views and rows that Django caches as pickles stay at a reset; sessions go."""
    others = {
        ":1:views.decorators.cache.cache_page..GET." + "0a" * 16, ":1:profile:" + "a1" * 16, ":1:" + "A1" * 16,
        ":1:django.contrib.sessions.cache" + "a1" * 15,
    }  # fmt: skip
    session = ":1:django.contrib.sessions.cache" + "a1" * 16
    for key in (*others, session):
        await redis_client.set(key, RedisSerializer().dumps({"rows": [1]}))
    async with work({"name": "django", "layout": "django-session", "prefix": prefix}) as world:
        await world.worker.watcher.read_all(flush=True)
        assert others == await world.keys()


async def test_an_applications_own_tokens(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """Encrypted with the same key, and no user's: they stay at a reset, and so does what is under an empty prefix."""
    recorded = recording("entra-two-apps-encrypted")
    await recorded.write(redis_client)
    await redis_client.set("anywhere", Fernet(Fernet.generate_key()).encrypt(b"{}"))
    async with work(
        {"name": "web", "layout": "microsoft-identity-web"}, {"name": "node", "layout": "msal-node"}
    ) as world:
        await world.worker.watcher.read_all(flush=True)
        assert {key for key in recorded.entries if key.endswith("_AppTokenCache")} | {"anywhere"} == await world.keys()


async def test_a_registered_key_of_unknown_form(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """An app that encrypts in its own way and registers the key: it goes, and again at the looks after the logout."""
    async with work({"name": "node", "layout": "msal-node", "prefix": "node:"}, recheck_s=[0.2]) as world:
        await redis_client.set("node:u1", b"\x01own cipher")
        await redis_client.set("node:mine", b"\x01own cipher")
        await register(world, "node:mine", sid="s1")
        await world.log_out(sub="u1", sid="s1")
        assert {"node:u1"} == await world.keys()
        await redis_client.set("node:mine", b"\x01own cipher, written back")
        await until(lambda: world.gone("node:mine"))
        assert {"node:u1"} == await world.keys()


async def test_users_beside_foreign_keys(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Among them all the user's own values are found and removed."""
    names = await fill(redis_client, "")
    before = await stored(redis_client, names)
    async with work(
        {"name": "web", "layout": "microsoft-identity-web"}, {"name": "node", "layout": "msal-node"}
    ) as world:
        await _sign_in(world, op)
        await world.log_out_user("u9")
        assert await world.gone("u9", "obo")
        assert before == await stored(redis_client, names)


async def _sign_in(world: World, op: OP) -> None:
    await world.redis.set("u9", dumped(tokens(op.issuer, sub="u9", account="u9", cached_at=world.now)))
    await world.put_data("obo", dumped(tokens(op.issuer, sub="u9", account="u9", cached_at=world.now)))
    await world.worker.watcher.read_all()


@pytest.mark.parametrize(("cache", "warns"), [({}, True), ({"prefix": ""}, True), ({"prefix": "web:"}, False)])
async def test_an_empty_prefix_is_said(
    work: Work, caplog: pytest.LogCaptureFixture, *, cache: dict[str, str], warns: bool
) -> None:
    """At the start a log line names each cache whose prefix is empty: every key of that Redis is looked at."""
    async with work({"name": "web", "layout": "microsoft-identity-web", **cache}):
        assert warns == ("cache.no_prefix" in {record.getMessage() for record in caplog.records})
