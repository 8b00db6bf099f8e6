"""`receiver doctor` on Redis: whether an acknowledged logout is safe in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.keys import KeyNames
from receiver.bus.link.connection import connect
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.link.inspect import RedisFacts, inspect
from receiver.diagnosis import doctor
from receiver.diagnosis.redis_checks import check_redis
from receiver.ops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from receiver.diagnosis.checks import Check

GOOD = {
    "version": (7, 4, 0),
    "product": "redis",
    "role": "master",
    "replicas": 1,
    "max_memory_bytes": 1 << 30,
    "max_memory_policy": "noeviction",
    "evicted_keys": 0,
    "append_only": True,
    "append_fsync": "everysec",
    "save": "",
}
"""A Redis with nothing to complain about."""


def checks_of(**changes: Any) -> dict[str, Check]:
    """The checks of a good Redis with some facts changed."""
    return {check.name: check for check in check_redis(RedisFacts(**{**GOOD, **changes}))}


@pytest.fixture(scope="module")
def durable() -> Iterator[EmbeddedRedis]:
    """A Redis of these tests' own, with an append-only file: its settings and users are changed here."""
    with EmbeddedRedis(arguments=("--appendonly", "yes")) as server:
        yield server


@pytest.fixture
async def admin(durable: EmbeddedRedis) -> AsyncIterator[redis.asyncio.Redis]:
    """A client that may do anything, on an empty server."""
    client = redis.asyncio.Redis.from_url(durable.url, decode_responses=True)
    await client.flushall()
    yield client
    await client.config_set("maxmemory", 0)
    await client.aclose()


async def facts_as(durable: EmbeddedRedis, admin: redis.asyncio.Redis, *rules: str) -> RedisFacts:
    """What a user with these ACL rules can see."""
    await admin.execute_command("ACL", "SETUSER", "receiver", "reset", "on", ">secret", *rules)
    client = connect(durable.url, timeout_s=5, username="receiver", password="secret")
    try:
        return await inspect(client, KeyNames())
    finally:
        await client.aclose()


def test_good_redis() -> None:
    """Nothing to complain about is all ticks."""
    assert {"ok"} == {check.outcome for check in checks_of().values()}


@pytest.mark.parametrize(
    ("changes", "check", "outcome", "text"),
    [
        ({"version": (5, 0, 7)}, "version", "failed", "5.0.7 is too old"),
        ({"version": (6, 2)}, "version", "ok", "6.2"),
        ({"version": None}, "version", "warning", "cannot see"),
        ({"product": "valkey", "version": (7, 2, 4)}, "version", "ok", "valkey"),
        ({"role": "slave"}, "role", "failed", "is a slave"),
        ({"role": None}, "role", "warning", "cannot see"),
        ({"replicas": 0}, "role", "warning", "without replicas"),
        ({"max_memory_policy": "allkeys-lru"}, "eviction", "failed", "can throw away the event stream"),
        ({"max_memory_policy": "allkeys-lru", "max_memory_bytes": 0}, "eviction", "warning", "never reached today"),
        ({"max_memory_policy": "volatile-ttl"}, "eviction", "warning", "keys that expire"),
        ({"max_memory_policy": "volatile-ttl", "max_memory_bytes": 0}, "eviction", "ok", "volatile-ttl"),
        ({"max_memory_policy": "volatile-lfu", "evicted_keys": 7}, "eviction", "warning", "7 keys thrown away so far"),
        ({"max_memory_policy": None}, "eviction", "warning", "cannot see"),
        ({"append_fsync": "always"}, "persistence", "ok", "is on disk"),
        ({"append_fsync": "no"}, "persistence", "warning", "half a minute"),
        ({"append_fsync": None}, "persistence", "ok", "cannot see appendfsync"),
        ({"append_only_failing": True}, "persistence", "failed", "its last write"),
        ({"append_only": False, "save": "3600 1"}, "persistence", "warning", "snapshots only (save 3600 1)"),
        ({"append_only": False, "replicas": 0}, "persistence", "failed", "a restart loses every logout"),
        ({"append_only": False}, "persistence", "warning", "only replicas"),
        ({"append_only": False, "save": None}, "persistence", "warning", "cannot see whether it keeps snapshots"),
        ({"append_only": None, "save": None}, "persistence", "warning", "cannot see whether it keeps anything"),
        ({"info_hidden": "NoPermissionError"}, "info", "warning", "cannot see version and role"),
        ({"publish_problem": "ReadOnlyError: READONLY You can't write"}, "publish", "failed", "is refused"),
    ],
)
def test_what_a_redis_says_of_itself(changes: dict[str, Any], check: str, outcome: str, text: str) -> None:
    """Each fact leads to its verdict, and everything but a tick says what to do."""
    found = checks_of(**changes)[check]

    assert outcome == found.outcome
    assert text in found.text
    assert bool(found.fix) == (outcome != "ok")


