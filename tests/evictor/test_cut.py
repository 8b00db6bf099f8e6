"""A user's own entries are cut out of a shared value inside Redis, also while others write around them."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.cache_store import CacheStore
from receiver.core.layouts import LAYOUTS, msal_cache
from receiver.core.layouts.layout import STRING, Change
from tests.evictor.written import app_token, dumped, merged, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis.asyncio


OP = "https://op.example"
LAYOUT = LAYOUTS["msal-python"]
USERS = [f"u{number}" for number in range(1, 9)]


def blob(*users: str, **changes: Any) -> dict[str, Any]:
    """A cache of these users, each with every kind of entry."""
    return merged(app_token(), *(tokens(OP, sub=user, account=user, cached_at=5, **changes) for user in users))


def change_of(value: bytes, *users: str) -> Change:
    """What is to become of a value when these users go."""
    read = LAYOUT.read({STRING: value})
    return LAYOUT.without(read, {holder for holder in read.holders if holder.account in users})


async def cut(client: redis.asyncio.Redis, change: Change) -> bool:
    """Do it to the value at `all`."""
    assert change.cut is not None
    return await CacheStore(client).cut("all", STRING, change.cut)


def unknown(text: object) -> dict[str, Any]:
    """A section that is left as it is."""
    return {"Unknown": {"n": text}}


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("separators", [None, (",", ":"), (" ,\t", " :\r\n")])
@pytest.mark.parametrize("seed", range(4))
async def test_the_same_as_in_memory(
    redis_client: redis.asyncio.Redis, *, indent: int | None, separators: tuple[str, str] | None, seed: int
) -> None:
    """For any users and any places in the value: what is left is to the byte what is left of it in Python."""
    chosen = random.Random(seed)  # noqa: S311  # the same in each run
    order = chosen.sample(USERS, len(USERS))
    gone = order[: (0, 2, 4, 6)[seed]] or [order[-1]]
    text = json.dumps(blob(*chosen.sample(order, len(order))), indent=indent, separators=separators).encode()
    await redis_client.set("all", text, ex=500)
    change = change_of(text, *gone)
    assert await cut(redis_client, change)
    assert change.new == await redis_client.get("all")
    assert 495 < await redis_client.ttl("all") <= 500


def others_sign_in(value: dict[str, Any]) -> dict[str, Any]:
    """New users before and behind, and another one's tokens renewed."""
    renewed = tokens(OP, sub="u2", account="u2", cached_at=99, sid="s9")
    return merged(tokens(OP, sub="u0", account="u0"), value, renewed, tokens(OP, sub="u9", account="u9"))


def others_leave(value: dict[str, Any]) -> dict[str, Any]:
    """All other users signed out."""
    return {
        name: {key: entry for key, entry in section.items() if "u1" in json.dumps(entry)}
        for name, section in value.items()
    }


@pytest.mark.parametrize("others", [others_sign_in, others_leave])
async def test_others_write_meanwhile(
    redis_client: redis.asyncio.Redis, others: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """What others wrote since the value was read is all there, and the user is out."""
    value = blob("u2", "u1", "u3")
    change = change_of(dumped(value), "u1")
    now = others(value)
    await redis_client.set("all", json.dumps(now))
    assert await cut(redis_client, change)
    expected = {
        name: {key: entry for key, entry in section.items() if entry.get("home_account_id") != "u1"}
        for name, section in now.items()
    }
    assert expected == json.loads(await redis_client.get("all") or b"")


@pytest.mark.parametrize(
    "own",
    [
        tokens(OP, cached_at=99),
        tokens(OP, client="c2"),
        tokens(OP, sid="new"),
        {"Account": {"u1-another-host": {"home_account_id": "u1"}}},
    ],
    ids=["token renewed", "another client", "new sign-in", "account"],
)
async def test_the_user_writes_meanwhile(redis_client: redis.asyncio.Redis, own: dict[str, Any]) -> None:
    """Where the user's own entries are others than those that were judged, nothing is changed: they are judged anew."""
    change = change_of(dumped(blob("u1", "u2")), "u1")
    now = dumped(blob("u1", "u2"), own)
    await redis_client.set("all", now)
    assert not await cut(redis_client, change)
    assert now == await redis_client.get("all")


@pytest.mark.parametrize(
    "now",
    [
        b"",
        b"{}",
        b"\x09\xf0\xc9\xf0 encrypted",
        json.dumps({"text": dumped(blob("u1", "u2")).decode()}).encode(),
        json.dumps(blob("u2", "u1"), indent=1).encode(),
    ],
    ids=["empty", "nothing", "ciphertext", "in a text", "another form"],
)
async def test_another_value(redis_client: redis.asyncio.Redis, now: bytes) -> None:
    """A value of another form is left as it is."""
    change = change_of(dumped(blob("u1", "u2")), "u1")
    await redis_client.set("all", now)
    assert not await cut(redis_client, change)
    assert now == await redis_client.get("all")


async def test_no_value(redis_client: redis.asyncio.Redis) -> None:
    """One that is gone does not come back."""
    assert await cut(redis_client, change_of(dumped(blob("u1", "u2")), "u1"))
    assert 0 == await redis_client.exists("all")


@pytest.mark.parametrize("account", ["u/1", "ü1", 'u"1', "u\\1", "u 1"])
def test_accounts_that_are_written_in_several_ways(account: str) -> None:
    """An account whose characters a library may escape is not told by its bytes: the whole value is compared."""
    value = dumped(tokens(OP, account=account), tokens(OP, sub="u2", account="u2"))
    change = change_of(value, account)
    assert change.cut is None
    assert {"u2"} == msal_cache.accounts(msal_cache.parse(change.new or b""))


def test_a_value_in_another_encoding() -> None:
    """A value in UTF-16 is rewritten in Python."""
    change = change_of(dumped(blob("u1", "u2")).decode().encode("utf-16-le"), "u1")
    assert change.cut is None
    assert {"u2"} == msal_cache.accounts(msal_cache.parse(change.new or b""))
