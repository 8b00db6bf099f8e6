"""Acknowledgements: which instance of which app has acted on which event, and who is listening at all."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.events import stream
from receiver.bus.link import exchange
from receiver.bus.link.connection import failing_as, pipelined
from receiver.bus.lua import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio

    from receiver.bus.keys import KeyNames

log = logging.getLogger("receiver.acks")

ACKNOWLEDGE = Script.read("acknowledge")

KEEP_S = 7 * 86_400
"""Seconds the acknowledgements of an event are kept; as long as the stream keeps the event by default."""

PAGE = 50
"""Events per round trip that gives their acknowledgements a lifetime. To read them holds the event loop, about a
millisecond for 50."""

MAX_ACKS = 10_000
"""Acknowledgements kept until a receiver takes them for its metric; they take them within a second or so."""


UNKNOWN = "unknown "
"""What an acknowledgement begins with that is one in part; the names of what is unknown follow."""

_MILLISECONDS = re.compile(rb"[0-9]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ack:
    """One event acted on.

    Attributes:
        event_id: Its id.
        entry_id: Its stream id.
        received_at: NumericDate seconds when the receiver took it in.
        handled_at: Seconds of a monotonic clock when the handler had returned.
        unknown: Names of the caches where the user may still be; joined by commas.
    """

    event_id: str
    entry_id: str
    received_at: float
    handled_at: float
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class AckSource:
    """Who acknowledges.

    Attributes:
        app: The app's name.
        worker: This process: `hostname-pid-random`.
        group: Its consumer group, which answers as one; None for a process that answers for itself.
        since: Seconds of a monotonic clock when it began to listen.
    """

    app: str
    worker: str
    group: str | None
    since: float

    @property
    def instance(self) -> str:
        """What answers: the worker, or `@` and its group."""
        return self.worker if self.group is None else f"@{self.group}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One that listens, or did.

    Attributes:
        app: The app's name.
        instance: A process, or `@` and a group.
        since_ms: Milliseconds when it was first heard of.
        last_seen_ms: Milliseconds when it was last heard of.
    """

    app: str
    instance: str
    since_ms: float
    last_seen_ms: float


@dataclass(frozen=True, slots=True)
class Observed:
    """An acknowledgement as the receivers count it.

    Attributes:
        app: The app's name, as the app gave it.
        after_s: Seconds from receipt to acknowledgement; None where it says nothing, because the process that
            acknowledged was not there yet when the event was published.
    """

    app: str
    after_s: float | None


@dataclass(frozen=True, slots=True)
class LastHeard:
    """Who was heard of, and when.

    Attributes:
        now_s: NumericDate seconds on Redis's clock.
        at: App to NumericDate seconds on the same clock.
    """

    now_s: float
    at: dict[str, float]


def text(name: bytes) -> str:
    """A name that apps gave themselves; bytes that are no UTF-8 are replaced."""
    return name.decode("utf-8", "replace")


def is_milliseconds(value: bytes) -> bool:
    """Whether this is a time, or a span of it, as our scripts write them."""
    return _MILLISECONDS.fullmatch(value) is not None


def split(member: str) -> tuple[str, str]:
    """App and instance of `app/instance`; the instance holds no slash."""
    app, _, instance = member.rpartition("/")
    return app, instance


async def acknowledge(
    client: redis.asyncio.Redis, keys: KeyNames, listener: AckSource, acks: Sequence[Ack], *, now: float
) -> None:
    """Record that this listener lives and has acted on these events, in one round trip.

    The first acknowledgement of an event by an instance counts; a repeat changes nothing.

    Args:
        client: Any client.
        keys: Key names.
        listener: Who.
        acks: May be empty: a heartbeat.
        now: Seconds of the monotonic clock that dated the others.
    """
    arguments: list[str | int] = [
        *(listener.app, listener.instance, listener.worker, int((now - listener.since) * 1000)),
        MAX_ACKS,
    ]
    in_part = [ack for ack in acks if ack.unknown]
    for ack in acks:
        if ack.unknown:
            continue
        arguments += [
            ack.event_id,
            int((now - ack.handled_at) * 1000),
            int(ack.received_at * 1000),
            stream.milliseconds(ack.entry_id),
        ]
    await exchange.run(client, ACKNOWLEDGE, (keys.acks, keys.instances, keys.instances_since), arguments)
    if in_part:
        member = f"{listener.app}/{listener.instance}"
        # No time, so that readers that know nothing of this take it for no answer.
        noted = [("HSETNX", keys.acks_of(ack.event_id), member, UNKNOWN + ack.unknown) for ack in in_part]
        await pipelined(client, [*noted, *(("EXPIRE", keys.acks_of(ack.event_id), KEEP_S) for ack in in_part)])


