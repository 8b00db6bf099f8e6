"""`receiver doctor` on caches: whether the evictor will find anything there."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from receiver.diagnosis import doctor
from receiver.diagnosis.cache_checks import CacheFacts, check_cache, check_index
from receiver.ops.settings import Settings
from tests.support.keys import b64

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.diagnosis.checks import Check


def blob() -> str:
    """A cache with one sign-in."""
    claims = b64(json.dumps({"iss": "https://op.example", "aud": "c1", "sub": "alice"}))
    entry = {"home_account_id": "a.b", "client_id": "c1", "secret": f"{b64('{}')}.{claims}."}
    return json.dumps({"IdToken": {"id": entry}})


async def examine(redis_url: str, *caches: dict[str, Any]) -> dict[tuple[str, str], Check]:
    """What doctor says of these caches, by area and name."""
    checks = await doctor.examine(Settings(redis={"url": redis_url}, caches=list(caches)))
    return {(check.area, check.name): check for check in checks if check.area.startswith("cache ")}


async def test_a_cache_that_will_be_cleared(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """Its Redis answers, it has keys, they can be read; nothing is changed by looking."""
    await redis_client.hset("web:a.b", "data", blob())
    await redis_client.config_set("notify-keyspace-events", "")
    web = {"name": "web", "layout": "microsoft-identity-web", "prefix": "web:"}

    found = await examine(redis_server.url, web)

    assert {"reachable": "ok", "keys": "ok", "values": "ok", "notifications": "note"} == {
        name: check.outcome for (_, name), check in found.items()
    }
    setting: Any = await redis_client.config_get("notify-keyspace-events")
    assert [""] == [value.decode() if isinstance(value, bytes) else value for value in setting.values()]


async def test_a_wrong_prefix_and_encrypted_values_are_seen(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """A prefix under which nothing is, and values that say nothing, are warnings that say what to do."""
    fields: Any = {"data": b"\x09\xf0\xc9\xf0 ciphertext", "absexp": "-1", "sldexp": "-1"}
    await redis_client.hset("sealed:a.b", mapping=fields)
    wrong = {"name": "wrong", "layout": "microsoft-identity-web", "prefix": "webb:"}
    sealed = {"name": "sealed", "layout": "microsoft-identity-web", "prefix": "sealed:"}

    found = await examine(redis_server.url, wrong, sealed)

    assert "warning" == found["cache wrong", "keys"].outcome
    assert "check prefix" in found["cache wrong", "keys"].fix
    assert "warning" == found["cache sealed", "values"].outcome
    assert "0 of 1" in found["cache sealed", "values"].text
    assert "Data Protection" in found["cache sealed", "unread"].text


async def test_what_cannot_be_read_is_named(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """Each kind of value that says nothing is named: how many, the pattern of their keys, and why; no user is named."""
    values = {
        "node:alice@example.com": zlib.compress(b"{}"), "node:bob": zlib.compress(b"{} "),
        "node:orders:7:alice": b"[1]",
        "node:own": b"\xff\xfe", "node:u1": b"gAAAAABo",
    }  # fmt: skip
    for key, value in values.items():
        await redis_client.set(key, value)

    checks = await doctor.examine(
        Settings(redis={"url": redis_server.url}, caches=[{"name": "n", "layout": "msal-node", "prefix": "node:"}])
    )

    said = [check.text for check in checks if check.name == "unread"]
    assert "2 as 'node:*': compressed (zlib)" == said[0]
    assert {
        "1 as 'node:orders:*:*': JSON without a sign-in",
        "1 as 'node:*': in no form that is known: encrypted, compressed or another program's",
        "1 as 'node:*': encrypted (Fernet)",
    } == set(said[1:])


async def test_a_redis_that_does_not_answer_fails(redis_server: EmbeddedRedis) -> None:
    """A cache on a Redis that cannot be reached is a failure of its own."""
    away = {"name": "away", "layout": "flask-session", "redis": {"url": "redis://127.0.0.1:1/0"}}

    found = await examine(redis_server.url, away)

    assert ["failed"] == [check.outcome for check in found.values()]


def test_a_keyed_cache_is_not_looked_into() -> None:
    """Its keys follow from the logout alone."""
    checks = list(check_cache(CacheFacts(name="own", head="tokens:{sub}", is_read=False)))

    assert [("reachable", "ok"), ("keys", "note")] == [(check.name, check.outcome) for check in checks]


async def test_an_empty_prefix_is_a_warning(redis_server: EmbeddedRedis) -> None:
    """Every key of that Redis is looked at, and doctor says so."""
    web = {"name": "web", "layout": "microsoft-identity-web"}

    found = await examine(redis_server.url, web)

    assert "warning" == found["cache web", "prefix"].outcome


@pytest.mark.parametrize(
    ("is_read", "keyed", "outcomes"), [(True, False, ["warning"]), (True, True, ["ok"]), (False, False, [])]
)
def test_an_index_without_a_secret(*, is_read: bool, keyed: bool, outcomes: list[str]) -> None:
    """It is a warning where a cache is read; where none is, there is no index."""
    caches = [CacheFacts(name="own", head="own:", is_read=is_read)]

    assert outcomes == [check.outcome for check in check_index(caches, keyed=keyed)]


async def test_the_secret_of_the_settings_counts(redis_server: EmbeddedRedis) -> None:
    """Doctor reads it as the evictor does."""
    web = {"name": "web", "layout": "microsoft-identity-web", "prefix": "web:"}

    checks = await doctor.examine(
        Settings(redis={"url": redis_server.url}, caches=[web], evictor={"index_secret": "s" * 32})
    )

    assert ["ok"] == [check.outcome for check in checks if check.area == "index"]