@pytest.mark.parametrize(
    ("problem", "fix"),
    [
        ("ReadOnlyError: READONLY You can't write against a read only replica.", "at the master"),
        ("OutOfMemoryError: OOM command not allowed when used memory > 'maxmemory'.", "memory is full"),
        ("ResponseError: MISCONF Redis is configured to save RDB snapshots", "its disk"),
        ("NoPermissionError: this user has no permissions", "Give this user"),
        ("MovedError: 5061 10.0.0.2:6379", "redis+cluster://"),
    ],
)
def test_why_publishing_is_refused(problem: str, fix: str) -> None:
    """The usual reasons each have their own fix."""
    assert fix in checks_of(publish_problem=problem)["publish"].fix


async def test_durable_redis(durable: EmbeddedRedis) -> None:
    """A real Redis with an append-only file: the one complaint is that it has no replica."""
    checks = await doctor.examine(Settings(redis={"url": durable.url}))

    found = {check.name: check.outcome for check in checks if check.area == "redis"}
    assert {
        "reachable": "ok",
        "publish": "ok",
        "version": "ok",
        "role": "warning",
        "eviction": "ok",
        "persistence": "ok",
    } == found


async def test_redis_that_forgets(redis_client: redis.asyncio.Redis) -> None:
    """A real Redis without any persistence fails: what we acknowledge would be lost."""
    facts = await inspect(redis_client, KeyNames())

    persistence = next(check for check in check_redis(facts) if check.name == "persistence")
    assert "failed" == persistence.outcome
    assert "appendonly yes" in persistence.fix


async def test_looking_changes_nothing(admin: redis.asyncio.Redis) -> None:
    """The probe leaves the stream, its counter and the jti marks alone; its own keys expire."""
    binary = redis.asyncio.Redis(connection_pool=admin.connection_pool)

    await inspect(binary, KeyNames())

    left: Any = await admin.keys("*")
    assert all(key.startswith("{logout}:probe:") for key in left)
    assert all([0 < await admin.pttl(key) <= 1000 for key in left])


async def test_user_who_may_not_look(durable: EmbeddedRedis, admin: redis.asyncio.Redis) -> None:
    """Without INFO and CONFIG, as on managed services, doctor says "cannot see" and the publish check still counts."""
    facts = await facts_as(durable, admin, "~{logout}:*", "+@all", "-info", "-config")

    checks = {check.name: check.outcome for check in check_redis(facts)}
    assert {"reachable": "ok", "publish": "ok", "info": "warning", "eviction": "warning", "persistence": "warning"} == (
        checks
    )


async def test_config_hidden_but_info_shown(durable: EmbeddedRedis, admin: redis.asyncio.Redis) -> None:
    """INFO alone is enough for everything but appendfsync."""
    facts = await facts_as(durable, admin, "~{logout}:*", "+@all", "-config")

    persistence = next(check for check in check_redis(facts) if check.name == "persistence")
    assert "append-only file, cannot see appendfsync" == persistence.text


@pytest.mark.parametrize(
    "rules", [("~{logout}:*", "+@all", "-xadd"), ("~other:*", "+@all"), ("~*", "+@all", "-evalsha")]
)
async def test_user_who_may_not_publish(
    durable: EmbeddedRedis, admin: redis.asyncio.Redis, rules: tuple[str, ...]
) -> None:
    """A missing command or key permission is found before the first logout is, and leaves nothing behind."""
    facts = await facts_as(durable, admin, *rules)

    publish = next(check for check in check_redis(facts) if check.name == "publish")
    assert "failed" == publish.outcome
    assert "Give this user" in publish.fix
    assert all([await admin.pttl(key) > 0 for key in await admin.keys("*")])


async def test_full_memory(durable: EmbeddedRedis, admin: redis.asyncio.Redis) -> None:
    """A Redis whose memory is full is found by the same probe."""
    await admin.config_set("maxmemory", 1)

    checks = await doctor.examine(Settings(redis={"url": durable.url}))

    publish = next(check for check in checks if check.name == "publish")
    assert "Its memory is full: raise maxmemory, or lower events.max_events." == publish.fix


async def test_wrong_password(durable: EmbeddedRedis) -> None:
    """A wrong password points to the credentials, and never shows them."""
    settings = Settings(redis={"url": durable.url, "username": "receiver", "password": "hunter2"})

    check = next(check for check in await doctor.examine(settings) if check.name == "reachable")

    assert "failed" == check.outcome
    assert "redis.password" in check.fix
    assert "hunter2" not in check.text + check.fix


async def test_redis_that_is_not_there() -> None:
    """An unreachable Redis is one failed line and nothing else about it."""
    checks = await doctor.examine(Settings(redis={"url": "redis://127.0.0.1:1/0"}))

    assert [("reachable", "failed")] == [(check.name, check.outcome) for check in checks if check.area == "redis"]


async def test_replica(durable: EmbeddedRedis) -> None:
    """A replica refuses to publish and is told apart from the master, which sees it."""
    with EmbeddedRedis(arguments=("--replicaof", "127.0.0.1", str(durable.port))) as replica:
        checks = await doctor.examine(Settings(redis={"url": replica.url}))

    found = {check.name: check for check in checks if check.area == "redis"}
    assert ("failed", "failed") == (found["role"].outcome, found["publish"].outcome)
    assert "Point redis.url at the master" in found["publish"].fix
