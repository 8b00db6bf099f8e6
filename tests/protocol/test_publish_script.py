"""The script that publishes: repeats, marks and the epoch."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.marks import client_suffix
from receiver.core.repeats import id_if_reused, subject_of
from tests.protocol.publish_script import ALICE, AT, ISS, KEYS, RETENTION, Reply, life, logout, publish
from tests.support.published import evictions

if TYPE_CHECKING:
    import redis.asyncio


@pytest.mark.parametrize(
    ("text", "noted", "source", "after"),
    [
        (None, None, 0, f"{AT}"), (None, None, 1, f"{AT}.0001"), (None, None, 2, f"{AT}.0002"),
        (f"{AT - 1}", None, 0, f"{AT}"), (f"{AT - 1}.0052", None, 0, f"{AT}"), ("damaged", None, 0, f"{AT}"),
        # No earlier date: the further digits count.
        (f"{AT}", None, 0, f"{AT}.0010"), (f"{AT}.0010", None, 0, f"{AT}.0020"),
        (f"{AT + 1}", None, 0, f"{AT + 1}.0010"),
        (f"{AT}.9980", None, 0, f"{AT}.9990"), (f"{AT}.9990", None, 0, f"{AT + 1}"), (f"{AT}.5", None, 0, f"{AT}.0010"),
        # Of both clocks the stricter one.
        (f"{AT}.0001", None, 0, f"{AT}.0010"), (f"{AT}.0001", None, 2, f"{AT}.0011"),
        (f"{AT}.0002", None, 2, f"{AT}.0012"),
        (f"{AT}", None, 2, f"{AT}.0010"), (f"{AT}.9992", None, 1, f"{AT + 1}.0001"),
        # Later than what a sign-in is noted as newer than.
        (None, f"{AT}.0030", 0, f"{AT}.0040"), (f"{AT}.0010", f"{AT}.0030", 0, f"{AT}.0040"),
        (f"{AT}.0030", f"{AT}.0010", 0, f"{AT}.0040"), (f"{AT}.0010", f"{AT}.001", 0, f"{AT}.0020"),
        (None, f"{AT - 1}", 0, f"{AT}"), (None, "damaged", 0, f"{AT}"),
    ],
)  # fmt: skip
async def test_a_mark_grows(
    redis_client: redis.asyncio.Redis, *, text: str | None, noted: str | None, source: int, after: str
) -> None:
    """With every logout, also with an earlier date."""
    for name, there in ((KEYS.mark(ALICE), text), (KEYS.anew(ALICE), noted)):
        if there:
            await redis_client.set(name, there)
    await publish(redis_client, source=source)
    assert after.encode() == await redis_client.get(KEYS.mark(ALICE))


@pytest.mark.parametrize(
    ("now_s", "mark_s", "kept_s"),
    [
        (AT, 10_000, 10_000), (AT + 2000, 10_000, 8000), (AT - 2000, 10_000, 10_000), (AT + 10**6, 10_000, 3600),
        (AT + 10**6, 600, 600),
    ],
)  # fmt: skip
async def test_how_long_a_mark_is_kept(redis_client: redis.asyncio.Redis, now_s: int, mark_s: int, kept_s: int) -> None:
    """From its date on, an hour at least, or as long as any."""
    await publish(redis_client, now_s=now_s, retention=replace(RETENTION, mark_s=mark_s))
    left_ms = await redis_client.pttl(KEYS.mark(ALICE))
    # Rounded up: a moment has passed.
    assert kept_s == -(-left_ms // 1000)


async def test_marks_of_one_client(redis_client: redis.asyncio.Redis) -> None:
    """A logout that counts for one client marks for that one only."""
    suffix = client_suffix("c1")
    await redis_client.set(KEYS.anew(ALICE) + suffix, f"{AT}.0030")
    await publish(redis_client, logout(client_id="c1", applies_to="client"))
    assert [None, f"{AT}.0040".encode()] == await redis_client.mget(KEYS.mark(ALICE), KEYS.mark(ALICE, suffix))


@pytest.mark.parametrize("there", [(), (KEYS.events,), (KEYS.sequence,), (KEYS.epoch,)])
async def test_the_epoch(redis_client: redis.asyncio.Redis, there: tuple[str, ...]) -> None:
    """The first event in a Redis that lost everything does not hide that."""
    await redis_client.delete(KEYS.epoch)
    if KEYS.events in there:
        await redis_client.xgroup_create(KEYS.events, "g", mkstream=True)
    elif there:
        await redis_client.set(there[0], 5)
    await publish(redis_client, now_s=AT + 7)
    epoch = await redis_client.get(KEYS.epoch)
    assert (str(AT + 7).encode() if not there else b"5" if there == (KEYS.epoch,) else None) == epoch


FURTHER = KEYS.further("e1")


async def test_a_repeat(redis_client: redis.asyncio.Redis) -> None:
    """Of the same or an earlier date: nothing is appended; it is remembered for as long as a new one."""
    first = await publish(redis_client, logout(id="e1"))
    assert (0, "e1", 0, 0, 0) == first[1:]
    remembered = (KEYS.jti("e1"), KEYS.logout(subject_of(logout())))
    assert [700, 700] == [await life(redis_client, name) for name in remembered]
    mark = await redis_client.get(KEYS.mark(ALICE))
    for earlier in (0, 1):
        for name in remembered:
            await redis_client.expire(name, 100)
        again = await publish(redis_client, logout(logout_at=AT - earlier))
        assert again == Reply(first.place, 1, "e1", 0, 0, 0)
        assert [700, 700] == [await life(redis_client, name) for name in remembered]
    assert (1, mark) == (await redis_client.xlen(KEYS.events), await redis_client.get(KEYS.mark(ALICE)))


async def test_another_logout_of_the_same_jti(redis_client: redis.asyncio.Redis) -> None:
    """A later one, or another user's, has an id of its own, and is known when it comes again."""
    later, other = logout(logout_at=AT + 1), logout(sub="bob")
    await publish(redis_client)
    places = []
    for one in (later, other):
        reply = await publish(redis_client, one)
        assert (0, id_if_reused(one), 1, 0, 0) == reply[1:]
        places.append(reply.place)
    for one, place in zip((later, other), places, strict=True):
        assert Reply(place, 1, id_if_reused(one), 0, 0, 0) == await publish(redis_client, one)
    # The first is none after the later one, and the other one not with its own key of the subject gone.
    assert places[0] == (await publish(redis_client)).place
    await redis_client.delete(KEYS.logout(subject_of(other)))
    assert Reply(places[1], 1, id_if_reused(other), 0, 0, 0) == await publish(redis_client, other)
    assert ["e1", id_if_reused(later), id_if_reused(other)] == [event.id for event in await evictions(redis_client)]


