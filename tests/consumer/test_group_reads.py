"""The script by which a group reads, one call at a time: what is given, what was missed, and who does the reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import redis.asyncio

from receiver.bus.events.groups import READ
from receiver.bus.keys import KeyNames
from tests.support.script_clock import NOW_MS, standing_still

if TYPE_CHECKING:
    from receiver.bus.link.embedded import EmbeddedRedis

EVENTS, SEQUENCE = KeyNames().events, KeyNames().sequence
STATE = KeyNames().group("g")
LEASE_MS = 5000


class Batch(NamedTuple):
    """What the script returns."""

    generation: str
    number: int
    reset: str
    given: str
    ids: list[str]


async def read(
    client: redis.asyncio.Redis, *, count: int = 9, knows: str = "", seen: int = 0, begins: str = "+",
    room: int = 10**6, make: str = "new",
) -> Batch:  # fmt: skip
    """One read of the worker `w`; the generation and the number it knows are the next three."""
    arguments = ("g", "w", count, knows, seen, begins, make, LEASE_MS, SEQUENCE, room)
    generation, number, reset, given, entries = await standing_still(READ).run(client, [EVENTS, STATE], arguments)
    ids = [entry_id.decode() for entry_id, _ in entries]
    return Batch(generation.decode(), int(number), reset.decode(), given.decode(), ids)


async def add(client: redis.asyncio.Redis, entry_id: str, number: str | int | None, event: str = "e") -> None:
    """An entry with this number, or with none."""
    fields: dict[Any, Any] = {"event": event, **({} if number is None else {"n": number})}
    await client.xadd(EVENTS, fields, id=entry_id)


async def has_read(client: redis.asyncio.Redis, state: dict[Any, Any], up_to: str = "0-0") -> None:
    """There is a group of generation `gen` that was given what there is up to this id, with this state beside that."""
    await client.xgroup_create(EVENTS, "g", id=up_to, mkstream=True)
    await client.hset(STATE, mapping={"generation": "gen", **state})


async def state(client: redis.asyncio.Redis) -> dict[str, str]:
    """All of it."""
    fields: dict[Any, Any] = await client.hgetall(STATE)
    return {name.decode(): value.decode() for name, value in fields.items()}


LARGEST = 10**15 - 1


@pytest.mark.parametrize(
    ("noted", "numbers", "after", "is_gap"),
    [
        ({"n": 5}, [6], {"n": "6"}, False),
        ({"n": 5}, [6, 7], {"n": "7"}, False),
        ({"n": 5}, [7], {"n": "7"}, True),
        ({"n": 5}, [6, 8, 9], {"n": "9"}, True),
        ({"n": 5}, [5], {"n": "5"}, True),
        ({"n": 5}, [4], {"n": "4"}, True),
        ({"n": 0}, [1], {"n": "1"}, False),
        ({"n": 0}, [2], {"n": "2"}, True),
        # Nothing is known of what was before.
        ({}, [7], {"n": "7"}, False),
        ({"n": "x"}, [7], {"n": "7"}, False),
        ({"n": "07"}, [9], {"n": "9"}, False),
        ({"n": LARGEST}, [3], {"n": "3"}, True),
        ({"n": LARGEST + 1}, [3], {"n": "3"}, False),
        # One without a readable number may have any that follows.
        ({"n": 5}, [None], {"n": "5", "unnumbered": "5 1"}, False),
        ({"n": 5}, ["x", None, "07"], {"n": "5", "unnumbered": "5 3"}, False),
        ({"n": 5}, [None, 7], {"n": "7"}, False),
        ({"n": 5}, [None, 6], {"n": "6"}, False),
        ({"n": 5}, [None, 8], {"n": "8"}, True),
        ({"n": 5}, [None, 7, 9], {"n": "9"}, True),
        ({"n": 5}, [None, 7, None], {"n": "7", "unnumbered": "7 1"}, False),
        ({"n": 5, "unnumbered": "5 2"}, [None], {"n": "5", "unnumbered": "5 3"}, False),
        ({"n": 5, "unnumbered": "5 2"}, [8], {"n": "8", "unnumbered": "5 2"}, False),
        ({"n": 5, "unnumbered": "5 2"}, [9], {"n": "9", "unnumbered": "5 2"}, True),
        # Another version went on and left what was there.
        ({"n": 5, "unnumbered": "4 2"}, [7], {"n": "7", "unnumbered": "4 2"}, True),
        ({"n": 5, "unnumbered": "x"}, [7], {"n": "7", "unnumbered": "x"}, True),
        ({}, [None], {}, False),
        ({"n": LARGEST - 1}, [LARGEST], {"n": str(LARGEST)}, False),
        ({"n": LARGEST}, [LARGEST + 1], {"n": str(LARGEST), "unnumbered": f"{LARGEST} 1"}, False),
    ],
)
async def test_numbers_that_follow(
    redis_client: redis.asyncio.Redis, noted: dict[str, Any], numbers: list[Any], after: dict[str, str], *, is_gap: bool
) -> None:
    """The last number is noted, and how many entries came without one; what is missing causes one reset."""
    await has_read(redis_client, noted)
    for at, number in enumerate(numbers):
        await add(redis_client, f"{at + 1}-1", number)

    batch = await read(redis_client, knows="gen")

    told = {"resets": "1", "reset": "1", "lease": f"{NOW_MS + LEASE_MS}"} if is_gap else {}
    assert {"generation": "gen", **after, **told} == await state(redis_client)
    ids = [f"{at + 1}-1" for at in range(len(numbers))]
    assert batch == Batch("gen", int(after.get("n", 0)), "1" if is_gap else "", ids[-1], ids)


@pytest.mark.parametrize(("count", "room", "given"), [
    (1, 10**6, 1), (8, 10**6, 8), (9, 10**6, 9), (99, 10**6, 20), (17, 10**6, 17),
    # An entry has 10 bytes; a page of eight is read in any case, and no further one once there is no room.
    (99, 1, 8), (99, 80, 8), (99, 81, 16), (99, 160, 16), (99, 161, 20), (9, 81, 9),
])  # fmt: skip
async def test_how_many_are_given(redis_client: redis.asyncio.Redis, count: int, room: int, given: int) -> None:
    """As many as asked for, fewer where they are large; the next read goes on there."""
    await has_read(redis_client, {"n": 0})
    for number in range(1, 21):
        await add(redis_client, f"{number}-1", number, event="123" if number < 10 else "12")

    batch = await read(redis_client, count=count, room=room)

    assert ([f"{number}-1" for number in range(1, given + 1)], f"{given}-1") == (batch.ids, batch.given)
    held: Any = await redis_client.xpending(EVENTS, "g")
    assert [(b"w", given)] == [(one["name"], one["pending"]) for one in held["consumers"]]
    rest = await read(redis_client, count=99)
    assert [f"{number}-1" for number in range(given + 1, 21)] == rest.ids


async def test_nothing_new(redis_client: redis.asyncio.Redis) -> None:
    """Then the last entry that the group was given is named, whichever other groups there are; nothing is written."""
    await add(redis_client, "3-1", 1)
    await has_read(redis_client, {"n": 1}, "3-1")
    for other in ("a", "z"):
        await redis_client.xgroup_create(EVENTS, other, id="0-0")

    assert Batch("gen", 1, "", "3-1", []) == await read(redis_client, knows="gen", seen=1)
    assert {"generation": "gen", "n": "1"} == await state(redis_client)


@pytest.mark.parametrize(
    ("begins", "number", "given", "ids"),
    [
        ("+", 3, "3-1", []), ("3-0", 2, "3-1", ["3-1"]), ("2-1", 2, "3-1", ["3-1"]), ("1-1", 1, "3-1", ["2-1", "3-1"]),
        # Older than all: it begins with the first one, and knows the number before it.
        ("0-5", 0, "3-1", ["1-1", "2-1", "3-1"]),
    ],
)  # fmt: skip
async def test_a_new_group(
    redis_client: redis.asyncio.Redis, begins: str, number: int, given: str, ids: list[str]
) -> None:
    """It begins behind a position, knows the number there, and has missed nothing."""
    for at in (1, 2, 3):
        await add(redis_client, f"{at}-1", at)

    assert Batch("new", 3 if ids else number, "", given, ids) == await read(redis_client, begins=begins)
    assert {"generation": "new", "n": "3"} == await state(redis_client)


@pytest.mark.parametrize(
    ("numbers", "n", "unnumbered"), [([4, None, None], "4", "4 2"), ([None, 4, 5], "5", None), ([None], None, None)]
)
async def test_a_new_group_among_entries_without_numbers(
    redis_client: redis.asyncio.Redis, numbers: list[Any], n: str | None, unnumbered: str | None
) -> None:
    """Those before its beginning count as if it had read them."""
    for at, number in enumerate(numbers):
        await add(redis_client, f"{at + 1}-1", number)
    await read(redis_client)
    expected = {"generation": "new", "n": n, "unnumbered": unnumbered}
    assert {name: text for name, text in expected.items() if text} == await state(redis_client)


@pytest.mark.parametrize(
    ("first", "sequence", "n"),
    [
        ([7], None, "6"), ([None, 7], None, "6"), ([1], None, "0"), ([None], "9", None), ([], None, "0"),
        ([], "0", "0"), ([], "8", "8"), ([], "x", None), ([], LARGEST, str(LARGEST)), ([], LARGEST + 1, None),
    ],
)  # fmt: skip
async def test_the_number_before_all(
    redis_client: redis.asyncio.Redis, first: list[Any], sequence: Any, n: str | None
) -> None:
    """Of the entry before the first one; on an empty stream the last that was given; where it cannot be told, none."""
    if sequence is not None:
        await redis_client.set(SEQUENCE, sequence)
    for at, number in enumerate(first):
        await add(redis_client, f"{at + 2}-1", number)
    # It was given nothing, as it begins before all of them; and reads nothing yet.
    batch = await read(redis_client, begins="1-1", count=1)

    known = n if batch.ids == [] or first[0] is None else str(first[0])
    more = {"unnumbered": f"{n} 1"} if first[:1] == [None] and n else {}
    assert ({"generation": "new", "n": known, **more} if known else {"generation": "new"}) == await state(redis_client)


async def test_without_a_right_to_the_sequence(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """It reads all the same, and does not know the number."""
    await redis_client.set(SEQUENCE, 8)
    await redis_client.acl_setuser(
        "reader", enabled=True, passwords=["+secret"], categories=["+@all"], keys=[EVENTS, STATE]
    )
    limited = redis.asyncio.Redis(host="127.0.0.1", port=redis_server.port, username="reader", password="secret")
    assert Batch("new", 0, "", "0-0", []) == await read(limited)
    assert {"generation": "new"} == await state(redis_client)
    await limited.aclose()
    await redis_client.acl_deluser("reader")


async def test_another_error(redis_client: redis.asyncio.Redis) -> None:
    """What is no missing group is the caller's."""
    await redis_client.set(EVENTS, "x")
    with pytest.raises(redis.asyncio.ResponseError, match="WRONGTYPE"):
        await read(redis_client)
    assert {} == await state(redis_client)


