"""The script that notes removals: when and what was removed, and how often again since the latest logout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.removals import REMOVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio

Note = tuple[list[str], Any, Any, str, Any, list[str]]
"""Places, logout_at, until when it may be written back, 'again', since when unsure, sessions: as removed.lua says."""


def note(*places: str, at: Any, until: Any = 90, again: str = "", unsure: Any = "", sids: Sequence[str] = ()) -> Note:
    """One of these places."""
    return [*places], at, until, again, unsure, [*sids]


async def run(client: redis.asyncio.Redis, *notes: Note) -> None:
    """All in one call."""
    keys = [place for places, *_ in notes for place in places]
    arguments = [text for places, *head, sids in notes for text in (len(places), *head, len(sids), *sids)]
    await REMOVED.run(client, keys, (500, *arguments))


async def noted(client: redis.asyncio.Redis, place: str) -> dict[str, str]:
    """What is noted of it, and that it is kept for a while."""
    assert 400 < await client.ttl(place) <= 500
    fields: dict[Any, Any] = await client.hgetall(place)
    return {name.decode(): value.decode() for name, value in fields.items()}


TRIED = {"again": "3", "unsure": "2", "unsure_at": "60"}
FULL = {"at": "50", "until": "80", "sid x": "", **TRIED}


@pytest.mark.parametrize(
    ("before", "more", "after"),
    [
        ({}, note("p", at=50, sids=["x", "y"]), {"at": "50", "until": "90", "sid x": "", "sid y": ""}),
        ({}, note("p", at=0), {"at": "0", "until": "90"}),
        # An earlier logout, and the same one, leave the date and the tries; what they removed is added.
        (FULL, note("p", at=49, sids=["y"]), {**FULL, "until": "90", "sid y": ""}),
        (FULL, note("p", at=50), {**FULL, "until": "90"}),
        # The tries are for what the latest logout ended.
        (FULL, note("p", at=51), {"at": "51", "until": "90", "sid x": ""}),
        ({"at": "0", **TRIED}, note("p", at=1), {"at": "1", "until": "90"}),
        # It came back and was removed again: what was in flight is not so any longer.
        (FULL, note("p", at=50, again="again"), {**FULL, "again": "4"}),
        (FULL, note("p", at=51, again="again"), {**FULL, "at": "51", "again": "4"}),
        (FULL, note("p", at=50, again="again", unsure=70), {**FULL, "again": "4", "unsure": "3", "unsure_at": "70"}),
        (
            {}, note("p", at=50, again="again", unsure=70),
            {"at": "50", "again": "1", "unsure": "1", "unsure_at": "70"},
        ),
        # Further sessions of a note, behind its head or before it.
        (FULL, note("p", at=51, until="", sids=["y"]), {**FULL, "sid y": ""}),
        ({}, note("p", at=51, until="", sids=["y"]), {"sid y": ""}),
        # What is no date is as if it were not there; so is what is no count.
        ({"at": "999999999999"}, note("p", at=50), {"at": "999999999999", "until": "90"}),
        ({"at": "9" * 13, **TRIED}, note("p", at=50), {"at": "50", "until": "90", **TRIED}),
        (
            {"at": "5x", "again": "x3", "unsure": ""}, note("p", at=50, again="again", unsure=70),
            {"at": "50", "again": "1", "unsure": "1", "unsure_at": "70"},
        ),
        ({"again": "9" * 20}, note("p", at=50, again="again"), {"at": "50", "again": "1"}),
    ],
)  # fmt: skip
async def test_a_note(
    redis_client: redis.asyncio.Redis, before: dict[Any, Any], more: Note, after: dict[str, str]
) -> None:
    """What is noted beside what was."""
    if before:
        await redis_client.hset("p", mapping=before)

    await run(redis_client, more)

    assert after == await noted(redis_client, "p")


async def test_several_notes(redis_client: redis.asyncio.Redis) -> None:
    """Each place has its own, whatever else is in the same call."""
    await run(
        redis_client, note("a", "b", at=50, sids=["x", "y"]), note("c", at=60, until=95, again="again"),
        note("d", at=70, until="", sids=["z"]), note("e", at=80, again="again", unsure=77),
    )  # fmt: skip

    both = {"at": "50", "until": "90", "sid x": "", "sid y": ""}
    expected = [
        *(both, both, {"at": "60", "again": "1"}),
        *({"sid z": ""}, {"at": "80", "again": "1", "unsure": "1", "unsure_at": "77"}),
    ]
    assert expected == [await noted(redis_client, place) for place in "abcde"]


async def test_a_note_without_anything_to_add(redis_client: redis.asyncio.Redis) -> None:
    """Further sessions that are none change nothing, and are no error."""
    await run(redis_client, note("a", at=50, until=""))
    assert not await redis_client.exists("a")
