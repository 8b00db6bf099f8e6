"""The script that publishes: accounts that were found in caches and sessions, and how much one event says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events import publish_arguments as module
from receiver.core.eviction import eviction_id
from receiver.core.marks import digest
from receiver.core.repeats import id_if_reused
from tests.protocol.publish_script import (
    ALICE,
    AT,
    HOME,
    ISS,
    KEYS,
    RETENTION,
    SESSION,
    keys_of,
    life,
    line,
    logout,
    of_session,
    publish,
    registered,
)
from tests.support.published import entries, evictions

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.events.publish import Retention


INDEXED = [
    (f'{AT},{HOME} "x.y"', ["x.y"], 0),
    (f'{AT},{HOME} "x.y",{HOME} "z"', ["x.y", "z"], 0),
    (f'{AT},{HOME} "x.y",{HOME} "x.y"', ["x.y"], 0),
    (f"{AT},damaged", [], 1),
    (f"{AT},{HOME} ", [], 1),
    (f'{AT},{HOME} x,{HOME} "y"', ["y"], 1),
    (f'{AT},{HOME} "y" "z"', [], 1),
    (f'{AT},{HOME} ["y"]', [], 1),
    (f'{AT},{HOME} "\\u00fc",{HOME} "\\q"', ["ü"], 1),
    (f'{AT},{HOME} "ü"', [], 1),
    (f'{AT},{HOME} "\\"ü"', [], 1),
    (f"{AT},{HOME} 5", [], 1),
    (f'{AT},{HOME} "', [], 1),
    (f'{AT},{HOME} ""', [""], 0),
    ("", [], 0),
    ("damaged", [], 0),
]


@pytest.mark.parametrize(("entry", "accounts", "damaged"), INDEXED)
async def test_what_was_found_in_caches(
    redis_client: redis.asyncio.Redis, entry: str, accounts: list[str], damaged: int
) -> None:
    """Accounts of the user, each once; what is not as it is written is counted and left out."""
    await redis_client.hset(KEYS.index_bucket(ALICE), ALICE, entry)
    assert damaged == (await publish(redis_client)).damaged
    [fields] = [fields for _, fields in await entries(redis_client)]
    assert accounts == json.loads(fields[b"event"])["data"]["accounts"]


async def test_accounts_in_the_order(redis_client: redis.asyncio.Redis) -> None:
    """Those that are known already come first, each once; a session's are found by its name."""
    await redis_client.hset(KEYS.index_bucket(SESSION), SESSION, f'{AT},{HOME} "a",{HOME} "c"')
    await publish(redis_client, of_session(accounts=("a", "b")))
    [event] = await evictions(redis_client)
    assert ("a", "b", "c") == event.accounts


async def test_keys_that_are_escaped(redis_client: redis.asyncio.Redis) -> None:
    """Any text, as long as it is JSON in ASCII."""
    good = ['"a,b","c\\"d"', '"\\u00fc"', '"\\\\",""']
    bad = [
        '"""',
        '"\\"',
        '"a""b"',
        '"a"x"b"',
        '"a",',
        '"a" ,"b"x',
        '"\\x"',
        '"ü"',
        "5",
        '"a",5',
        '"a',
        '"a"b',
        'a"',
        '["a"]',
        '"\\"","b",7',
    ]
    await registered(redis_client, ALICE, *(line(keys=keys) for keys in (*good, *bad)))
    assert len(bad) == (await publish(redis_client)).damaged
    [event] = await evictions(redis_client)
    assert [tuple(json.loads(f"[{keys}]")) for keys in good] == [session.keys for session in event.sessions]


@pytest.mark.parametrize(
    ("home", "marked"), [(HOME, True), ("abc", True), ("ab", False), ("a b c", False), ("", False)]
)
async def test_the_account_of_a_session(redis_client: redis.asyncio.Redis, home: str, *, marked: bool) -> None:
    """It is marked, also of a later one; so are the subjects that it has at other clients, and these end."""
    other = digest("sub", ISS, "alice-at-c2")
    await registered(redis_client, ALICE, line(auth=AT + 1, home=home))
    await registered(redis_client, other, line(keys='"o"', home=""))
    if len(home) > 2:
        await redis_client.hset(KEYS.account_bucket(home), home, f"{AT},{ALICE},{other}")
    await publish(redis_client)
    [event] = await evictions(redis_client)
    assert (["o"] if marked else []) == keys_of(event)
    found = await redis_client.mget(*map(KEYS.mark, (ALICE, home or "-", other)))
    assert [f"{AT}".encode(), *[f"{AT}".encode() if marked else None] * 2] == found


async def test_an_order_that_names_an_account(redis_client: redis.asyncio.Redis) -> None:
    """In place of a user: it is marked, and its subjects' sessions end."""
    await registered(redis_client, ALICE, line())
    await redis_client.hset(KEYS.account_bucket(HOME), HOME, f"{AT},{ALICE}")
    await publish(redis_client, logout(sub="a.b", account="a.b"))
    [event] = await evictions(redis_client)
    assert ["k"] == keys_of(event)
    assert [f"{AT}".encode()] * 2 == await redis_client.mget(KEYS.mark(HOME), KEYS.mark(ALICE))