TOLD = {"resets": "1", "reset": "1", "lease": f"{NOW_MS + LEASE_MS}"}


@pytest.mark.parametrize(
    ("known", "knows", "more"),
    [
        ({"generation": "gen", "n": "9"}, "", {}), ({}, "gen", {"lost": "gen"}),
        ({"generation": "gen", "n": "9"}, "gen", {"lost": "gen"}), ({"unnumbered": "3 1"}, "gen", {"lost": "gen"}),
    ],
)  # fmt: skip
async def test_a_group_that_is_lost(
    redis_client: redis.asyncio.Redis, known: dict[Any, Any], knows: str, more: dict[str, str]
) -> None:
    """State or worker knows of an earlier one: all there is gets read, and one reset is due."""
    if known:
        await redis_client.hset(STATE, mapping=known)
    await add(redis_client, "1-1", 3)

    assert Batch("new", 3, "1", "1-1", ["1-1"]) == await read(redis_client, knows=knows, seen=9)
    kept = {name: text for name, text in known.items() if name == "unnumbered"}
    assert {"generation": "new", "n": "3", **TOLD, **more, **kept} == await state(redis_client)


async def test_a_number_that_is_lost(redis_client: redis.asyncio.Redis) -> None:
    """Where the one before all cannot be told, that of the earlier group does not stay."""
    await redis_client.hset(STATE, mapping={"generation": "gen", "n": "9"})
    await add(redis_client, "1-1", None)

    assert Batch("new", 0, "1", "1-1", ["1-1"]) == await read(redis_client)
    assert {"generation": "new", **TOLD} == await state(redis_client)


