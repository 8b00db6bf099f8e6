"""Recent removals, used to recognise entries that are written back, and the logout marks that apply."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.bus.link.connection import Failure
from receiver.bus.link.group_commit import GroupCommit
from receiver.bus.link.pieces import pieces
from receiver.bus.link.trips import pairs_of
from receiver.bus.lua import Script
from receiver.core.layouts.cached_sign_in import seconds
from receiver.core.marks import anew_name, client_suffix, digest, mark_names, read_mark, write_mark
from receiver.core.verdict import Marks, Removal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from receiver.bus.keys import Keys
    from receiver.bus.link.trips import Trips
    from receiver.bus.lua import Argument
    from receiver.core.eviction import Eviction
    from receiver.core.layouts.cached_sign_in import CachedSignIn
    from receiver.core.marks import Mark, MarkNames, Name

log = logging.getLogger("receiver.evictor")

REMOVED = Script.read("removed")
MARK = Script.read("mark", "date")

KEEP_S = 86_400
"""Seconds a removal is remembered, so that the number of further ones is bounded."""

NOTES_AT_ONCE = 64
"""Notes written together: more would make the first ones wait."""

FIELDS_AT_ONCE = 512
"""Fields written by one script call, which takes about a millisecond; more would keep others waiting."""

FIELDS_OF_A_PLACE = 4
"""Beside the sessions: at, until, and two that count."""

SIDS_AT_ONCE = 64
"""Sessions noted of a place at once; further ones are added to it by calls of their own."""

MARKS_AT_ONCE = 256
"""Marks dated by one script call."""

MAX_WAITING = 100_000
"""Notes that may wait; a worker has fewer logouts in hand."""

SUBJECT_AND_ACCOUNT = 2
"""Names a user has who is known by both; then what is marked under the one has to be under the other."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of one account or key.

    Attributes:
        removal: For `core.verdict.judge`.
        fresh: Whether what was in flight then may still write it back.
        again: How often it was removed again since.
        unsure: How often of these nothing proved that it was the old one.
        since_unsure_s: Seconds since the last of these.
    """

    removal: Removal
    fresh: bool
    again: int
    unsure: int
    since_unsure_s: float = float("inf")


class _Note(NamedTuple):
    """One note: the keys of its places, what removed.lua is told of it, and the sessions."""

    keys: Sequence[str]
    head: tuple[Argument, Argument, Argument, Argument]
    sids: Sequence[str]

    @property
    def fields(self) -> int:
        """How many are written."""
        return len(self.keys) * (FIELDS_OF_A_PLACE + len(self.sids))

    def parts(self) -> Iterator[_Note]:
        """Notes that together say the same, none of which is more than one script call may write."""
        for begin in range(0, max(1, len(self.sids)), SIDS_AT_ONCE):
            sids = self.sids[begin : begin + SIDS_AT_ONCE]
            head = (self.head[0], "", "", "") if begin else self.head
            places = FIELDS_AT_ONCE // (FIELDS_OF_A_PLACE + len(sids))
            for first in range(0, len(self.keys), places):
                yield _Note(self.keys[first : first + places], head, sids)


class Removals:
    """Marks and removals. Every method may raise what `connection.Failure` names.

    Args:
        trips: To the Redis with the events.
        keys: Key names.
        in_flight_s: Seconds in which something removed may be written back by what was in flight.
        mark_s: Seconds a logout is remembered.
        clock: NumericDate seconds.
        report: Called with what and why, each in one word, for a removal or a mark that cannot be read.
    """

    def __init__(
        self,
        trips: Trips,
        keys: Keys,
        *,
        in_flight_s: float,
        mark_s: int,
        clock: Callable[[], float],
        report: Callable[[str, str], None],
    ) -> None:
        self._trips = trips
        self._keys = keys
        self._in_flight_s = in_flight_s
        self._clock = clock
        self._mark_s = mark_s
        self._report = report
        self._notes: GroupCommit[_Note, None] = GroupCommit(
            self._write, max_batch=NOTES_AT_ONCE, max_waiting=MAX_WAITING, on_fault=_log_fault
        )

    async def note(
        self, names: Iterable[str], *, logout_at: float, sids: Iterable[str], again: bool = False, unsure: bool = False
    ) -> None:
        """Remember that these accounts or keys, by digest, were cleared of these sessions."""
        keys = [self._keys.removal(name) for name in names]
        if keys:
            now = self._clock()
            flags = ("again" if again else "", f"{now:.0f}" if unsure else "")
            until = f"{now + self._in_flight_s:.0f}"
            await self._notes.submit(_Note(keys, (int(logout_at), until, *flags), list(sids)))

    async def _write(self, notes: list[_Note]) -> list[Exception | None]:
        parts = [part for note in notes for part in note.parts()]
        try:
            await asyncio.gather(*map(self._write_part, pieces(parts, lambda part: part.fields, FIELDS_AT_ONCE)))
        except Failure as error:
            return [error] * len(notes)
        return [None] * len(notes)

    async def _write_part(self, parts: Sequence[_Note]) -> None:
        keys = [key for part in parts for key in part.keys]
        arguments = [
            argument for part in parts for argument in (len(part.keys), *part.head, len(part.sids), *part.sids)
        ]
        await self._trips.run(REMOVED, keys, (KEEP_S, *arguments))

    async def remembered(self, names: Sequence[str]) -> list[Remembered | None]:
        """What is remembered of each."""
        found = await self._trips.all([("HGETALL", self._keys.removal(name)) for name in names])
        return [self._remembered(pairs_of(fields)) for fields in found]

    def _remembered(self, fields: dict[bytes, bytes]) -> Remembered | None:
        remembered, damaged = read(fields, self._clock())
        if damaged:
            self._report("removal", "shape")
        return remembered

    async def mark_accounts(self, eviction: Eviction, accounts: Iterable[str]) -> None:
        """Mark accounts that were found for a user's logout, as the publisher marks those it knows."""
        if eviction.scope != "user":
            return
        names = [digest("account", eviction.iss, account) for account in accounts if account != eviction.sub]
        mark = write_mark(eviction.logout_at, eviction.source)
        await self._mark([self._keys.mark(name, suffix_of(eviction)) for name in names], mark)

    async def mark_subjects(self, eviction: Eviction, subjects: Iterable[str]) -> None:
        """Mark the user's subjects at other clients, given as digests, for a user's logout."""
        mark = write_mark(eviction.logout_at, eviction.source)
        await self._mark([self._keys.mark(name, suffix_of(eviction)) for name in subjects], mark)

    async def mark_account(self, iss: str, account: str, mark: str) -> None:
        """Mark the account of a subject that was marked before its account was known."""
        await self._mark([self._keys.mark(digest("account", iss, account))], mark)

    async def _mark(self, keys: Sequence[str], mark: str) -> None:
        arguments = (mark, self._mark_s, int(self._clock()))
        await asyncio.gather(
            *(self._trips.run(MARK, some, arguments) for some in pieces(keys, lambda _: 1, MARKS_AT_ONCE))
        )

    async def marks(self, sign_ins: Sequence[CachedSignIn], issuers: Iterable[str]) -> list[Marks]:
        """The logouts of each sign-in's user and session.

        Args:
            sign_ins: Found in caches.
            issuers: Issuers the accounts may belong to where a sign-in names none.
        """
        asked = [_marks_of(sign_in, issuers) for sign_in in sign_ins]
        anew = [[self._keys.anew(name) for name in _anew_names(sign_in)] for sign_in in sign_ins]
        marked = [[self._keys.mark(*name) for names in both for name in names] for both in asked]
        keys = [key for group in (*anew, *marked) for key in group]
        found: Any = await self._trips.one("MGET", *keys) if keys else []
        answer = {key: self._read(text) for key, text in zip(keys, found, strict=True)}
        return [
            self._judge(names, [mark for key in noted if (mark := answer[key]) is not None], answer)
            for names, noted in zip(asked, anew, strict=True)
        ]

    def _judge(self, names: MarkNames, noted: Sequence[Mark], answer: Mapping[str, Mark | None]) -> Marks:
        newer_than = max((mark.value for mark in noted), default=float("-inf"))

        def those(some: Sequence[Name]) -> list[Mark]:
            marks = (answer[self._keys.mark(*name)] for name in some)
            return [mark for mark in marks if mark is not None and mark.value > newer_than]

        def latest(marks: Sequence[Mark]) -> float | None:
            return max((mark.at for mark in marks), default=None)

        of_user, of_session = those(names.of_user), those(names.of_session)
        return Marks(
            latest([mark for mark in of_user if not mark.source]),
            latest([mark for mark in of_session if not mark.source]),
            order_at=latest([mark for mark in (*of_user, *of_session) if mark.source]),
            anew=bool(noted) and not of_user and not of_session,
            only_subject=_only_of_subject(names.of_user, those),
        )

    def _read(self, text: bytes | None) -> Mark | None:
        mark = read_mark(text)
        if text is not None and mark is None:
            self._report("mark", "shape")
        return mark


