"""Proof: which apps have dropped the user of one eviction, how long each took, and who has not answered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from receiver.bus.events import acks, stream
from receiver.bus.link.connection import failing_as

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import redis.asyncio

    from receiver.bus.events.acks import Instance
    from receiver.bus.events.event_search import FoundEvent
    from receiver.bus.keys import KeyNames
    from receiver.core.eviction import Eviction

LIVE_S = 30.0
"""Seconds without a heartbeat after which an instance no longer counts as listening: three missed in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTrace:
    """What one app has done about one eviction.

    Attributes:
        app: Its name.
        declared: Whether the settings name it among the apps that should answer.
        last_seen: NumericDate seconds when any of its instances was last heard of; None for never.
        acked_ms: Instance to milliseconds from receipt to its acknowledgement.
        missing: Instances that were listening when the event was published and have not answered.
        lost: Instances unheard of since before the event, without a goodbye: dead, or cut off from Redis.
        unknown: Instance to the caches in which it cannot say that the user is not any more, by name.
        after_ms: Milliseconds from receipt until the last of its instances had answered; None while some have not.
    """

    app: str
    declared: bool
    last_seen: float | None
    acked_ms: dict[str, int]
    missing: tuple[str, ...]
    lost: tuple[str, ...]
    after_ms: int | None
    unknown: dict[str, list[str]] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the user is out of this app: an instance has answered, in full, and none is missing."""
        return bool(self.acked_ms) and not self.missing and not self.unknown

    def to_json(self) -> dict[str, object]:
        """Plain data, the documented shape."""
        return {
            "app": self.app,
            "declared": self.declared,
            "done": self.done,
            "after_ms": self.after_ms,
            "last_seen": self.last_seen,
            "acked_ms": dict(self.acked_ms),
            "missing": list(self.missing),
            "lost": list(self.lost),
            **({"unknown": {name: list(caches) for name, caches in self.unknown.items()}} if self.unknown else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What became of one eviction.

    Attributes:
        eviction: The event.
        entry_id: Its stream id.
        published_at: NumericDate seconds on Redis's clock.
        apps: Every app that should answer or has, by name.
        others: Of a `jti` that stands for several events: those of the others, the newest first.
    """

    eviction: Eviction
    entry_id: str
    published_at: float
    apps: tuple[AppTrace, ...]
    others: tuple[Trace, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the user is out everywhere; False as well when no app is known, for nothing is proven then."""
        return bool(self.apps) and all(app.done for app in self.apps)

    @property
    def after_ms(self) -> int | None:
        """Milliseconds from receipt until the last app had answered; None while some have not."""
        return max((app.after_ms or 0 for app in self.apps), default=None) if self.complete else None

    def to_json(self) -> dict[str, object]:
        """Plain data without `sub` and `sid`, the documented shape."""
        eviction = self.eviction
        return {
            "id": eviction.id,
            "entry_id": self.entry_id,
            "tenant": eviction.tenant,
            "iss": eviction.iss,
            "client_id": eviction.client_id,
            "jti": eviction.jti,
            "input": eviction.input,
            "scope": eviction.scope,
            "logout_at": eviction.logout_at,
            "received_at": eviction.received_at,
            "published_at": self.published_at,
            "complete": self.complete,
            "after_ms": self.after_ms,
            "apps": [app.to_json() for app in self.apps],
            **({"others": [other.to_json() for other in self.others]} if self.others else {}),
        }


async def trace(
    client: redis.asyncio.Redis,
    keys: KeyNames,
    found: Sequence[FoundEvent],
    *,
    now_s: float,
    declared: Collection[str],
    seen_within_s: float,
) -> Trace:
    """What became of an event, and of the others of its `jti`.

    Args:
        client: Any client without response decoding.
        keys: Key names.
        found: The event, from `event_search.find`, and after it the others of the same `jti`.
        now_s: NumericDate seconds.
        declared: Apps that should answer whether or not they were ever heard of.
        seen_within_s: Other apps should answer if they were heard of within so many seconds.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    first, *others = [
        await _trace(client, keys, one, now_s=now_s, declared=declared, seen_within_s=seen_within_s) for one in found
    ]
    return replace(first, others=tuple(others))


async def _trace(
    client: redis.asyncio.Redis, keys: KeyNames, found: FoundEvent, *, now_s: float, declared: Collection[str],
    seen_within_s: float,
) -> Trace:  # fmt: skip
    with failing_as("cannot read the acknowledgements"):
        acked: Any = await client.hgetall(keys.acks_of(found.eviction.id))
        instances = await acks.instances(client, keys)
    entry_id, eviction = found.entry_id, found.eviction
    acked_at = {acks.text(name): int(at) for name, at in acked.items() if acks.is_milliseconds(at)}
    in_part = {
        acks.text(name): acks.text(said) for name, said in acked.items() if said.startswith(acks.UNKNOWN.encode())
    }
    unknown = {name: said.removeprefix(acks.UNKNOWN).split(",") for name, said in in_part.items()}
    case = _Case(instances, acked_at, unknown, int(eviction.received_at * 1000), stream.milliseconds(entry_id))
    apps = tuple(
        case.app(name, declared=name in declared)
        for name in sorted({*declared, *case.asked(heard_since_ms=(now_s - seen_within_s) * 1000)})
    )
    return Trace(eviction=eviction, entry_id=entry_id, published_at=case.published_ms / 1000, apps=apps)


@dataclass(frozen=True, slots=True)
class _Case:
    """What is known of one event: who listens, who answered when, or in part, when it came and was published."""

    instances: list[Instance]
    acked_at: dict[str, int]
    unknown: dict[str, list[str]]
    received_ms: int
    published_ms: int

    def asked(self, *, heard_since_ms: float) -> set[str]:
        """Apps that have answered, or listened at the time and were heard of lately."""
        answered = {acks.split(member)[0] for member in (*self.acked_at, *self.unknown)}
        heard = {i.app for i in self.instances if i.last_seen_ms >= heard_since_ms}
        # An instance that began to listen later held no session then, and is asked nothing.
        return answered | {i.app for i in self.instances if i.app in heard and i.since_ms <= self.published_ms}

    def app(self, name: str, *, declared: bool) -> AppTrace:
        """What this app has done."""
        mine = [i for i in self.instances if i.app == name]
        members = {member: acks.split(member) for member in self.acked_at}
        answers = {
            instance: max(0, self.acked_at[member] - self.received_ms)
            for member, (app, instance) in members.items()
            if app == name
        }
        in_part = {
            instance: caches
            for member, caches in self.unknown.items()
            for app, instance in [acks.split(member)]
            if app == name
        }
        asked = [i for i in mine if i.since_ms <= self.published_ms]
        live = {i.instance for i in asked if i.last_seen_ms >= self.published_ms - LIVE_S * 1000}
        silent = {i.instance for i in asked} - answers.keys() - in_part.keys()
        in_time = [after for instance, after in answers.items() if instance in live]
        return AppTrace(
            app=name,
            declared=declared,
            last_seen=max((i.last_seen_ms / 1000 for i in mine), default=None),
            acked_ms=dict(sorted(answers.items())),
            missing=tuple(sorted(silent & live)),
            lost=tuple(sorted(silent - live)),
            after_ms=max(in_time or answers.values()) if answers and not silent & live and not in_part else None,
            unknown=dict(sorted(in_part.items())),
        )
