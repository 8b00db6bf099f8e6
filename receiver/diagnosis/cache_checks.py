"""Whether the evictor will find anything in a cache: a look at some of its keys, and what to make of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from receiver.bus.link.connection import Failure, describe
from receiver.core.layouts import forms
from receiver.diagnosis.checks import Area, Check
from receiver.evictor.reading import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from receiver.bus.events.unknown import Unknown
    from receiver.core.layouts.layout import Value
    from receiver.evictor.caches import Cache, Caches

MAX_KEYS = 20_000
"""Keys looked at to find the cache's, at most: doctor is no load on a large Redis."""

MAX_STEPS = 20
"""Steps of a SCAN in each other database of that Redis, where the configured one has no key of the cache."""

MAX_VALUES = 100
"""Values looked into."""

MAX_PATTERNS = 5
"""Kinds of values that cannot be read that are named of one cache, the most frequent first."""

FORMS = {
    "data_protection": "encrypted by ASP.NET Core's Data Protection",
    "fernet": "encrypted (Fernet)",
    "jwe": "encrypted (JWE)",
    **{word: f"compressed ({word})" for word in ("gzip", "zlib", "zstd", "lz4", "xz")},
    "foreign_json": "JSON without a sign-in",
    "msgpack": "MessagePack without a sign-in",
    "pickled": "a pickle without a sign-in",
    "java": "Java's serialisation without a sign-in",
    "unknown": "in no form that is known: encrypted, compressed or another program's",
    "empty": "empty",
    "too_large": "larger than is looked into",
    "too_deep": "nested too deep",
    "too_many": "of too many parts",
}
"""By the words of `core.layouts.forms` and of `cache.bad_value`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFacts:
    """What was seen of one cache.

    Attributes:
        name: As configured.
        head: What its keys begin with, or its one key, or its template.
        is_read: Whether its values are looked into at all.
        problem: Why its Redis cannot be reached, in one line; empty when it answers.
        keys: Keys of it that were seen; more may be there.
        values: Values looked into.
        readable: Of these, that name their user.
        notifies: Whether its Redis tells of writes; None where it does not say.
        takes_all_keys: Whether its prefix is empty.
        elsewhere: Numbers of other databases of its Redis that have such keys, where this one has none.
        unread: How many do not name their user, by the pattern of their keys and the reason.
    """

    name: str
    head: str
    is_read: bool
    problem: str = ""
    keys: int = 0
    values: int = 0
    readable: int = 0
    notifies: bool | None = None
    takes_all_keys: bool = False
    elsewhere: tuple[int, ...] = ()
    unread: Mapping[tuple[str, str], int] = field(default_factory=dict)


async def sample(cache: Cache, caches: Caches) -> CacheFacts:
    """Look at some of a cache's keys and values; changes nothing, and never raises for Redis."""
    seen, keys = 0, []
    facts = CacheFacts(name=cache.name, head=cache.head, is_read=cache.is_read, takes_all_keys=cache.takes_all_keys)
    try:
        notifies = await cache.store.notifies()
        if cache.is_read:
            async for batch in cache.store.scan(cache.pattern):
                keys += [key for key in batch if cache in caches.owners(key, cache.store)]
                seen += len(batch)
                if seen >= MAX_KEYS or len(keys) >= MAX_VALUES:
                    break
        values = {key: value async for group in read(cache, keys[:MAX_VALUES]) for key, value in group.items()}
        elsewhere = await _elsewhere(cache) if cache.is_read and not keys else ()
    except Failure as error:
        return replace(facts, problem=describe(error))
    return replace(
        facts,
        keys=len(keys),
        values=len(values),
        readable=sum(value.readable for value in values.values()),
        unread=Counter((pattern_of(cache, key), _reason(value)) for key, value in values.items() if not value.readable),
        notifies=notifies,
        elsewhere=elsewhere,
    )


async def _elsewhere(cache: Cache) -> tuple[int, ...]:
    if cache.takes_all_keys:
        return ()
    try:
        return tuple(await cache.store.databases_with(cache.pattern, steps=MAX_STEPS))
    except Failure:
        # Without the right to look there nothing is known.
        return ()