@pytest.mark.parametrize(
    ("noted", "seen", "generation", "more"),
    [
        # Made anew by something else, and not told yet; or told by another worker.
        ({"n": 5}, 0, "gen", TOLD),
        ({"n": 5, "lost": "before"}, 0, "gen", {"lost": "before", **TOLD}),
        ({"n": 5, "lost": "old"}, 0, "gen", {"lost": "old"}),
        ({"n": 5, "lost": "old"}, 9, "gen", {"lost": "old"}),
    ],
)
async def test_a_group_of_another_generation(
    redis_client: redis.asyncio.Redis, noted: dict[str, Any], seen: int, generation: str, more: dict[str, str]
) -> None:
    """Who knows an earlier one tells once that it is gone."""
    await has_read(redis_client, noted)
    batch = await read(redis_client, knows="old", seen=seen)
    assert (generation, 5, more.get("reset", "")) == batch[:3]
    assert {"generation": "gen", "n": "5", **more} == await state(redis_client)


@pytest.mark.parametrize(
    ("noted", "seen", "is_older"), [({"n": 5}, 5, False), ({"n": 5}, 6, True), ({}, 0, False), ({}, 1, True)]
)
async def test_a_group_from_an_older_copy(
    redis_client: redis.asyncio.Redis, noted: dict[str, Any], seen: int, *, is_older: bool
) -> None:
    """The worker has seen a higher number: the group is another one from now on, and one reset is due."""
    await has_read(redis_client, noted)

    batch = await read(redis_client, knows="gen", seen=seen)

    told = {"generation": "new", "lost": "gen", **TOLD} if is_older else {"generation": "gen"}
    assert {**{name: str(value) for name, value in noted.items()}, **told} == await state(redis_client)
    assert told["generation"] == batch.generation
    # Once is enough: who knows the new one, and who knows the old one, hear no more of it.
    for knows in ("new", "gen") if is_older else ("gen",):
        await read(redis_client, knows=knows, seen=0, make="newer")
    assert {**{name: str(value) for name, value in noted.items()}, **told} == await state(redis_client)


