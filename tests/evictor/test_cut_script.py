"""The script that cuts members out of a value: which commas go with them, and what it takes for no member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.blobs import CUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis.asyncio

OTHERS = {f"absent{number}": 0 for number in range(5)}
"""So many that the value is searched in another way."""


async def cut(
    client: redis.asyncio.Redis, value: str, pieces: Sequence[str], accounts: Mapping[str, int], field: str = ""
) -> tuple[int, str]:
    """The reply, and what the value is afterwards."""
    if field:
        await client.hset("v", mapping={"absexp": "-1", field: value})
    else:
        await client.set("v", value)
    await client.expire("v", 500)
    named = [part for account in accounts.items() for part in account]
    reply = await CUT.run(client, ["v"], (field, len(accounts), *named, *pieces))
    assert 400 < await client.ttl("v") <= 500
    after: Any = await client.hget("v", field) if field else await client.get("v")
    return int(reply), after.decode()


@pytest.mark.parametrize("field", ["", "data"])
@pytest.mark.parametrize("accounts", [{}, OTHERS], ids=["no account", "many"])
@pytest.mark.parametrize(
    ("value", "gone", "after"),
    [
        ('{"a":1,"b":2,"c":3}', "a", '{"b":2,"c":3}'),
        ('{"a":1,"b":2,"c":3}', "ab", '{"c":3}'),
        ('{"a":1,"b":2,"c":3}', "abc", "{}"),
        ('{"a":1,"b":2,"c":3}', "b", '{"a":1,"c":3}'),
        ('{"a":1,"b":2,"c":3}', "bc", '{"a":1}'),
        ('{"a":1,"b":2,"c":3}', "ac", '{"b":2}'),
        ('{"a":1,"b":2 ,"c":3 }', "bc", '{"a":1 }'),
        ('{"x":{"a":1,"b":2},"y":{"c":3,"d":4}}', "abd", '{"x":{},"y":{"c":3}}'),
        ('{ "a":1 ,\n\t"b":2,\r\n "c":3 }', "a", '{ "b":2,\r\n "c":3 }'),
        ('{ "a":1 ,\n\t"b":2,\r\n "c":3 }', "ab", '{ "c":3 }'),
        ('{ "a":1 ,\n\t"b":2,\r\n "c":3 }', "b", '{ "a":1,\r\n "c":3 }'),
        ('{ "a":1 ,\n\t"b":2,\r\n "c":3 }', "abc", "{  }"),
        ('{"a":1}', "", '{"a":1}'),
    ],
)
async def test_members_go(
    redis_client: redis.asyncio.Redis, *, field: str, accounts: dict[str, int], value: str, gone: str, after: str
) -> None:
    """Each with one comma and the space there; all else stays to the byte."""
    pieces = [f'"{name}":{"abcd".index(name) + 1}' for name in gone]
    assert (1, after) == await cut(redis_client, value, pieces, accounts, field)


@pytest.mark.parametrize(
    ("value", "gone"),
    [
        ('{"b":2}', "a"),
        ('{"b":2,"a":1}', "ab"),
        ('{"a":1}', "aa"),
        ('{"t":x"a":1}', "a"),
        ('{"t":["a":1]}', "a"),
        # Behind one that is gone: text, and nothing at all.
        ('{"a":1,x"b":2}', "ab"),
        ('{"a":1,"b":2"c":3}', "abc"),
        ('{"z":0,"a":1"b":2}', "ab"),
        ('"a":1', "a"),
    ],
)
async def test_what_is_no_member(redis_client: redis.asyncio.Redis, value: str, gone: str) -> None:
    """Where one is missing, out of order, or in a text, nothing is changed."""
    pieces = [f'"{name}":{"abcd".index(name) + 1}' for name in gone]
    assert (0, value) == await cut(redis_client, value, pieces, {})


NAMED = (
    '{"1":{"home_account_id":"u1"},"2":{"k":0,"home_account_id" :\t"u1"},"3":{"home_account_id"\r\n: "u2"},'
    '"4":{"xhome_account_id":"u1","home":"u1","u1":"home_account_id","text":"\\"u1","home_account_id":"xu1"},"u2":"u3"}'
)
"""Two of the first user, one of the second, none of the third."""


@pytest.mark.parametrize("more", [{}, OTHERS], ids=["few", "many"])
@pytest.mark.parametrize(
    ("accounts", "reply"),
    [
        ({"u1": 2}, 1), ({"u1": 1}, 0), ({"u1": 3}, 0), ({"u2": 1}, 1), ({"u2": 2}, 0), ({"u3": 0}, 1), ({"u3": 1}, 0),
        ({"u1": 2, "u2": 1}, 1), ({"u1": 2, "u2": 0}, 0), ({"u1": 1, "u2": 1}, 0), ({"u1": 2, "u2": 1, "u3": 1}, 0),
    ],
)  # fmt: skip
async def test_entries_are_counted(
    redis_client: redis.asyncio.Redis, *, accounts: dict[str, int], more: dict[str, int], reply: int
) -> None:
    """By the member that names their account; where any number differs nothing is changed."""
    value, after = '{"a":1,"b":' + NAMED + "}", '{"b":' + NAMED + "}"
    assert (reply, after if reply else value) == await cut(redis_client, value, ['"a":1'], {**accounts, **more})


async def test_no_value(redis_client: redis.asyncio.Redis) -> None:
    """There is nothing to do."""
    for field in ("", "data"):
        assert 1 == await CUT.run(redis_client, ["v"], (field, 0, '"a":1'))
    assert not await redis_client.exists("v")
