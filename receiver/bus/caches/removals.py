"""Recent removals, used to recognise entries that are written back, and the logout marks that apply."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.bus.link.connection import Failure
from receiver.bus.link.group_commit import GroupCommit
from receiver.bus.link.pieces import pieces
from receiver.bus.link.trips import Trips, pairs_of
from receiver.bus.lua import Argument, Script
from receiver.core import remembered
from receiver.core.cached_marks import anew_names, marks_of, suffix_of, what_they_say
from receiver.core.marks import Mark, digest, read_mark, write_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from receiver.bus.keys import KeyNames
    from receiver.core.eviction import Eviction
    from receiver.core.layouts.cached_sign_in import CachedSignIn
    from receiver.core.remembered import Remembered
    from receiver.core.verdict import Marks

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
        keys: KeyNames,
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
        found, damaged = remembered.read(fields, self._clock())
        if damaged:
            self._report("removal", "shape")
        return found

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
        asked = [marks_of(sign_in, issuers) for sign_in in sign_ins]
        anew = [[self._keys.anew(name) for name in anew_names(sign_in)] for sign_in in sign_ins]
        marked = [[self._keys.mark(*name) for names in both for name in names] for both in asked]
        keys = [key for group in (*anew, *marked) for key in group]
        found: Any = await self._trips.one("MGET", *keys) if keys else []
        answer = {key: self._read(text) for key, text in zip(keys, found, strict=True)}
        return [
            what_they_say(
                names,
                of=lambda name: answer[self._keys.mark(*name)],
                newer_than=[mark for key in noted if (mark := answer[key]) is not None],
            )
            for names, noted in zip(asked, anew, strict=True)
        ]

    def _read(self, text: bytes | None) -> Mark | None:
        mark = read_mark(text)
        if text is not None and mark is None:
            self._report("mark", "shape")
        return mark


def _log_fault(error: Exception, count: int) -> None:
    log.error("%s notes of removals failed; please report this", count, exc_info=error)
