"""Find an event, or all of one `jti`: at their places where those are known, else by reading, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.events import stream
from receiver.bus.link.connection import failing_as
from receiver.core.cursor import order
from receiver.core.eviction import Eviction, eviction_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import redis.asyncio

    from receiver.bus.keys import KeyNames

CHUNK = 200
"""Entries fetched in one round trip: some 200 KiB. More would hold up what else this event loop has to do."""


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """An event and its place.

    Attributes:
        entry_id: Its id in the stream.
        eviction: What it says.
    """

    entry_id: str
    eviction: Eviction


@dataclass(frozen=True, slots=True)
class NotFound:
    """No such event among those that were looked at.

    Attributes:
        searched: How many were.
        complete: Whether the stream holds no others.
    """

    searched: int
    complete: bool


async def find(
    client: redis.asyncio.Redis, keys: KeyNames, text: str, issuers: Sequence[str]
) -> list[FoundEvent] | NotFound:
    """The event with this id, or those with this `jti`, by `look_up` or else by `search` through the whole stream.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    return await look_up(client, keys, text, issuers) or await search(client, keys, text)


async def look_up(client: redis.asyncio.Redis, keys: KeyNames, text: str, issuers: Sequence[str]) -> list[FoundEvent]:
    """The event with this id, or those with this `jti`, as far as their places are remembered (`events.dedupe_s`).

    Args:
        client: Any client without response decoding.
        keys: Key names.
        text: An event id, or the `jti` of a token.
        issuers: Those the token may be from.

    Returns:
        The newest first. Of a `jti` that was used again the last hundred for each issuer.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    found = []
    with failing_as("cannot read the event stream"):
        for place, event_id in await _places(client, keys, await _ids(client, keys, text, issuers)):
            entries: Any = await client.xrange(keys.events, place, place)
            for entry_id, fields in entries:
                eviction = stream.eviction_of(entry_id, fields)
                if eviction is not None and eviction.id == event_id:
                    found.append(FoundEvent(entry_id.decode(), eviction))
    return found


async def search(
    client: redis.asyncio.Redis, keys: KeyNames, text: str, *, most: int | None = None
) -> list[FoundEvent] | NotFound:
    """The newest event with this id, or those with this `jti`, by reading the stream from its end.

    Args:
        client: Any client without response decoding.
        keys: Key names.
        text: An event id, or the `jti` of a token.
        most: Entries to read at most; None reads all.

    Returns:
        At least one, the newest first.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    searched, wanted, complete = 0, text.encode(), True
    found: list[FoundEvent] = []
    with failing_as("cannot read the event stream"):
        async for entry_id, fields in _newest_first(client, keys):
            if searched == most:
                complete = False
                break
            searched += 1
            event = fields.get(b"event", b"")
            # To read every event as JSON would take ten times as long. Text that JSON escapes is not found as bytes.
            if wanted in event or b"\\" in event:
                eviction = stream.eviction_of(entry_id, fields)
                if eviction is not None and text in {eviction.id, eviction.jti}:
                    found.append(FoundEvent(entry_id.decode(), eviction))
                    if eviction.id == text:
                        break
    return found or NotFound(searched, complete=complete)


async def _ids(client: redis.asyncio.Redis, keys: KeyNames, text: str, issuers: Sequence[str]) -> list[str]:
    first = [eviction_id(issuer, text) for issuer in issuers]
    further: Any = await client.mget([keys.further(event_id) for event_id in first]) if first else []
    return [text, *first, *(other.decode(errors="replace") for line in further if line for other in line.split())]


async def _places(client: redis.asyncio.Redis, keys: KeyNames, event_ids: list[str]) -> list[tuple[bytes, str]]:
    """Where these events stand, as far as that is remembered, the newest first."""
    places: Any = await client.mget([keys.jti(event_id) for event_id in event_ids])
    there = [
        (place, event_id)
        for place, event_id in zip(places, event_ids, strict=True)
        if place is not None and stream.is_entry_id(place)
    ]
    return sorted(there, key=lambda pair: order(pair[0].decode()), reverse=True)


async def _newest_first(client: redis.asyncio.Redis, keys: KeyNames) -> AsyncIterator[tuple[bytes, dict[bytes, bytes]]]:
    before = "+"
    while True:
        entries: Any = await client.xrevrange(keys.events, before, "-", count=CHUNK)
        for entry_id, fields in entries:
            yield entry_id, fields
        if len(entries) < CHUNK:
            return
        before = f"({entries[-1][0].decode()}"
