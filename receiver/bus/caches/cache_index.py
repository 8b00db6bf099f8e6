"""What the evictor has read in the caches: which users' accounts they hold, and where. No token is kept.

Three maps, each from digests. Subject or session to accounts: the publish script reads it, so that an event names the
accounts. Account to subjects, which the registry keeps too, so that a user's logout marks every pairwise subject.
Account, subject or session to places: cache keys that cannot be derived from the account.

The names in the first and the last are keyed where there is a secret (`core.index_names`). Those in the second are
plain: apps write there, too.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from receiver.bus.link.pieces import pieces
from receiver.bus.lua import Script
from receiver.core.index_names import PLAIN, IndexNames
from receiver.core.layouts import foreign_json
from receiver.core.layouts.cached_sign_in import CachedSignIn, seconds, text
from receiver.core.marks import digest
from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from receiver.bus.keys import KeyNames
    from receiver.bus.link.exchange import Command
    from receiver.bus.link.trips import Trips
    from receiver.core.eviction import Eviction

LEARN = Script.read("learn")

MAX_MEMBERS = 256
"""Accounts or places kept of one name; the oldest give way. No user has as many sessions."""

MAX_BYTES = 16 * 1024
"""Bytes kept of one name, beside `MAX_MEMBERS`; the oldest give way. One account or place takes 60 to 150 bytes."""

MAX_NAMES = 4096
"""Names kept in one of the 8,192 buckets, enough for 30 million users; further ones are dropped and reported. A visitor
can make names that fall into one bucket, and earlier releases read a whole bucket at once."""

MAX_NOTES = 8
"""Notes sent to Redis in one script call: more would keep others waiting, where each is of a name with many members."""

CALLS_AT_ONCE = 8
"""Script calls on their way at once; other clients' commands come in between."""


class CacheKey(NamedTuple):
    """A key of a configured cache, in which something of a user is."""

    cache: str
    key: str


Map = Literal["index", "account", "places"]
"""To the accounts of a subject or a session, to the subjects of an account, to the places of either."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing learnt: in this map `name`, a plain digest, has `member`."""

    map: Map
    name: str
    member: str


def account_digest(account: str) -> str:
    """Names an account of any issuer: blobs without an ID token do not say which."""
    return digest("account", "", account)


def notes(sign_ins: Iterable[CachedSignIn], place: CacheKey | None, *, of_accounts: bool = True) -> list[Note]:
    """The index entries derived from a cached value.

    Args:
        sign_ins: Found in it.
        place: Where it was found; None where that follows from the account.
        of_accounts: Whether it may link an account to a user; False teaches the place only.
    """
    found: dict[Note, None] = {}
    for sign_in in sign_ins:
        iss, sub, account = sign_in.iss, sign_in.sub, sign_in.account
        user = digest("sub", iss, sub) if iss and sub else None
        session = digest("sid", iss, sign_in.sid) if iss and sign_in.sid else None
        if account and iss and of_accounts:
            home = digest("account", iss, account)
            member = f"{home} {_json(account)}"
            if session:
                found[Note("index", session, member)] = None
            if user and account != sub:
                found[Note("index", user, member)] = None
                found[Note("account", home, user)] = None
        if place is not None:
            member = f"{place.cache} {_json(place.key)}"
            # Noted under the account alone: the maps above lead from subject and session to the account.
            names = [account_digest(account)] if account and of_accounts else [user, session]
            if account and not of_accounts:
                names.append(account_digest(account))
            for name in names:
                if name:
                    found[Note("places", name, member)] = None
    return list(found)


