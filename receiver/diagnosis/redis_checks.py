"""Whether an eviction that was acknowledged is safe in this Redis: pure judgement of `RedisFacts`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.diagnosis.checks import Area, Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.bus.link.inspect import RedisFacts

MIN_VERSION = (6, 2)
"""Streams with approximate trimming and the commands we use are all there from 6.2 on."""

redis = Area("redis")


def check_redis(facts: RedisFacts, *, wait_replicas: int = 0) -> Iterator[Check]:
    """Every check that can be made of the primary; only the first when Redis does not answer."""
    if facts.problem:
        yield redis.failed("reachable", f"does not answer: {facts.problem}", _reach_fix(facts.problem))
        return
    yield redis.ok("reachable", "answers PING")
    yield _check_publish(facts)
    if facts.info_hidden:
        yield redis.warning(
            "info", f"cannot see version and role: {facts.info_hidden}", "Let this user run INFO (ACL +info)."
        )
    else:
        yield _check_version(facts)
        yield from _check_role(facts)
    if wait_replicas:
        yield _check_wait(facts, wait_replicas)
    yield _check_memory(facts)
    yield _check_persistence(facts)


def check_standbys(standbys: dict[str, RedisFacts]) -> Iterator[Check]:
    """What is wrong with the servers that may become the primary; one line when nothing is."""
    good = True
    for name, facts in standbys.items():
        if facts.problem:
            found = [redis.failed("standby", f"does not answer: {facts.problem}", _reach_fix(facts.problem))]
        elif facts.info_hidden:
            found = [redis.warning("standby", f"cannot see: {facts.info_hidden}", "Let this user run INFO there, too.")]
        else:
            found = [check for check in (_check_memory(facts), _check_persistence(facts)) if check.fix]
        for check in found:
            good = False
            yield replace(check, name="standby", text=f"{name}: {check.text}")
    if standbys and good:
        yield redis.ok("standby", f"{len(standbys)} other servers, as safe as the primary")


def _check_wait(facts: RedisFacts, wanted: int) -> Check:
    if facts.replicas is None:
        return redis.warning("replicas", f"wait_replicas is {wanted}, and cannot see how many there are", "Count them.")
    if facts.replicas < wanted:
        return redis.failed(
            "replicas", f"wait_replicas is {wanted}, {facts.replicas} connected: no logout is acknowledged",
            "Connect more replicas, or lower redis.wait_replicas.",
        )  # fmt: skip
    if facts.replicas == wanted:
        return redis.warning(
            "replicas", f"wait_replicas is {wanted}, as many are connected: one that fails stops every logout",
            "Add a replica, or lower redis.wait_replicas.",
        )  # fmt: skip
    return redis.ok("replicas", f"wait_replicas is {wanted}, {facts.replicas} connected")


def _reach_fix(problem: str) -> str:
    if "Authentication" in problem or "NoPermission" in problem or "WRONGPASS" in problem:
        return "Check redis.username and redis.password (or password_file)."
    if "certificate refused" in problem:
        return "Set redis.ca_file to the CA of its certificate, which must name the host of redis.url."
    return "Check redis.url (rediss:// for TLS, redis:// without), that the server runs, and the firewall."


def _check_publish(facts: RedisFacts) -> Check:
    problem = facts.publish_problem
    if not problem:
        return redis.ok("publish", "the publish script may run and write")
    if "READONLY" in problem or "read only" in problem:
        fix = "Point redis.url at the master; this is a replica."
    elif "OOM" in problem or "maxmemory" in problem:
        fix = "Its memory is full: raise maxmemory, or lower events.max_events."
    elif any(sign in problem for sign in ("MovedError", "ClusterDownError", "ClusterCrossSlotError")):
        fix = (
            "redis.url leads to one node of a Cluster: name it as redis+cluster://, and see that every slot is served."
        )
    elif "MISCONF" in problem:
        fix = "It cannot write to its disk: free space or fix permissions; see its log."
    else:
        fix = "Give this user every key under redis.prefix, and +@read +@write +@scripting."
    return redis.failed("publish", f"the publish script is refused: {problem}", fix)


def _check_version(facts: RedisFacts) -> Check:
    if facts.version is None:
        return redis.warning("version", "cannot see the version", "Make sure it is Redis 6.2 or newer, or Valkey.")
    shown = f"{facts.product}, Redis version {'.'.join(map(str, facts.version))}"
    if facts.version < MIN_VERSION:
        return redis.failed("version", f"{shown} is too old", "Upgrade to Redis 6.2 or newer, or Valkey.")
    return redis.ok("version", shown)


def _check_role(facts: RedisFacts) -> Iterator[Check]:
    if facts.role is None:
        yield redis.warning("role", "cannot see its role", "Make sure redis.url leads to the master.")
    elif facts.role != "master":
        yield redis.failed("role", f"is a {facts.role}", "Point redis.url at the master; replicas refuse writes.")
    elif facts.replicas:
        yield redis.ok("role", f"master, {facts.replicas} replicas connected")
    else:
        yield redis.warning(
            "role", "master without replicas: while it is down, logouts are answered 503",
            "Add a replica and a failover (Sentinel, Cluster or a managed service) if OPs send only once.",
        )  # fmt: skip


def _check_memory(facts: RedisFacts) -> Check:
    policy, limit = facts.max_memory_policy, facts.max_memory_bytes
    if policy is None:
        return redis.warning(
            "eviction", "cannot see maxmemory-policy",
            "Make sure it is noeviction; allkeys-* would throw away the event stream.",
        )  # fmt: skip
    thrown = f", {facts.evicted_keys} keys thrown away so far" if facts.evicted_keys else ""
    unlimited = " (maxmemory 0: never reached today)" if limit == 0 else ""
    text = f"maxmemory-policy {policy}{unlimited}{thrown}"
    if policy == "noeviction":
        return redis.ok("eviction", f"{text}: when memory is full, publishing fails openly and nothing is lost")
    if policy.startswith("volatile-"):
        # The stream and its counter never expire; jti marks and copies of JWK Sets do.
        found = f"{text}: can throw away keys that expire, jti and session marks: repeats are published twice"
        return redis.ok("eviction", text) if limit == 0 else redis.warning("eviction", found, "Set noeviction.")
    found = f"{text}: can throw away the event stream, with logouts no app has read yet"
    fix = "Set maxmemory-policy noeviction, or give evictions a Redis of their own."
    return redis.warning("eviction", found, fix) if limit == 0 else redis.failed("eviction", found, fix)


def _check_persistence(facts: RedisFacts) -> Check:
    fix = "Set appendonly yes, with appendfsync everysec or always."
    if facts.append_only_failing:
        return redis.failed("persistence", "its last write to the append-only file failed", "Look at its disk and log.")
    if facts.append_only:
        return _check_fsync(facts.append_fsync)
    if facts.append_only is None or facts.save is None:
        return redis.warning(
            "persistence", "cannot see whether it keeps snapshots" if facts.append_only is False else
            "cannot see whether it keeps anything on disk",
            "Make sure append-only persistence is on at the provider; else a restart loses logouts.",
        )  # fmt: skip
    if facts.save:
        return redis.warning(
            "persistence", f"snapshots only (save {facts.save}): a crash loses the logouts since the last one", fix
        )
    if facts.replicas:
        return redis.warning("persistence", "nothing on disk: only replicas keep logouts over a restart", fix)
    return redis.failed("persistence", "nothing on disk: a restart loses every logout no app has read yet", fix)


def _check_fsync(fsync: str | None) -> Check:
    if fsync == "no":
        return redis.warning(
            "persistence", "append-only file, appendfsync no: a crash of the machine can lose half a minute of logouts",
            "Set appendfsync everysec or always.",
        )  # fmt: skip
    lost = {
        "always": "appendfsync always: an acknowledged logout is on disk",
        "everysec": "appendfsync everysec: a crash of the machine can lose the last second or two",
    }.get(fsync or "", "cannot see appendfsync")
    return redis.ok("persistence", f"append-only file, {lost}")
