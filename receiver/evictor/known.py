"""What Redis says about values that are looked at: logouts, earlier removals, and sign-ins registered since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.evictor.decisions import names_of
from receiver.evictor.evict import key_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from receiver.bus.caches.awaited import AwaitedSignIns
    from receiver.bus.caches.removals import Removals
    from receiver.core.layouts.cached_sign_in import CachedSignIn
    from receiver.core.layouts.layout import Value
    from receiver.core.remembered import Remembered
    from receiver.core.verdict import Marks
    from receiver.evictor.caches import Cache


@dataclass(frozen=True, slots=True)
class Known:
    """Of the values of one batch.

    Attributes:
        marks: By sign-in.
        remembered: Removals, by the digests of users and keys.
        newer_than: By key, as for `ByMarks`.
    """

    marks: Mapping[CachedSignIn, Marks]
    remembered: Mapping[str, Remembered]
    newer_than: Mapping[str, float | None]

    def only_subjects(self) -> dict[tuple[str, str], str]:
        """Issuers and accounts with a subject that was signed out before its account was known, and when."""
        return {
            (sign_in.iss, sign_in.account): marks.only_subject
            for sign_in, marks in self.marks.items()
            if marks.only_subject is not None and sign_in.iss is not None and sign_in.account is not None
        }


async def ask(cache: Cache, values: Mapping[str, Value], *, removals: Removals, awaited: AwaitedSignIns) -> Known:
    """Ask about all values of a batch at once.

    Raises:
        Failure: Redis did not answer.
    """
    sign_ins = [sign_in for value in values.values() for sign_in in own(cache, value.sign_ins)]
    links = cache.layout.account_links
    users = {name for value in values.values() for s in value.sign_ins for name in names_of(s, by_user=links)}
    names = sorted(users | {key_digest(cache, key) for key in values})
    found = zip(names, await removals.remembered(names), strict=True)
    remembered = {name: one for name, one in found if one is not None}
    marks = await removals.marks(sign_ins, cache.issuers)
    newer_than = {
        key: await awaited.seen_at(cache.places_of(key))
        for key, value in values.items()
        if not value.readable and key_digest(cache, key) in remembered
    }
    return Known(dict(zip(sign_ins, marks, strict=True)), remembered, newer_than)


def own(cache: Cache, sign_ins: Iterable[CachedSignIn]) -> list[CachedSignIn]:
    """Without those of tenants with no users in the cache."""
    return [sign_in for sign_in in sign_ins if sign_in.iss not in cache.not_issuers]
