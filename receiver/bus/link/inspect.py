"""Look at a Redis without changing it: what kind it is, whether we may publish, what it would lose.

What an ACL or a managed service hides is reported as unknown (None), never guessed.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.link.connection import Failure, describe, standbys
from receiver.bus.lua import Script

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import KeyNames

PROBE_CLEARING = Script.read("probe_clearing")

PROBE_SCRIPT = """
redis.call('SET', KEYS[1], 0, 'EX', 1)
redis.call('GET', KEYS[1])
redis.call('MGET', KEYS[1])
redis.call('EXPIRE', KEYS[1], 1)
redis.call('EXISTS', KEYS[1])
redis.call('INCR', KEYS[1])
redis.call('UNLINK', KEYS[2])
redis.call('HGET', KEYS[2], 'field')
redis.call('HDEL', KEYS[2], 'field')
redis.call('XTRIM', KEYS[3], 'MINID', '~', 0)
redis.call('XADD', KEYS[3], '*', 'event', '', 'n', 0)
redis.call('UNLINK', KEYS[1], KEYS[3])
return 1
"""
"""The commands of the publish script, on three keys of its own that are gone a second later at most.

`ACL DRYRUN` would need administrator rights and would not see a read-only replica, a full memory or a disk
that cannot be written; this does. The order matters: nothing stays behind, even if a step is refused.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """What a Redis says of itself; None is "cannot see".

    Attributes:
        problem: Why it cannot be reached, in one line; empty when it answers.
        info_hidden: Why INFO was refused; empty when it was not.
        version: Of the Redis protocol it speaks, `(6, 2, 14)`.
        product: `redis`, `valkey` or what else it calls itself.
        role: `master` or `slave`.
        replicas: Replicas connected.
        max_memory_bytes: Its limit; 0 is none.
        max_memory_policy: What it does at the limit.
        evicted_keys: Keys it has thrown away since it started.
        append_only: Whether it keeps an append-only file.
        append_fsync: `always`, `everysec` or `no`.
        append_only_failing: Whether its last write to that file failed.
        save: Its snapshot schedule; empty is no snapshots.
        publish_problem: Why the probe of the publish script was refused; empty when it was not.
    """

    problem: str = ""
    info_hidden: str = ""
    version: tuple[int, ...] | None = None
    product: str | None = None
    role: str | None = None
    replicas: int | None = None
    max_memory_bytes: int | None = None
    max_memory_policy: str | None = None
    evicted_keys: int | None = None
    append_only: bool | None = None
    append_fsync: str | None = None
    append_only_failing: bool = False
    save: str | None = None
    publish_problem: str = ""


async def inspect(client: redis.asyncio.Redis, keys: KeyNames, *, wait_replicas: int = 0) -> RedisFacts:
    """Ask a Redis for everything that decides whether an acknowledged eviction is safe in it; never raises.

    Args:
        client: Of the primary.
        keys: Key names.
        wait_replicas: As configured; with any, the right to ask for them is tried too.
    """
    try:
        await client.ping()
    except Failure as error:
        return RedisFacts(problem=describe(error))
    return await _look(client, publish_problem=await probe_publish(client, keys, wait_replicas=wait_replicas))


async def inspect_standbys(client: redis.asyncio.Redis) -> dict[str, RedisFacts]:
    """The other servers that may become the primary of our keys, by address; what cannot be seen is left out.

    Of a Cluster these are all other nodes, behind Sentinel the replicas. Nothing is written to them.
    """
    found: dict[str, RedisFacts] = {}
    try:
        nodes = await standbys(client)
    except Failure:
        return found
    for name, other in nodes.items():
        try:
            await other.ping()
            found[name] = await _look(other)
        except Failure as error:
            found[name] = RedisFacts(problem=describe(error))
        finally:
            await other.aclose()
    return found


async def _look(client: redis.asyncio.Redis, publish_problem: str = "") -> RedisFacts:
    settings = await _config(client)
    try:
        info: dict[str, Any] = await client.info()
    except Failure as error:
        return RedisFacts(info_hidden=describe(error), publish_problem=publish_problem, **settings)
    settings.setdefault("max_memory_policy", _text(info.get("maxmemory_policy")))
    settings.setdefault("max_memory_bytes", _number(info.get("maxmemory")))
    settings.setdefault("append_only", bool(info["aof_enabled"]) if "aof_enabled" in info else None)
    return RedisFacts(
        version=_version(info.get("redis_version")),
        product=_text(info.get("server_name")) or "redis",
        role=_text(info.get("role")),
        replicas=_number(info.get("connected_slaves")),
        evicted_keys=_number(info.get("evicted_keys")),
        append_only_failing=info.get("aof_last_write_status", "ok") != "ok",
        publish_problem=publish_problem,
        **settings,
    )


async def probe_publish(client: redis.asyncio.Redis, keys: KeyNames, *, wait_replicas: int = 0) -> str:
    """Why the publish script would refuse any event; empty when it would not. Nothing stays behind."""
    scratch = f"{keys.prefix}:probe:{secrets.token_hex(8)}"
    try:
        sha = await client.script_load(PROBE_SCRIPT)
        await client.evalsha(sha, 3, f"{scratch}:string", f"{scratch}:hash", f"{scratch}:stream")
        if wait_replicas:
            await client.execute_command("WAIT", 0, 1)
    except Failure as error:
        return describe(error)
    return ""


async def probe_clearing(client: redis.asyncio.Redis, keys: KeyNames, *, group: str) -> str:
    """Why Redis would refuse what a worker that clears caches notes of an eviction; empty when it would not.

    Nothing stays behind, and no entry of the group changes.
    """
    scratch = secrets.token_hex(8)
    mine = (keys.removal(scratch), keys.recheck(scratch), keys.mark(scratch), keys.acks_of(scratch))
    try:
        await PROBE_CLEARING.run(client, (*mine, keys.events), (group,))
    except Failure as error:
        return describe(error)
    return ""


async def _config(client: redis.asyncio.Redis) -> dict[str, Any]:
    """Settings by field of `RedisFacts`; without those CONFIG refuses to show, as managed services do."""
    seen: dict[str, Any] = {}
    # One by one: Redis before 7.0 takes a single name.
    for name, field in _CONFIG.items():
        try:
            shown: dict[Any, Any] = await client.config_get(name)
        except Failure:
            continue
        if (value := _text(shown.get(name))) is not None:
            seen[field] = value
    if "max_memory_bytes" in seen:
        seen["max_memory_bytes"] = _number(seen["max_memory_bytes"])
    if "append_only" in seen:
        seen["append_only"] = seen["append_only"] == "yes"
    return seen


_CONFIG = {
    "maxmemory": "max_memory_bytes",
    "maxmemory-policy": "max_memory_policy",
    "appendonly": "append_only",
    "appendfsync": "append_fsync",
    "save": "save",
}


def _text(value: object) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, int | str | bytes) else None
    except ValueError:
        return None


def _version(value: object) -> tuple[int, ...] | None:
    numbers = re.match(r"\d+(\.\d+)*", str(value))
    return tuple(map(int, numbers[0].split("."))) if numbers else None
