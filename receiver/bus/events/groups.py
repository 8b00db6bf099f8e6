"""One worker of a consumer group: its share of the entries, what dead workers left, what the group has missed.

The group's members share the entries of the stream. How far the group has read and whether it missed entries
stands in Redis, because workers come and go; both are noted by the script that reads.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.events import stream
from receiver.bus.link.connection import failing_as, pipelined
from receiver.bus.lua import Script
from receiver.core.cursor import read_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import redis.asyncio

    from receiver.bus.keys import KeyNames

READ = Script.read("read_group")
CLAIM = Script.read("claim")
KEEP = Script.read("keep", "trimmed")
LEAVE = Script.read("leave_group", "trimmed")
RESET_DONE = Script.read("reset_done")

KEEP_AT_ONCE = 200
"""Entries renewed or handed back by one script; more of them would hold up others' commands."""

BATCH_BYTES = 128 * 1024
"""Bytes of entries after which one read gives no more. It goes over by seven entries at most."""

LOOK_AT_ONCE = 200
"""Entries that a claim looks at in one script call; more of them would hold up others' commands."""

FORGET_WORKER_S = 86_400
"""Seconds after which a silent worker that holds no entry is taken off the group's list."""

HANDED_BACK = 2**32
"""From here on Redis's delivery counter of an entry counts hand-overs and not tries.

The counter is the one number that stays with the entry. An older version takes so high a count for an entry that kills
its workers, and puts it with the dead letters.
"""

MAX_DEAD_LETTERS = 1000
"""Entries kept aside per group, the newest; more of them mean a fault of the app, not of the entries."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read gave.

    Attributes:
        entries: Oldest first; may be empty.
        reset: Names a reset this worker has to carry out now, because the group missed entries; empty for none.
        given: Id of the last entry given to any worker of the group.
    """

    entries: list[stream.Entry]
    reset: bytes
    given: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """An entry taken over from a worker that died or handed it back.

    Attributes:
        entry: The entry.
        tries: How often it has been handed out, this time included.
        hand_overs: How often workers have handed it back because they do not know its type.
    """

    entry: stream.Entry
    tries: int
    hand_overs: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a group is.

    Attributes:
        name: The group.
        lag: Entries published and not given to any of its workers yet, or given and not handled.
        dead_letters: Entries it could not handle.
        handled: Entries of all time that were published and do not wait for it; 0 where the number is lost.
        waits_s: Seconds since the oldest entry that it was not given yet was published; 0 where there is none.
    """

    name: str
    lag: int
    dead_letters: int
    handled: int = 0
    waits_s: float = 0.0


async def progress(client: redis.asyncio.Redis, keys: KeyNames) -> list[Progress]:
    """Every group of the event stream, by name.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    with failing_as("cannot read the groups"):
        if not await client.exists(keys.events):
            return []
        found: Any = await client.xinfo_groups(keys.events)
        by_name = {_text(group["name"]): group for group in found}
        names = sorted(by_name)
        asked: list[tuple[str | int, ...]] = [("GET", keys.sequence), ("TIME",)]
        for name in names:
            after = "(" + _text(by_name[name]["last-delivered-id"])
            asked += [("HGET", keys.group(name), "n"), ("LLEN", keys.dead_letters(name))]
            asked.append(("XRANGE", keys.events, after, "+", "COUNT", 1))
        published, now, *rest = await pipelined(client, asked)
    shown = []
    for name, number, dead, oldest in zip(names, rest[::3], rest[1::3], rest[2::3], strict=True):
        lag = _unread(by_name[name], published, number) + int(by_name[name]["pending"])
        waits_s = max(0.0, now[0] - stream.milliseconds(_text(oldest[0][0])) / 1000) if oldest else 0.0
        handled = max(0, (read_number(published) or 0) - lag)
        shown.append(Progress(name, lag, int(dead), handled, waits_s))
    return shown


def _unread(group: dict[str, Any], published: bytes | None, number: bytes | None) -> int:
    last, given, told = read_number(published), read_number(number), group.get("lag")
    # Redis 7 counts itself. After a deletion it says None, and some versions count for ever what was trimmed unread. A
    # group made by other means has no number.
    counts = [told] if isinstance(told, int) else []
    if last is not None and given is not None:
        counts.append(max(0, last - given))
    return min(counts, default=0)


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