async def leave(client: redis.asyncio.Redis, keys: KeyNames, listener: AckSource) -> None:
    """Say goodbye: this process holds no session any more. A group stays, for others of it listen on."""
    if listener.group is None:
        await forget(client, keys, [f"{listener.app}/{listener.instance}"])


async def forget(client: redis.asyncio.Redis, keys: KeyNames, members: Sequence[str | bytes]) -> None:
    """These instances, `app/instance` each, were never heard of. May raise what `connection.Failure` names."""
    if members:
        await pipelined(client, [("ZREM", known, *members) for known in (keys.instances, keys.instances_since)])


async def instances(client: redis.asyncio.Redis, keys: KeyNames) -> list[Instance]:
    """Every instance heard of lately."""
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.zrange(keys.instances, 0, -1, withscores=True)  # type: ignore[unused-awaitable]  # queued
        pipeline.zrange(keys.instances_since, 0, -1, withscores=True)  # type: ignore[unused-awaitable]  # queued
        replies: list[Any] = await pipeline.execute()
    last_seen, since = (
        {text(member): float(score) for member, score in reply if math.isfinite(score)} for reply in replies
    )
    return [Instance(*split(member), since.get(member, seen), seen) for member, seen in last_seen.items()]


async def last_heard(client: redis.asyncio.Redis, keys: KeyNames, *, forget_after_s: float) -> LastHeard:
    """When each app was last heard of; instances silent for longer than `forget_after_s` are forgotten.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    with failing_as("cannot read who is listening"):
        seconds, microseconds = await client.time()
        now_s = int(seconds) + int(microseconds) / 1e6
        old: Any = await client.zrangebyscore(keys.instances, "-inf", f"({(now_s - forget_after_s) * 1000:.0f}")
        await forget(client, keys, old)
        heard: dict[str, float] = {}
        for instance in await instances(client, keys):
            heard[instance.app] = max(instance.last_seen_ms / 1000, heard.get(instance.app, 0.0))
    return LastHeard(now_s, heard)


async def take(client: redis.asyncio.Redis, keys: KeyNames, *, count: int) -> list[Observed]:
    """Up to `count` acknowledgements that no receiver has taken yet; each is taken once, by one receiver.

    Those who take them see to it that they expire, `KEEP_S` seconds from now. One that cannot be read is named in the
    log and left out.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    with failing_as("cannot read the acknowledgements"):
        taken: Any = await client.lpop(keys.acks, count)
        readable = [read for line in taken or () if (read := _observed(line))]
        await _expire(client, keys, {event_id for event_id, _ in readable})
    if unreadable := len(taken or ()) - len(readable):
        log.error("%s acknowledgements in %s cannot be read and are not counted", unreadable, keys.acks)
    return [observed for _, observed in readable]


async def overflowed(client: redis.asyncio.Redis, keys: KeyNames) -> bool:
    """Whether the list is as long as it may be, so that lines may have left it before a receiver took them.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    with failing_as("cannot read the acknowledgements"):
        return int(await client.llen(keys.acks)) >= MAX_ACKS


async def expire_all(client: redis.asyncio.Redis, keys: KeyNames) -> None:
    """Let the acknowledgements of every event in the stream expire, `KEEP_S` seconds from now.

    For those that left the list before a receiver took them: what an app writes has no lifetime of its own.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    after = "-"
    with failing_as("cannot read the stream"):
        while True:
            entries: Any = await client.xrange(keys.events, after, "+", count=PAGE)
            await _expire(client, keys, {found.id for pair in entries if (found := stream.eviction_of(*pair))})
            if len(entries) < PAGE:
                return
            after = f"({entries[-1][0].decode()}"


async def _expire(client: redis.asyncio.Redis, keys: KeyNames, event_ids: set[str]) -> None:
    if event_ids:
        await exchange.ask(client, [("EXPIRE", keys.acks_of(event_id), KEEP_S) for event_id in event_ids])


def _observed(line: bytes) -> tuple[str, Observed] | None:
    """Event id and acknowledgement; None when something else wrote this."""
    event_id, after, _, app = (*line.split(b" ", 3), b"", b"", b"")[:4]
    if not app or not (after == b"late" or is_milliseconds(after)):
        return None
    return text(event_id), Observed(text(app), None if after == b"late" else int(after) / 1000)