class CacheIndex:
    """Learns and looks up. Every method may raise what `connection.Failure` names.

    Args:
        trips: To the Redis with the events.
        keys: Key names.
        keep_s: Seconds a note is kept after it was last confirmed.
        clock: NumericDate seconds.
        report: Called with what and why, each in one word, for a note that cannot be read or kept.
        names: Made from the configured secrets.
    """

    def __init__(
        self,
        trips: Trips,
        keys: KeyNames,
        *,
        names: IndexNames = PLAIN,
        keep_s: int,
        clock: Callable[[], float],
        report: Callable[[str, str], None],
    ) -> None:
        self._trips = trips
        self._keys = keys
        self._names = names
        self._keep_s = keep_s
        self._clock = clock
        self._report = report
        self._full: asyncio.Future[Any] | None = None

    async def learn(self, found: Sequence[Note]) -> int:
        """Keep these notes; how many were new.

        A name for which there is no room is reported as `index_full`, one whose oldest members went as `index_many`.
        """
        learnt = 0
        for start in range(0, len(found), MAX_NOTES * CALLS_AT_ONCE):
            some = found[start : start + MAX_NOTES * CALLS_AT_ONCE]
            learnt += sum(await asyncio.gather(*map(self._learn, pieces(some, lambda _: 1, MAX_NOTES))))
        return learnt

    async def _learn(self, found: Sequence[Note]) -> int:
        members: dict[tuple[str, str], dict[str, None]] = {}
        for note in found:
            members.setdefault(self._place(note), {})[note.member] = None
        keys = [*(bucket for bucket, _ in members), self._keys.full_buckets]
        arguments = [text for (_, name), of_name in members.items() for text in (name, ",".join(of_name))]
        limits = (int(self._clock()), self._keep_s, MAX_MEMBERS, MAX_BYTES, MAX_NAMES)
        new, dropped, cut = await self._trips.run(LEARN, keys, (*limits, *arguments))
        for reason, count in (("index_full", dropped), ("index_many", cut)):
            for _ in range(int(count)):
                self._report("index", reason)
        return int(new)

    async def look_up(self, eviction: Eviction) -> tuple[set[str], set[CacheKey]]:
        """Of a logout: every account known for its subject and its session, and where anything of them was found.

        The accounts in the event are among them.
        """
        names, named = _names(eviction), set(filter(None, map(text, eviction.accounts)))
        of_index = self._commands(self._keys.index_bucket, names)
        of_places = self._commands(self._keys.places_bucket, [*names, *map(account_digest, sorted(named))])
        entries = await self._trips.all([*of_index, *of_places])
        members = self._read(entries[: len(of_index)])
        places = {CacheKey(cache, key) for cache, key in self._read(entries[len(of_index) :])}
        accounts = named | set(filter(None, (text(account) for _, account in members)))
        return accounts, places | await self.places_of(accounts - named)

    async def places_of(self, accounts: Iterable[str]) -> set[CacheKey]:
        """Where anything of these accounts was found, as far as it does not follow from them."""
        return await self._places([account_digest(account) for account in accounts])

    async def subjects_of(self, iss: str, accounts: Iterable[str]) -> set[str]:
        """Digests of the subjects that these accounts were seen with at this issuer: each client may have its own."""
        names = [digest("account", iss, account) for account in accounts]
        entries: list[bytes | None] = await self._trips.all(
            [("HGET", self._keys.account_bucket(name), name) for name in names]
        )
        return {member.decode("ascii", "replace") for entry in entries if entry for member in entry.split(b",")[1:]}

    async def places_of_subjects(self, subjects: Iterable[str]) -> set[CacheKey]:
        """Where anything of these subjects was found, as far as no account is noted with it."""
        return await self._places(sorted(subjects))

    def has_full_buckets(self) -> asyncio.Future[int]:
        """Whether there was anything without room at all, for `may_lack`. Those who ask at the same moment ask once."""
        if self._full is None:
            self._full = asyncio.ensure_future(self._trips.one("HLEN", self._keys.full_buckets))
            # An error is told to those who wait; where they have all left it is of no interest.
            self._full.add_done_callback(lambda full: full.cancelled() or full.exception())
            asyncio.get_running_loop().call_soon(self._asked_for_full)
        return asyncio.shield(self._full)

    def _asked_for_full(self) -> None:
        self._full = None

    async def may_lack(self, eviction: Eviction, accounts: Iterable[str], subjects: Iterable[str]) -> bool:
        """Whether there was no room for something of this logout, so that what is known of its user may not be all.

        Args:
            eviction: The logout.
            accounts: What is known of its user's.
            subjects: Digests of the user's subjects at other clients.
        """
        of_logout, of_accounts = _names(eviction), sorted(accounts)
        notes = [
            *(Note("index", name, "") for name in of_logout),
            *(Note("places", name, "") for name in (*of_logout, *map(account_digest, of_accounts), *sorted(subjects))),
            *(Note("account", digest("account", eviction.iss, account), "") for account in of_accounts),
        ]
        # A session is noted under its own name; what its user's others are is of no interest.
        of_session = [digest("sid", eviction.iss, eviction.sid)] if eviction.scope == "session" and eviction.sid else []
        asked = list(map(self._place, notes))
        cut = [place for place, note in zip(asked, notes, strict=True) if not of_session or note.name in of_session]
        until, of_cut = await asyncio.gather(
            self._noted_as_full([bucket for bucket, _ in asked]), self._noted_as_full(map(" ".join, cut))
        )
        if any(of_cut):
            return True
        doubtful = [place for place, is_full in zip(asked, until, strict=True) if is_full]
        return None in await self._trips.all([("HGET", *place) for place in doubtful])

    async def _noted_as_full(self, places: Iterable[str]) -> list[bool]:
        until = await self._trips.all([("HGET", self._keys.full_buckets, place) for place in places])
        return [bool(said) and self._is_to_come(said) for said in until]

    def _is_to_come(self, said: bytes) -> bool:
        at = seconds(said.decode("ascii", "replace"))
        return at is None or at > self._clock()

    async def _places(self, names: Sequence[str]) -> set[CacheKey]:
        entries = await self._trips.all(self._commands(self._keys.places_bucket, names))
        return {CacheKey(cache, key) for cache, key in self._read(entries)}

    def _place(self, note: Note) -> tuple[str, str]:
        """The bucket and the name to write under."""
        if note.map == "account":
            return self._keys.account_bucket(note.name), note.name
        name = self._names.written(note.name)
        return (self._keys.index_bucket if note.map == "index" else self._keys.places_bucket)(name), name

    def _commands(self, bucket: Callable[[str], str], names: Sequence[str]) -> list[Command]:
        """What to ask for what is noted of these names."""
        return [("HGET", bucket(each), each) for name in names for each in self._names.read(name)]

    def _read(self, entries: Sequence[bytes | None]) -> list[tuple[str, str]]:
        """The members of these entries: a word and a text. What cannot be read is reported, and left out."""
        found = []
        for member in [member for entry in entries if entry for member in entry.split(b",")[1:]]:
            try:
                found.append(_split(member))
            except BadValueError as error:
                self._report("index", error.reason)
        return found


def _names(eviction: Eviction) -> list[str]:
    named = (("sub", eviction.sub), ("sid", eviction.sid))
    return [digest(kind, eviction.iss, value) for kind, value in named if value]


def _split(member: bytes) -> tuple[str, str]:
    word, _, encoded = member.partition(b" ")
    value = foreign_json.parse(encoded)
    if not isinstance(value, str) or not word.isascii():
        raise BadValueError("shape")
    return word.decode(), value


def _json(value: str) -> str:
    """JSON in which no comma is left: members are joined by it."""
    return json.dumps(value).replace(",", "\\u002c")