@pytest.mark.parametrize(
    ("homes", "users", "beyond"), [(15, 16, 0), (16, 16, 0), (17, 1, 1), (20, 1, 4), (1, 257, 1), (2, 130, 4)]
)
async def test_how_much_is_marked(redis_client: redis.asyncio.Redis, homes: int, users: int, beyond: int) -> None:
    """Sixteen accounts and 256 subjects; how many more there are is told, in the event, too."""
    names = [digest("account", ISS, str(number)) for number in range(homes)]
    members = [f'{name} "{name}"' for name in names]
    await redis_client.hset(KEYS.index_bucket(ALICE), ALICE, ",".join([str(AT), *members]))
    for home in names:
        subjects = [digest("sub", ISS, f"{home}{number}") for number in range(users)]
        await redis_client.hset(KEYS.account_bucket(home), home, ",".join([str(AT), ALICE, *subjects]))

    assert beyond == (await publish(redis_client)).beyond

    assert [beyond] == [event.beyond for event in await evictions(redis_client)]
    assert bool(beyond) == any(b"beyond" in fields[b"event"] for _, fields in await entries(redis_client))
    marks = [name async for name in redis_client.scan_iter(KEYS.mark("*"), count=1000) if b"epoch" not in name]
    assert 1 + min(homes, 16) + min(min(homes, 16) * users, 256) == len(marks)


@pytest.mark.parametrize(
    ("lacks", "parts"),
    [(0, [3]), (1, [2, 1]), (11, [2, 1]), (12, [1, 1, 1]), (10**6, [1, 1, 1]), (11, [2, 2]), (12, [1, 1, 1, 1])],
)
async def test_what_is_too_much_for_one_event(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, lacks: int, parts: list[int]
) -> None:
    """It becomes several, each with an id and a number of its own; none is left out, however large."""
    accounts = [f"account{number}" for number in range(sum(parts))]
    head = len(logout(accounts=tuple(accounts)).to_json_head())
    # The head, what closes the event, a little for the id, and so much for each account with its quotes and comma.
    largest = head + len('],"sessions":[') + len("]}}") + 16 + 3 * len('"account0",')
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", max(0, largest - lacks))

    first = await publish(redis_client, logout(accounts=tuple(accounts)))

    found = await entries(redis_client)
    ids = ["e1", "e1-2", "e1-3", "e1-4"][: len(parts)]
    events = await evictions(redis_client)
    assert parts == [len(event.accounts) for event in events]
    assert accounts == [account for event in events for account in event.accounts]
    assert ids == [event.id for event in events]
    assert [str(number + 1).encode() for number in range(len(parts))] == [fields[b"n"] for _, fields in found]
    assert first.place == found[0][0].decode()
    assert [place for place, _ in found] == await redis_client.mget([KEYS.jti(one) for one in ids])
    assert {700} == {await life(redis_client, KEYS.jti(one)) for one in ids}


@pytest.mark.parametrize("before", [0, 98, 99, 100, 101])
async def test_further_events_of_a_jti(redis_client: redis.asyncio.Redis, before: int) -> None:
    """The last hundred are found by the first one's id."""
    first = replace(logout(), id=eviction_id(ISS, "j1"))
    key = KEYS.further(first.id)
    await publish(redis_client, first)
    assert not await redis_client.exists(key)
    ids = [f"i{number}" for number in range(before)]
    if ids:
        await redis_client.set(key, " ".join(ids))
    later = replace(first, logout_at=AT + 1)
    await publish(redis_client, later)
    found: Any = await redis_client.get(key)
    assert [*ids, id_if_reused(later)][-100:] == found.decode().split(" ")
    assert 700 == await life(redis_client, key)


@pytest.mark.parametrize("accounts", ["ab", "abc"])
async def test_parts_are_further_events(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, accounts: str
) -> None:
    """All but the first."""
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 1)
    first = replace(logout(accounts=tuple(accounts)), id=eviction_id(ISS, "j1"))
    await publish(redis_client, first)
    ids = [f"{first.id}-{number + 1}" for number in range(1, len(accounts))]
    assert " ".join(ids).encode() == await redis_client.get(KEYS.further(first.id))


@pytest.mark.parametrize(
    ("retention", "stay"),
    [
        (replace(RETENTION, max_events=10**6, max_age_s=10**9), 301),
        (replace(RETENTION, max_events=10**6, max_age_s=500), 101),
        (replace(RETENTION, max_events=150, max_age_s=10**9), 201),
    ],
)  # fmt: skip
async def test_old_entries_go(redis_client: redis.asyncio.Redis, retention: Retention, stay: int) -> None:
    """By their age on Redis's clock, or beyond so many; a hundred at a time."""
    seconds, _ = await redis_client.time()
    async with redis_client.pipeline(transaction=False) as pipeline:
        for number in range(300):
            at_ms = (seconds - (10_000 if number < 200 else 100)) * 1000
            add: Any = pipeline.xadd
            add(KEYS.events, {"event": "e", "n": 1}, id=f"{at_ms}-{number + 1}")
        await pipeline.execute()
    await publish(redis_client, retention=retention)
    assert stay == await redis_client.xlen(KEYS.events)