class GroupMember:
    """One worker's part in a group. Every method may raise what `connection.Failure` names.

    Args:
        client: Any client without response decoding; its socket timeout is longer than the waits asked for.
        keys: Key names.
        group: Name of the group; made when it is not there.
        worker: Name of this worker, unique in the group.
        lookback_s: Seconds before its construction from which a new group reads, by Redis's clock.
        reset_lease_s: Seconds a worker has for a reset before another is asked.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: KeyNames,
        *,
        group: str,
        worker: str,
        lookback_s: float,
        reset_lease_s: float,
    ) -> None:
        self._client = client
        self._keys = keys
        self._group = group
        self._worker = worker
        self._begins_at = time.monotonic() - lookback_s
        self._reset_lease_ms = int(reset_lease_s * 1000)
        self._begins_from = ""
        self._generation = b""
        self._number = 0

    async def read(self, count: int) -> Batch:
        """Some entries no worker of the group was given yet, up to `count`, fewer where they are large. Does not wait.

        Makes a group that is missing.
        """
        if not self._begins_from:
            self._begins_from = await stream.position_since(self._client, self._begins_at)
        keys = (self._keys.events, self._keys.group(self._group))
        arguments = (
            *(self._group, self._worker, count, self._generation, self._number),
            *(self._begins_from, secrets.token_hex(8), self._reset_lease_ms, self._keys.sequence),
            BATCH_BYTES,
        )
        generation, number, reset, given, entries = await READ.run(self._client, keys, arguments)
        self._generation, self._number = generation, int(number)
        return Batch([_entry(*entry) for entry in entries], reset, given.decode())

    async def wait(self, given: str, *, block_ms: int) -> None:
        """Return when there is an entry after `given`, or after `block_ms` milliseconds."""
        await self._client.xread({self._keys.events: given}, count=1, block=max(1, block_ms))

    async def claim(self, *, idle_s: float) -> Claimed | None:
        """Take over one entry that shows no sign of life for so long; None when there is none."""
        keys = (self._keys.events, self._keys.group(self._group))
        arguments = (self._group, self._worker, int(idle_s * 1000), FORGET_WORKER_S * 1000, LOOK_AT_ONCE)
        found: Any = b"-"
        while isinstance(found, bytes):
            found = await CLAIM.run(self._client, keys, (*arguments, found))
        if not found:
            return None
        entry, count = _entry(found[0], found[2]), int(found[1])
        return Claimed(entry, 1, count - HANDED_BACK - 1) if count > HANDED_BACK else Claimed(entry, count)

    async def done(self, entry_ids: Iterable[str]) -> None:
        """These were handled; no worker gets them again."""
        await self._client.xack(self._keys.events, self._group, *entry_ids)

    async def keep(self, entry_ids: Sequence[str]) -> None:
        """A sign of life for these; what was handled meanwhile stays handled."""
        keys = (self._keys.events, self._keys.group(self._group))
        for some in (entry_ids[at : at + KEEP_AT_ONCE] for at in range(0, len(entry_ids), KEEP_AT_ONCE)):
            await KEEP.run(self._client, keys, (self._group, self._worker, "", *some))

    async def count(self, entry_id: str, tries: int) -> None:
        """Note before a further attempt which one it is, so that it counts even if it kills this process."""
        keys = (self._keys.events, self._keys.group(self._group))
        await KEEP.run(self._client, keys, (self._group, self._worker, tries, entry_id))

    async def hand_back(self, entry_id: str, hand_overs: int) -> None:
        """Leave an entry, not handled, to whichever worker takes it over after a while; this one keeps it no more."""
        await self.count(entry_id, HANDED_BACK + hand_overs)

    async def to_dead_letters(self, entry: stream.Entry, *, tries: int, error: str) -> None:
        """Move an entry that cannot be handled out of the way, for the operator to see."""
        letter = {
            "entry_id": entry.entry_id,
            "n": entry.number,
            "tries": tries,
            "error": error,
            "worker": self._worker,
            "event": entry.event.decode("utf-8", "replace"),
        }
        letters = self._keys.dead_letters(self._group)
        # In this order and without a transaction: at worst it stands there twice.
        await pipelined(
            self._client,
            [
                ("RPUSH", letters, json.dumps(letter)),
                ("LTRIM", letters, -MAX_DEAD_LETTERS, -1),
                ("XACK", self._keys.events, self._group, entry.entry_id),
            ],
        )

    async def reset_done(self, reset: bytes) -> None:
        """The reset was carried out."""
        await RESET_DONE.run(self._client, (self._keys.group(self._group),), (reset,))

    async def leave(self) -> None:
        """Hand back what this worker was given and has not handled."""
        keys = (self._keys.events, self._keys.group(self._group))
        left_from: Any = b"-"
        while isinstance(left_from, bytes):
            arguments = (self._group, self._worker, FORGET_WORKER_S * 1000, KEEP_AT_ONCE, left_from)
            left_from = await LEAVE.run(self._client, keys, arguments)


def _entry(entry_id: bytes, fields: list[bytes]) -> stream.Entry:
    # Scripts give fields and values in one list, in both protocols.
    return stream.to_entry(entry_id, dict(zip(fields[::2], fields[1::2], strict=True)))
