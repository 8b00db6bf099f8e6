"""The script that learns: what is noted of a name, what gives way, what is over, and where something lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.cache_index import LEARN

if TYPE_CHECKING:
    import redis.asyncio

NOW_S, KEEP_S = 10_000, 1000
UNTIL = NOW_S + KEEP_S
FULL = "full"


async def learn(
    client: redis.asyncio.Redis, *found: tuple[str, str, str], members: int = 9, size: int = 99, names: int = 9
) -> list[int]:
    """Each a bucket, a name and its members. New members, names without room, names whose oldest members went."""
    keys = [*(bucket for bucket, _, _ in found), FULL]
    arguments = [text for _, *of_name in found for text in of_name]
    return list(await LEARN.run(client, keys, (NOW_S, KEEP_S, members, size, names, *arguments)))


async def noted(client: redis.asyncio.Redis, bucket: str = "b") -> dict[str, str]:
    """All of a bucket."""
    fields: dict[Any, Any] = await client.hgetall(bucket)
    return {name.decode(): value.decode() for name, value in fields.items()}


FRESH = NOW_S + KEEP_S * 9 // 10
"""Until when what was noted a moment ago is kept, at least."""


@pytest.mark.parametrize(
    ("there", "found", "after", "new"),
    [
        (None, "x,y", f"{UNTIL},x,y", 2),
        (f"{FRESH},x", "y", f"{UNTIL},x,y", 1),
        (f"{FRESH},x", "y,x", f"{UNTIL},x,y", 1),
        # What was noted a moment ago costs no write; before that the note is renewed.
        (f"{FRESH},x,y", "y,x", f"{FRESH},x,y", 0),
        (f"{FRESH - 1},x,y", "y", f"{UNTIL},x,y", 0),
        (f"{UNTIL - 1},x", "x", f"{UNTIL - 1},x", 0),
        # Over, but there.
        ("5,x", "y", f"{UNTIL},x,y", 1),
        # Damaged.
        ("", "x", f"{UNTIL},x", 1),
        ("damaged", "x", f"{UNTIL},x", 1),
        (f"{UNTIL}", "x", f"{UNTIL},x", 1),
        ("soon,x", "x,y", f"{UNTIL},x,y", 2),
        (",x", "x", f"{UNTIL},x", 1),
        # A member within another one is not that one, in any place.
        (f"{UNTIL},xa,a", "a", f"{UNTIL},xa,a", 0),
        (f"{UNTIL},ax,a,b", "a", f"{UNTIL},ax,a,b", 0),
        (f"{UNTIL},ab,xaby,xab", "b,a,ab", f"{UNTIL},ab,xaby,xab,b,a", 2),
        (f"{UNTIL},xyx", "xy,yx,y", f"{UNTIL},xyx,xy,yx,y", 3),
        # No pattern, either.
        (f"{UNTIL},abc", "a.c", f"{UNTIL},abc,a.c", 1),
    ],
)
async def test_what_is_noted_of_a_name(
    redis_client: redis.asyncio.Redis, there: str | None, found: str, after: str, new: int
) -> None:
    """What was there, and what is new behind it; for as long as it is to be kept from now on."""
    if there is not None:
        await redis_client.hset("b", "n", there)
        await redis_client.expire("b", 500)

    assert [new, 0, 0] == await learn(redis_client, ("b", "n", found))

    assert {"n": after} == await noted(redis_client)
    kept_s = 500 if after == there else KEEP_S
    assert kept_s - 100 < await redis_client.ttl("b") <= kept_s
    assert not await redis_client.exists(FULL)


async def test_a_bucket_lives_as_long_as_its_last_name(redis_client: redis.asyncio.Redis) -> None:
    """What is learnt with a shorter lifetime does not shorten that of the others."""
    await redis_client.hset("b", "other", f"{UNTIL + KEEP_S},x")
    await redis_client.expire("b", 2 * KEEP_S)
    await learn(redis_client, ("b", "n", "x"))
    assert 2 * KEEP_S - 100 < await redis_client.ttl("b") <= 2 * KEEP_S


@pytest.mark.parametrize(
    ("there", "found", "members", "size", "after"),
    [
        ("aa,bb", "cc", 3, 99, None),
        ("aa,bb", "cc", 2, 99, "bb,cc"),
        ("aa,bb", "cc", 1, 99, "cc"),
        ("aa", "bb,cc,dd", 2, 99, "cc,dd"),
        ("aa,bb", "cc", 9, 8, None),
        ("aa,bb", "cc", 9, 7, "bb,cc"),
        ("aa,bb", "cc", 9, 5, "bb,cc"),
        ("aa,bb", "cc", 9, 4, "cc"),
        # One at least.
        ("aa,bb", "cc", 9, 1, "cc"),
    ],
)
async def test_the_oldest_give_way(
    redis_client: redis.asyncio.Redis, *, there: str, found: str, members: int, size: int, after: str | None
) -> None:
    """Beyond so many members or bytes of a name; it is noted for a while that something lacks there."""
    await redis_client.hset("b", "n", f"{UNTIL},{there}")

    _, *lacks = await learn(redis_client, ("b", "n", found), members=members, size=size)

    assert {"n": f"{UNTIL},{after or f'{there},{found}'}"} == await noted(redis_client)
    assert [0, 1 if after else 0] == lacks
    assert ({"b n": f"{UNTIL}"} if after else {}) == await noted(redis_client, FULL)
    assert KEEP_S - 100 < await redis_client.ttl(FULL) <= KEEP_S or not after


@pytest.mark.parametrize(("names", "dropped"), [(3, 0), (2, 1), (1, 1)])
async def test_no_room_for_a_name(redis_client: redis.asyncio.Redis, names: int, dropped: int) -> None:
    """Beyond so many of a bucket further names are dropped, and that is noted; those there are go on learning."""
    await redis_client.hset("b", mapping={"m": f"{UNTIL},x", "n": f"{UNTIL},x"})

    found = [("b", "new", "x"), ("b", "n", "y"), ("c", "new", "x")]
    assert [3 - dropped, dropped, 0] == await learn(redis_client, *found, names=names)

    more = {} if dropped else {"new": f"{UNTIL},x"}
    assert {"m": f"{UNTIL},x", "n": f"{UNTIL},x,y", **more} == await noted(redis_client)
    assert {"new": f"{UNTIL},x"} == await noted(redis_client, "c")
    assert ({"b": f"{UNTIL}"} if dropped else {}) == await noted(redis_client, FULL)


async def test_several_lack(redis_client: redis.asyncio.Redis) -> None:
    """Each counts, and is noted for itself."""
    await redis_client.hset("b", mapping={"m": f"{UNTIL},x", "n": f"{UNTIL},x"})
    found = [("b", "new", "x"), ("b", "late", "x"), ("b", "m", "y"), ("b", "n", "y"), ("c", "n", "x,y")]
    assert [4, 2, 3] == await learn(redis_client, *found, members=1, names=2)
    assert {"b", "b m", "b n", "c n"} == set(await noted(redis_client, FULL))


EXPIRED = {"e1": f"{NOW_S},x", "e2": "5,x", "e3": "damaged", "e4": ""}


@pytest.mark.parametrize(("beside", "left"), [({}, 0), ({"e5": "6,x"}, 1), ({"e5": "6,x", "e6": "7"}, 2)])
async def test_what_is_over_goes_while_a_bucket_grows(
    redis_client: redis.asyncio.Redis, beside: dict[str, str], left: int
) -> None:
    """Four are looked at for a name that is new, and none for one that is there; so it is with what lacks."""
    there: dict[Any, Any] = {**EXPIRED, **beside}
    for bucket in ("b", FULL):
        await redis_client.hset(bucket, mapping=there)
    await redis_client.hset("c", mapping={"n": f"{UNTIL},x", **there})

    await learn(redis_client, ("b", "n", "x,y"), ("c", "n", "y"), members=1, names=99)
    found = [await noted(redis_client, bucket) for bucket in ("b", "c")]

    assert [1 + left, 1 + len(there)] == list(map(len, found))
    # Two lack now, and four were looked at for each.
    assert {"b n", "c n"} <= set(await noted(redis_client, FULL))


async def test_what_is_not_over_stays(redis_client: redis.asyncio.Redis) -> None:
    """To the second."""
    await redis_client.hset("b", mapping={"a": f"{NOW_S + 1},x", "b": f"{NOW_S},x"})
    await learn(redis_client, ("b", "n", "x"))
    assert {"a", "n"} == set(await noted(redis_client))


async def test_what_lacks_again(redis_client: redis.asyncio.Redis) -> None:
    """Nothing is looked at for what was noted before; it is noted for longer."""
    await redis_client.hset(FULL, mapping={"c": f"{NOW_S + 1}", "old": "5"})
    await redis_client.hset("c", "m", f"{UNTIL},x")
    await learn(redis_client, ("c", "n", "x"), names=1)
    assert {"c": f"{UNTIL}", "old": "5"} == await noted(redis_client, FULL)
