"""The script that publishes: whose sessions a logout ends, by what apps have registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.core.marks import digest
from tests.protocol.publish_script import (
    ALICE,
    AT,
    HOME,
    ISS,
    KEYS,
    SESSION,
    keys_of,
    left,
    line,
    logout,
    of_session,
    publish,
    registered,
)
from tests.support.published import evictions

if TYPE_CHECKING:
    import redis.asyncio


@pytest.mark.parametrize(
    ("text", "source", "ends", "damaged"),
    [
        (line(auth=AT), 0, True, 0), (line(auth=AT + 1), 0, False, 0), (line(auth=""), 0, True, 0),
        (line(auth=AT, began=AT + 1), 0, False, 0), (line(auth=AT + 1, began=AT), 0, True, 0),
        (line(auth=AT + 60), 1, True, 0), (line(auth=AT + 61), 1, False, 0),
        (line(auth=AT + 1, expires=AT), 0, None, 0), (line(auth=AT + 1, expires=AT + 1), 0, False, 0),
        (line(auth=AT + 1, expires="x"), 0, None, 0),
        ("damaged", 0, None, 1), (line() + "\tmore", 0, None, 1),
        (line(keys="k"), 0, None, 1), (line(app="c"), 0, None, 1), (line(app='"c","d"'), 0, None, 1),
        (line(keys=""), 0, None, 0), (line(keys='"k","l"'), 0, True, 0),
    ],
)  # fmt: skip
async def test_a_users_sessions(
    redis_client: redis.asyncio.Redis, *, text: str, source: int, ends: bool | None, damaged: int
) -> None:
    """Those that began until then end and are named; later ones stay; those over or damaged go, and stop nothing."""
    await registered(redis_client, ALICE, text)
    assert damaged == (await publish(redis_client, source=source)).damaged
    [event] = await evictions(redis_client)
    assert ("k" in keys_of(event)) == bool(ends)
    assert ([text] if ends is False else []) == await left(redis_client)


async def test_dates_that_are_not_there(redis_client: redis.asyncio.Redis) -> None:
    """They are the earliest there are."""
    await registered(redis_client, ALICE, line(auth=""), line("x", auth=1))
    await publish(redis_client, logout(logout_at=0), now_s=0)
    [event] = await evictions(redis_client)
    assert (["k"], []) == (keys_of(event), await left(redis_client))


async def test_some_of_a_users_sessions(redis_client: redis.asyncio.Redis) -> None:
    """In their order; and what stays is to the byte what it was."""
    later = [line(auth=AT + 1, keys=f'"later{number}"') for number in range(4)]
    ended = [line(keys='"a"'), line(keys='"b"', account=""), line(keys='"c"')]
    lines = [ended[0], *later[:2], ended[1], later[2], "x", ended[2], later[3]]
    await registered(redis_client, ALICE, *lines)
    assert 1 == (await publish(redis_client)).damaged
    [event] = await evictions(redis_client)
    assert (("a.b",), ["a", "b", "c"]) == (event.accounts, keys_of(event))
    assert later == await left(redis_client)


@pytest.mark.parametrize("client", ["c1", "c2"])
async def test_one_clients_sessions(redis_client: redis.asyncio.Redis, client: str) -> None:
    """Where a logout counts for one client the others' stay."""
    lines = {name: line(app=f'"{name}"', keys=f'"of {name}"') for name in ("c1", "c2")}
    await registered(redis_client, ALICE, *lines.values())
    await publish(redis_client, logout(client_id=client, applies_to="client"))
    [event] = await evictions(redis_client)
    assert [f"of {client}"] == keys_of(event)
    assert [text for name, text in lines.items() if name != client] == await left(redis_client)


@pytest.mark.parametrize(
    ("lines", "named", "stay", "is_known"),
    [
        ([line()], ["k"], [], False),
        ([line(sid="other", keys='"o"'), line()], ["k"], [0], False),
        # By auth_time, also where another beginning is known.
        ([line(auth=AT, began=AT + 1)], ["k"], [], False),
        ([line(auth=AT + 1)], [], [0], True),
        ([line(auth=AT + 1), line(keys='"l"')], ["l"], [0], True),
        ([line(keys='"l"'), line(auth=AT + 1)], ["l"], [1], True),
    ],
)
async def test_a_session(
    redis_client: redis.asyncio.Redis, lines: list[str], named: list[str], stay: list[int], *, is_known: bool
) -> None:
    """It ends for all its users, but where it was begun anew; the users' other sessions stay."""
    bob = digest("sub", ISS, "bob")
    await registered(redis_client, ALICE, *lines)
    await registered(redis_client, bob, line(keys='"of bob"'))

    reply = await publish(redis_client, of_session())

    [event] = await evictions(redis_client)
    assert [*named, "of bob"] == keys_of(event)
    assert (0, 0, 0) == (reply.damaged, reply.beyond, event.beyond)
    assert [lines[number] for number in stay] == await left(redis_client)
    assert is_known == await redis_client.hexists(KEYS.session_bucket(SESSION), SESSION)
    assert [f"{AT}".encode(), None] == await redis_client.mget(KEYS.mark(SESSION), KEYS.mark(ALICE))


@pytest.mark.parametrize("sub", ["alice", "bob", "carol"])
async def test_a_session_and_a_user(redis_client: redis.asyncio.Redis, sub: str) -> None:
    """Where it is known to be another user's both together are marked, and nothing of it ends."""
    user, is_foreign = digest("sub", ISS, sub), sub == "carol"
    for known in ("alice", "bob"):
        await registered(redis_client, digest("sub", ISS, known), line())
    await redis_client.hset(KEYS.index_bucket(SESSION), SESSION, f'{AT},{HOME} "indexed"')

    await publish(redis_client, logout(sub=sub, sid="s1", scope="session"))

    [event] = await evictions(redis_client)
    assert ([] if is_foreign else ["k", "k"]) == keys_of(event)
    assert ("indexed" in event.accounts) != is_foreign
    both = await redis_client.mget(KEYS.mark(SESSION), KEYS.mark(f"{SESSION}+{user}"))
    assert [not is_foreign, is_foreign] == [text is not None for text in both]
    assert is_foreign == bool(await left(redis_client))


async def test_a_user_by_a_session(redis_client: redis.asyncio.Redis) -> None:
    """A logout of a user that names a session, too, ends all of that user's, and marks both."""
    await registered(redis_client, ALICE, line(), line(sid="other", keys='"o"'))
    await publish(redis_client, logout(sid="s1"))
    [event] = await evictions(redis_client)
    assert ["k", "o"] == keys_of(event)
    assert [f"{AT}".encode()] * 3 == await redis_client.mget(*map(KEYS.mark, (SESSION, ALICE, HOME)))


async def test_a_session_that_is_not_known(redis_client: redis.asyncio.Redis) -> None:
    """It is marked, for apps that register late."""
    await publish(redis_client, logout(sid="s1", scope="session"))
    assert [f"{AT}".encode(), None] == await redis_client.mget(KEYS.mark(SESSION), KEYS.mark(f"{SESSION}+{ALICE}"))