def pattern_of(cache: Cache, key: str) -> str:
    """A key without what may name a user or a session: the parts below the cache's own that are plain words."""
    *parts, _ = cache.name_of(key).split(":")
    words = [part if part.isascii() and part.isalpha() and part.islower() else "*" for part in parts]
    return cache.head + ":".join([*words, "*"]) if cache.key is None else cache.head


def _reason(value: Value) -> str:
    word = next(iter(sorted(value.problems)), None)
    if word is None:
        parts = sorted(value.raw.values(), key=len, reverse=True)
        word = forms.name(parts[0]) if parts else "empty"
    return FORMS.get(word, word)


def check_cache(facts: CacheFacts) -> Iterator[Check]:
    """Every check of one cache; only the first when its Redis does not answer."""
    area = Area(f"cache {facts.name}")
    if facts.problem:
        yield area.failed(
            "reachable", f"its Redis does not answer: {facts.problem}",
            "Check caches.redis and the rights in docs/events.md.",
        )  # fmt: skip
        return
    yield area.ok("reachable", "its Redis answers")
    if not facts.is_read:
        yield area.note("keys", f"not looked for: {facts.head}")
        return
    if facts.takes_all_keys:
        yield area.warning(
            "prefix", "is empty: every key of that Redis database is looked at",
            "Give the apps a prefix of their own (InstanceName, key prefix) and set it here.",
        )  # fmt: skip
    yield _check_keys(area, facts)
    if facts.values:
        text = f"{facts.readable} of {facts.values} values name their user"
        hidden = facts.readable < facts.values
        if facts.unread:
            [(_, reason), _] = max(facts.unread.items(), key=lambda kind: kind[1])
            text += f"; most others are {reason}"
        fix = "What is encrypted or compressed is found by its key only: have the apps register their sign-ins."
        yield area.warning("values", text, fix) if hidden else area.ok("values", text)
    for (pattern, reason), count in Counter(facts.unread).most_common(MAX_PATTERNS):
        yield area.note("unread", f"{count} as {pattern!r}: {reason}")
    if facts.notifies:
        yield area.ok("notifications", "Redis tells of writes")
    elif facts.notifies is None:
        yield area.warning(
            "notifications", "cannot see whether Redis tells of writes: CONFIG is not open to this user",
            "Have notify-keyspace-events set there (docs/caches.md); else each logout waits until the cache is read.",
        )  # fmt: skip
    else:
        text = "Redis tells of no writes yet"
        yield area.note("notifications", text, "The evictor switches them on where it may; see its log.")


def _check_keys(area: Area, facts: CacheFacts) -> Check:
    if facts.keys:
        return area.ok("keys", f"{facts.keys} or more, as {facts.head!r} says")
    if facts.elsewhere:
        number = facts.elsewhere[0]
        return area.warning(
            "keys", f"none seen for {facts.head!r}; database {number} of the same Redis has some",
            f"Name that database in the cache's own redis.url (caches[].redis, /{number} at its end).",
        )  # fmt: skip
    return area.warning(
        "keys", f"none seen for {facts.head!r}",
        "Sign in once; if there is still none, check prefix (InstanceName, key prefix) and the database number.",
    )  # fmt: skip


def check_unknown(name: str, found: Unknown) -> Iterator[Check]:
    """What the evictor could not say of a cache; nothing where it could say all."""
    if count := found.by_cache.get(name, 0):
        yield Area(f"cache {name}").warning(
            "unknown", f"{count} of the last {found.looked_at} evictions are unknown: the user may still be in it",
            "The evictor's log says why (evict.unknown): docs/runbooks/logout-unknown.md.",
        )  # fmt: skip


def check_index(caches: Iterable[CacheFacts], *, keyed: bool) -> Iterator[Check]:
    """Whether the names in the evictor's index are keyed; nothing where no cache is read."""
    area = Area("index")
    if not any(facts.is_read for facts in caches):
        return
    if keyed:
        yield area.ok("secret", "names are keyed")
    else:
        yield area.warning(
            "secret", "names are plain digests: a visitor of an app can make many that fall into one bucket",
            "Set evictor.index_secret_file, the same for receivers and evictors, once all of them run this release.",
        )  # fmt: skip