def _log_fault(error: Exception, count: int) -> None:
    log.error("%s notes of removals failed; please report this", count, exc_info=error)


def suffix_of(eviction: Eviction) -> str:
    """Of the names under which a logout is remembered that counts for one client only; else empty."""
    return client_suffix(eviction.client_id) if eviction.applies_to == "client" and eviction.client_id else ""


def _marks_of(sign_in: CachedSignIn, issuers: Iterable[str]) -> MarkNames:
    """The marks that may end this sign-in."""
    iss, sub, account = sign_in.iss, sign_in.sub, sign_in.account
    others = []
    if account is not None and iss is None:
        # An account is the subject itself where the OP sends no client_info.
        others = [digest(kind, issuer, account) for issuer in issuers for kind in ("account", "sub")]
    elif account is not None and iss is not None and account != sub:
        others = [digest("account", iss, account)]
    return mark_names(
        user=digest("sub", iss, sub) if iss and sub else "",
        others=others,
        session=digest("sid", iss, sign_in.sid) if iss and sign_in.sid else "",
        client_ids=sign_in.client_ids,
    )


def _anew_names(sign_in: CachedSignIn) -> list[str]:
    """As what the sign-in may be noted as newer than its marks."""
    iss, sub = sign_in.iss, sign_in.sub
    if iss is None or sub is None:
        return []
    return [
        anew_name(iss, client_id=client_id, sub=sub, sid=sign_in.sid, auth_time=sign_in.auth_time)
        for client_id in sign_in.client_ids
    ]