async def test_a_worker_that_knows_nothing(redis_client: redis.asyncio.Redis) -> None:
    """It takes the generation that there is, or names one where a group was made by other means."""
    await has_read(redis_client, {"n": 5})
    assert Batch("gen", 5, "", "0-0", []) == await read(redis_client, seen=9)
    await redis_client.hdel(STATE, "generation")
    assert Batch("new", 5, "", "0-0", []) == await read(redis_client)
    assert {"generation": "new", "n": "5"} == await state(redis_client)


@pytest.mark.parametrize(
    ("lease", "is_given"),
    [
        (None, True),
        (NOW_MS, True),
        (NOW_MS + 1, False),
        (NOW_MS + LEASE_MS, False),
        (NOW_MS + LEASE_MS + 1, True),
        ("x", True),
        ("", True),
    ],
)
async def test_who_does_the_reset(redis_client: redis.asyncio.Redis, lease: Any, *, is_given: bool) -> None:
    """One that is due is given to one worker at a time."""
    noted = {"reset": "3", "resets": "3", **({} if lease is None else {"lease": lease})}
    await has_read(redis_client, noted)

    assert ("3" if is_given else "") == (await read(redis_client, knows="gen")).reset
    expected = f"{NOW_MS + LEASE_MS}" if is_given else str(lease)
    assert {"generation": "gen", "reset": "3", "resets": "3", "lease": expected} == await state(redis_client)


async def test_none_is_due(redis_client: redis.asyncio.Redis) -> None:
    """Then nothing is leased."""
    await has_read(redis_client, {"reset": ""})
    assert "" == (await read(redis_client, knows="gen")).reset
    assert {"generation": "gen", "reset": ""} == await state(redis_client)


@pytest.mark.parametrize(("resets", "next_one"), [("3", "4"), ("x", "1"), ("", "1")])
async def test_a_further_reset(redis_client: redis.asyncio.Redis, resets: str, next_one: str) -> None:
    """It has a number of its own, and the lease of the one before does not hold it up; a damaged number is none."""
    await has_read(redis_client, {"n": 5, "reset": resets, "resets": resets, "lease": NOW_MS + 99})
    await add(redis_client, "1-1", 7)

    assert next_one == (await read(redis_client, knows="gen")).reset
    noted = {"reset": next_one, "resets": next_one, "lease": f"{NOW_MS + LEASE_MS}"}
    assert {"generation": "gen", "n": "7", **noted} == await state(redis_client)
