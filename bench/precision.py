"""Whether `receiver evict` removes what is to go, and nothing else, among mixed keys; judged by what was written."""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import random
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import redis.asyncio

from bench import cache_values
from bench.cache_values import ISS, OTHER_WEB, TENANT, WEB, account, logout
from bench.precision_values import CACHES, Key, Part, keys, session_id
from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.evictor.worker import working
from receiver.ops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from receiver.core.eviction import Eviction

FOREIGN_SHARE = 0.4
KEYS_OF_A_USER = 5.9
DONE_S = 600.0
"""Seconds all of it may take."""

SECTIONS = ("AccessToken", "RefreshToken", "IdToken", "Account")


def ordered(number: int, user: int) -> tuple[Eviction, int | None]:
    """A logout, and which session it ends: of the user by one app's subject, of a session, with or without the user."""
    whole = logout(user, try_number=number)
    if number % 3 == 0:
        return replace(whole, scope="user", sid=None), None
    session = 0
    named = replace(whole, sid=session_id(user, session))
    return (named if number % 3 == 1 else replace(named, sub=None)), session


def is_over(part: Part, gone: Mapping[int, set[int | None]]) -> bool:
    """By the rules of docs/caches.md: a value of all sessions goes with any of them, a session's only with its own."""
    if part.user is None or part.user not in gone:
        return False
    return part.session is None or None in gone[part.user] or part.session in gone[part.user]


def judged(key: Key, now: bytes | None, gone: Mapping[int, set[int | None]], *, same: bool) -> str:
    """`wrong`, `missed`, or empty for right.

    Args:
        key: What was written.
        now: What is there now, or in its field `data`; None for nothing.
        gone: The sessions that were signed out, by user.
        same: Whether Redis serialises it as before.
    """
    over = {account(part.user) for part in key.parts if part.user is not None and is_over(part, gone)}
    left = {account(part.user) for part in key.parts if part.user is not None and not is_over(part, gone)}
    if not over:
        return "" if same else "wrong"
    if same:
        return "missed"
    if not left:
        return "" if now is None or (key.accounts and not _accounts(key, now)) else "missed"
    if now is None or not _accounts(key, now) >= left:
        return "wrong"
    if _accounts(key, now) > left:
        return "missed"
    return "" if _text(key, now) == _cut(_text(key, _plain(key.value)), over) else "wrong"


def _plain(value: object) -> object:
    return value["data"] if isinstance(value, dict) else value


def _text(key: Key, value: Any) -> str:
    if key.shell in {"django", "cachelib"}:
        return str(pickle.loads(value.removeprefix(b"!")))  # noqa: S301  # our own
    text = value.decode()
    return str(json.loads(text)) if key.shell == "json" else str(text)


def _accounts(key: Key, value: Any) -> set[str]:
    blob = json.loads(_text(key, value))
    return {entry["home_account_id"] for section in SECTIONS for entry in blob.get(section, {}).values()}


def _cut(text: str, accounts: set[str]) -> str:
    """The text as a JSON writer of the same style would have written it without these accounts."""
    blob = json.loads(text)
    for section in SECTIONS:
        entries = blob.get(section, {})
        blob[section] = {n: entry for n, entry in entries.items() if entry["home_account_id"] not in accounts}
    if "\n" in text:
        return json.dumps(blob, indent=4)
    return json.dumps(blob) if '": ' in text else json.dumps(blob, separators=(",", ":"))


async def write(client: redis.asyncio.Redis, names: Mapping[str, Key]) -> None:
    """Everything, each with a lifetime of its own."""
    for start in range(0, len(names), 500):
        async with client.pipeline(transaction=False) as pipeline:
            for name in list(names)[start : start + 500]:
                value = names[name].value
                if isinstance(value, dict):
                    pipeline.hset(name, mapping=value)  # type: ignore[arg-type,unused-awaitable]  # queued
                elif isinstance(value, set):
                    pipeline.sadd(name, *value)  # type: ignore[unused-awaitable]
                else:
                    pipeline.set(name, value)  # type: ignore[unused-awaitable]
                pipeline.expire(name, cache_values.KEEP_S)  # type: ignore[unused-awaitable]
            await pipeline.execute()


async def dumps(client: redis.asyncio.Redis, names: Sequence[str]) -> dict[str, bytes | None]:
    """Every value as Redis serialises it."""
    found: dict[str, bytes | None] = {}
    for start in range(0, len(names), 500):
        async with client.pipeline(transaction=False) as pipeline:
            for name in names[start : start + 500]:
                pipeline.dump(name)  # type: ignore[unused-awaitable]
            found.update(zip(names[start : start + 500], await pipeline.execute(), strict=True))
    return found


async def run(count: int, logouts: int, seed: int) -> int:
    """Write, sign out, look; 1 when anything was wrong or missed."""
    users = int(count * (1 - FOREIGN_SHARE) / KEYS_OF_A_USER)
    written = keys(users, count - int(users * KEYS_OF_A_USER), seed)
    chosen = random.Random(seed).sample(range(users), min(logouts, users))  # noqa: S311
    orders = [ordered(number, user) for number, user in enumerate(chosen)]
    gone: dict[int, set[int | None]] = {}
    for user, (_, session) in zip(chosen, orders, strict=True):
        gone.setdefault(user, set()).add(session)
    with EmbeddedRedis() as server:
        client = redis.asyncio.Redis.from_url(server.url)
        await write(client, written)
        before = await dumps(client, list(written))
        settings = Settings(
            internal={"port": 0}, redis={"url": server.url}, caches=CACHES,
            tenants=[{"name": TENANT, "issuer": ISS, "client_ids": [WEB, OTHER_WEB], "account_from_sub": False}],
        )  # fmt: skip
        async with working(settings) as worker:
            await worker.watcher.read_all()
            publisher = EvictionPublisher(client, KeyNames(), Retention())
            await asyncio.gather(*(publisher.publish(eviction) for eviction, _ in orders))
            began = time.monotonic()
            while await client.exists(*(f"{{logout}}:acks:{eviction.id}" for eviction, _ in orders)) < len(orders):
                if time.monotonic() - began > DONE_S:
                    raise RuntimeError("the evictions are not done")
                await asyncio.sleep(0.1)
        after = await dumps(client, list(written))
        verdicts: dict[str, list[str]] = {"wrong": [], "missed": []}
        untouched = sum(before[name] == after[name] for name in written)
        for name, key in written.items():
            same = before[name] == after[name]
            now = None if same or after[name] is None else await _now(client, name, key)
            if verdict := judged(key, now, gone, same=same):
                verdicts[verdict].append(name)
        await client.aclose()
    print(  # noqa: T201
        f"{len(written):,} keys, {len(orders)} evictions: {len(written) - untouched:,} changed, {untouched:,} the same "
        f"to the byte; wrong {len(verdicts['wrong'])}, missed {len(verdicts['missed'])}"
    )
    for what, found in verdicts.items():
        for name in found[:10]:
            print(f"{what}: {name} of {written[name].parts}")  # noqa: T201
    return 1 if any(verdicts.values()) else 0


async def _now(client: redis.asyncio.Redis, name: str, key: Key) -> Any:
    return await (client.hget(name, "data") if isinstance(key.value, dict) else client.get(name))


def main() -> int:
    """Read the arguments, run, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--logouts", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    return asyncio.run(run(given.keys, given.logouts, given.seed))


if __name__ == "__main__":
    sys.exit(main())
