"""Sessions and caches that the real libraries wrote, with nothing in them but the claims of an ID token."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import msal
import pytest
import redis
from cachelib import RedisCache
from django.core.cache.backends.redis import RedisCache as DjangoCache
from flask import Flask, session
from flask_session import Session

from tests.evictor.rig import FLASK, Work, World
from tests.evictor.written import dumped, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

DJANGO = {"name": "django", "layout": "django-session"}
PY = {"name": "py", "layout": "msal-python", "prefix": "py:"}

DJANGO_PROGRAM = """
import json, sys
from django.conf import settings
url, engine, claims = sys.argv[1:]
backend = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
settings.configure(SESSION_ENGINE="django.contrib.sessions.backends." + engine, CACHES={"default": backend})
from django.contrib.sessions.backends.cache import SessionStore
store = SessionStore()
store["user"] = json.loads(claims)
store.save()
print(store.session_key)
"""


def claims(op: OP, sub: str) -> dict[str, Any]:
    """Of an ID token, as Authlib's `session["user"]` has them."""
    return {"iss": op.issuer, "sub": sub, "aud": "c1", "sid": f"sid-{sub}", "name": "A. User"}


def sign_in_at_flask(url: str, user: dict[str, Any], **settings: Any) -> None:
    """A visit to an app that keeps the claims in its session."""
    app = Flask("app")
    with redis.Redis.from_url(url) as client:
        store = {"SESSION_TYPE": "redis", "SESSION_REDIS": client} if "SESSION_TYPE" not in settings else {}
        app.config.update(store, **settings)
        Session(app)

        @app.get("/")
        def sign_in() -> str:
            session["user"] = user
            return ""

        with app.test_client() as browser:
            assert 200 == browser.get("/").status_code


@pytest.mark.parametrize("form", ["msgpack", "json"])
async def test_flask_session(work: Work, redis_server: EmbeddedRedis, op: OP, form: str) -> None:
    """Flask-Session in Redis, in each of its serialisations."""

    def write(user: dict[str, Any]) -> None:
        sign_in_at_flask(redis_server.url, user, SESSION_SERIALIZATION_FORMAT=form)

    async with work(FLASK) as world:
        await _only_one_goes(world, op, write)


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
async def test_flask_session_over_cachelib(work: Work, redis_server: EmbeddedRedis, op: OP) -> None:
    """Flask-Session over cachelib's Redis cache, which pickles."""
    port = int(redis_server.url.rpartition(":")[2].partition("/")[0])
    cache = RedisCache(host="127.0.0.1", port=port)

    def write(user: dict[str, Any]) -> None:
        sign_in_at_flask(redis_server.url, user, SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)

    async with work(FLASK) as world:
        await _only_one_goes(world, op, write)
    cache._write_client.close()


async def _only_one_goes(world: World, op: OP, write: Callable[[dict[str, Any]], None]) -> None:
    for sub in ("u1", "u2"):
        await asyncio.to_thread(write, claims(op, sub))
    assert 2 == len(await world.keys("session:*"))
    await world.worker.watcher.read_all()
    await world.log_out(sub="u1", sid="sid-u1")
    assert 1 == len(await world.keys("session:*"))
    await world.log_out_user("u2")
    assert set() == await world.keys("session:*")


async def test_django_sessions(work: Work, redis_server: EmbeddedRedis, op: OP) -> None:
    """Django's sessions in its Redis cache, which pickles."""
    async with work(DJANGO) as world:
        names = []
        for sub in ("u1", "u2"):
            program = await asyncio.create_subprocess_exec(
                sys.executable, "-c", DJANGO_PROGRAM, redis_server.url, "cache", json.dumps(claims(op, sub)),
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            printed, _ = await program.communicate()
            names.append(f":1:django.contrib.sessions.cache{printed.decode().strip()}")
        assert set(names) == await world.keys()
        await world.worker.watcher.read_all()
        await world.log_out(sub="u1", sid="sid-u1")
        assert {names[1]} == await world.keys()


async def test_msal_in_djangos_cache(work: Work, redis_server: EmbeddedRedis, op: OP) -> None:
    """MSAL Python's cache kept by `cache.set`: one user is taken out, and Django and MSAL read the other's tokens."""
    cache = DjangoCache(redis_server.url, {"KEY_PREFIX": "py"})
    both = dumped(tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2", cached_at=5)).decode()
    async with work({**PY, "prefix": "py:1:"}) as world:
        await asyncio.to_thread(cache.set, "group", both)
        assert {"py:1:group"} == await world.keys()
        await world.worker.watcher.read_all()
        await world.log_out_user("u1")
        left = msal.SerializableTokenCache()
        left.deserialize(await asyncio.to_thread(cache.get, "group"))
        found = left.search(msal.TokenCache.CredentialType.REFRESH_TOKEN)
        assert ["u2"] == [entry["home_account_id"] for entry in found]
        await world.log_out_user("u2")
        assert set() == await world.keys()