def _only_of_subject(of_user: Sequence[Name], those: Callable[[Sequence[Name]], list[Mark]]) -> str | None:
    wide = [name for name in of_user if not name[1]]
    if len(wide) != SUBJECT_AND_ACCOUNT:
        return None
    subject, account = those(wide[:1]), those(wide[1:])
    if not subject or (account and account[0].value >= subject[0].value):
        return None
    return subject[0].text


def read(fields: dict[bytes, bytes], now_s: float) -> tuple[Remembered | None, bool]:
    """What is remembered, and whether some of it is damaged: that counts as absent.

    Args:
        fields: As removed.lua writes them.
        now_s: NumericDate seconds.
    """
    names = (b"at", b"until", b"again", b"unsure", b"unsure_at")
    numbers = {name: _number(fields[name]) for name in names if name in fields}
    damaged = None in numbers.values()
    at = numbers.get(b"at")
    if at is None:
        return None, damaged
    sids = frozenset(name[4:].decode("ascii", "replace") for name in fields if name.startswith(b"sid "))
    fresh = now_s < (numbers.get(b"until") or 0)
    again, unsure = (int(numbers.get(name) or 0) for name in (b"again", b"unsure"))
    since_unsure_s = now_s - (numbers.get(b"unsure_at") or float("-inf"))
    return Remembered(Removal(at, sids), fresh, again, unsure, since_unsure_s=since_unsure_s), damaged


def _number(value: bytes) -> float | None:
    return seconds(value.decode("ascii", "replace"))
