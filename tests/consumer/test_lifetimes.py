"""Apps with sessions of different lengths, and two versions of the script, share one registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.registry import REGISTER, register_calls
from receiver.core.eviction import Eviction, SessionKeys
from receiver.core.sign_in import SignIn
from tests.support.published import evictions
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    import redis.asyncio

ISS = "https://op.example/t1"
NOW_S = 1_000_000
DAY_S = 86_400
OLDER = Path(__file__).with_name("register-1677f72.lua").read_text(encoding="utf-8")
"""The script of an older release, which kept the lifetime given last."""


async def register(
    client: redis.asyncio.Redis, app: str, lifetime_s: int, *, script: str = REGISTER.text, sub: str = "alice"
) -> None:
    """One app registers Alice's session s1, under a name of its own."""
    sign_in = SignIn(
        iss=ISS, client_ids=(app,), sub=sub, sid="s1", auth_time=900, home_account_id="uid.utid", keys=(f"{app}:1",)
    )
    [(names, arguments)] = register_calls(KeyNames(), sign_in, now_s=NOW_S, lifetime_s=lifetime_s)
    run: Any = client.eval(script, len(names), *names, *arguments)
    assert 1 == await run


async def tidy(client: redis.asyncio.Redis, *, now_s: float) -> None:
    """What happens to buckets by and by: fields that are over are removed when a sixteenth is added."""
    every = client.scan_iter(f"{KeyNames().prefix}:*")
    for bucket in [name async for name in every if await client.type(name) == b"hash"]:
        fields: dict[Any, Any] = await client.hgetall(bucket)
        for field, value in fields.items():
            if int(value.split(b",")[0]) <= now_s:
                await client.hdel(bucket, field)


async def ended(client: redis.asyncio.Redis) -> set[SessionKeys]:
    """Sessions named by a logout of s1, which is found through its bucket."""
    eviction = Eviction(
        id="e1", tenant="t1", iss=ISS, sid="s1", scope="session", logout_at=1000, received_at=NOW_S + DAY_S * 2.0
    )
    await publisher_to(client).publish(eviction)
    *_, event = await evictions(client)
    return set(event.sessions)


@pytest.mark.parametrize("order", [("portal", "orders"), ("orders", "portal")])
async def test_shorter_lifetime_ends_no_other_registration(
    redis_client: redis.asyncio.Redis, order: tuple[str, str]
) -> None:
    """The portal keeps sessions for 14 days, orders for one: on the second day a logout still finds the portal's."""
    lifetimes = {"portal": 14 * DAY_S, "orders": DAY_S}
    for app in order:
        await register(redis_client, app, lifetimes[app])
    await tidy(redis_client, now_s=NOW_S + 2 * DAY_S)

    assert SessionKeys("portal", ("portal:1",)) in await ended(redis_client)


async def test_same_client_and_name_with_two_lifetimes(redis_client: redis.asyncio.Redis) -> None:
    """Two parts of one app that register the same name keep it for the longer of their lifetimes."""
    for lifetime_s in (14 * DAY_S, DAY_S):
        await register(redis_client, "portal", lifetime_s)

    [name] = [name async for name in redis_client.scan_iter(f"{KeyNames().prefix}:user:*")]
    kept: Any = await redis_client.get(name)
    assert f"{NOW_S + 14 * DAY_S}".encode() == kept.split(b"\t")[0]


async def test_older_script_beside_this_one(redis_client: redis.asyncio.Redis) -> None:
    """In a rolling update both read what the other wrote; once this one has registered, the longer lifetime counts."""
    assert OLDER != REGISTER.text
    await register(redis_client, "portal", 14 * DAY_S)
    await register(redis_client, "orders", DAY_S, script=OLDER)
    await register(redis_client, "portal", 14 * DAY_S)
    await register(redis_client, "billing", 3 * DAY_S, script=OLDER, sub="pairwise")
    await register(redis_client, "wiki", DAY_S)
    await tidy(redis_client, now_s=NOW_S + 2 * DAY_S)

    assert {SessionKeys(app, (f"{app}:1",)) for app in ("portal", "orders", "billing", "wiki")} == await ended(
        redis_client
    )