async def test_without_a_jti(redis_client: redis.asyncio.Redis) -> None:
    """The id alone says what it is."""
    first = await publish(redis_client, logout(jti=None))
    assert Reply(first.place, 1, "e1", 0, 0, 0) == await publish(redis_client, logout(jti=None, logout_at=AT + 9))
    assert [KEYS.jti("e1").encode()] == await redis_client.keys("*:jti:*")
    assert [] == await redis_client.keys("*:logout:*") + await redis_client.keys("*:further:*")


CHANGED: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True), ({"logout_at": AT + 1}, {}, True), ({"logout_at": AT - 1}, {}, False), ({"sub": "bob"}, {}, False),
    ({"jti": "j2"}, {}, False), ({"iss": "other"}, {}, False), ({"sid": "s1"}, {}, False),
    ({"client_id": "c1"}, {}, True), ({"client_id": "c1", "applies_to": "client"}, {}, False),
    ({"client_id": "c1"}, {"client_id": "c1"}, True), ({"client_id": "c2"}, {"client_id": "c1"}, False),
    ({"client_id": None}, {"client_id": "c1"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("there", "mine", "same"), CHANGED)
async def test_beside_an_earlier_release(
    redis_client: redis.asyncio.Redis, there: dict[str, Any], mine: dict[str, Any], *, same: bool
) -> None:
    """It left an event and the key of its id; what is a repeat is told by the event."""
    data = {
        "iss": ISS, "jti": "j1", "sub": "alice", "sid": None, "client_id": None, "applies_to": "tenant",
        "logout_at": AT, **there,
    }  # fmt: skip
    place: Any = await redis_client.xadd(KEYS.events, {"n": 1, "event": json.dumps({"id": "e1", "data": data})})
    await redis_client.set(KEYS.jti("e1"), place)

    reply = await publish(redis_client, logout(**mine))

    assert ((place.decode(), 1, "e1") if same else (0, 1)) == (reply[:3] if same else (reply.repeated, reply.reused))
    noted: Any = await redis_client.get(KEYS.logout(subject_of(logout(**mine))))
    assert noted.decode() == (f"{data['logout_at']} e1" if same else f"{AT} {id_if_reused(logout(**mine))}")


@pytest.mark.parametrize("event", ["x", "5", "[]", '{"data":5}', '{"data":{"logout_at":"x"}}', None])
async def test_beside_an_event_that_cannot_be_read(redis_client: redis.asyncio.Redis, event: str | None) -> None:
    """It counts as another one's."""
    place: Any = await redis_client.xadd(KEYS.events, {"n": 1, "event": event} if event else {"n": 1})
    await redis_client.set(KEYS.jti("e1"), place)
    assert 1 == (await publish(redis_client)).reused


async def test_beside_an_earlier_event_that_is_gone(redis_client: redis.asyncio.Redis) -> None:
    """It may have been any logout."""
    await redis_client.set(KEYS.jti("e1"), "5-1")
    assert 1 == (await publish(redis_client)).reused
