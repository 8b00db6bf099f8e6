"""What to do about a value that stands in a cache: decided from what is known, without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.cache_index import account_digest
from receiver.core.marks import client_suffix, digest
from receiver.core.verdict import Marks, Verdict, judge
from receiver.evictor.values import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from receiver.bus.removals import Remembered
    from receiver.core.cached_sign_in import CachedSignIn
    from receiver.core.msal_cache import Holder
    from receiver.evictor.values import Value

MAX_PROVED = 10
"""Times a day a sign-in is removed again that a logout proves to be over. More is an OP that gives out ended
sessions, and a user who could never sign in."""

MAX_GUESSED = 2
"""Times a day that is done without proof, for the same reason."""


@dataclass(frozen=True, slots=True)
class Known:
    """What Redis says about the values of one batch.

    Attributes:
        marks: The logouts of each sign-in's user and session.
        remembered: What was removed before, by the digests of accounts and places.
    """

    marks: Mapping[CachedSignIn, Marks]
    remembered: Mapping[str, Remembered]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one holder's entries.

    Attributes:
        verdict: What is known.
        remove: Whether they go; False where they came back too often, or may be new.
        logout_at: The logout they are over by, NumericDate seconds.
        before: Whether this was removed before.
        name: The digest under which that is remembered, or will be; None for the place's own.
    """

    verdict: Verdict
    remove: bool
    logout_at: float
    before: bool
    name: str | None


def name_of(sign_in: CachedSignIn) -> str | None:
    """The digest under which its removal is remembered, wherever it was; None where it does not say whose it is."""
    if sign_in.account is not None:
        return account_digest(sign_in.account)
    return digest("sub", sign_in.iss, sign_in.sub) if sign_in.iss and sign_in.sub else None


def names_of(place: str, value: Value) -> list[str]:
    """The digests under which something may be remembered about a value."""
    return [place, *sorted({name for sign_in in value.sign_ins for name in _names(value, sign_in)})]


def _names(value: Value, sign_in: CachedSignIn) -> list[str]:
    """For every client, then for its own alone; none where only the place counts."""
    name = name_of(sign_in) if value.layout.account_links else None
    if name is None:
        return []
    return [name, name + client_suffix(sign_in.client_id)] if sign_in.client_id else [name]


def look(value: Value, place: str, known: Known, *, flush: bool, named: bool = False) -> dict[Holder, Finding]:
    """Findings on whoever in a value is not known to live.

    Args:
        value: As it was read.
        place: The digest of where.
        known: What Redis says.
        flush: Whether logouts were missed, so that what cannot be judged has to go.
        named: Whether an app named this very key for what was signed out.
    """
    found: dict[Holder, Finding] = {}
    if not (value.readable or named or value.bears_signature):
        # Another program's.
        return found
    if not value.readable:
        before = known.remembered.get(place)
        if value.is_torn and before is not None:
            # Nobody's new sign-in: the app itself cannot read it.
            found[WHOLE] = _finding(Verdict.ENDED, before, Marks(), None, flush=flush)
        elif flush or (before is not None and before.fresh):
            found[WHOLE] = _finding(Verdict.UNSURE, before, Marks(), None, flush=flush)
        return found
    for holder, sign_ins in value.holders.items():
        findings = [finding for sign_in in sign_ins if (finding := _look_at(value, sign_in, place, known, flush=flush))]
        if findings:
            found[holder] = _strongest(findings)
    return found


def _look_at(value: Value, sign_in: CachedSignIn, place: str, known: Known, *, flush: bool) -> Finding | None:
    # What was removed at this place may have been somebody else's, where a value is shared.
    names = _names(value, sign_in) or [place]
    # Written while it was looked at: it is looked at again.
    marks = known.marks.get(sign_in, Marks())
    findings = []
    for name in [name for name in names if name in known.remembered] or names[-1:]:
        before = known.remembered.get(name)
        in_flight = before is not None and before.fresh
        verdict = judge(sign_in, marks, before.removal if before is not None and in_flight else None)
        # Long after a logout whatever shows no age is taken for a new sign-in.
        if verdict is not Verdict.LIVES and (verdict is Verdict.ENDED or in_flight or flush):
            findings.append(_finding(verdict, before, marks, None if name == place else name, flush=flush))
    return _strongest(findings) if findings else None


def _finding(verdict: Verdict, before: Remembered | None, marks: Marks, name: str | None, *, flush: bool) -> Finding:
    times = (marks.user_at, marks.session_at, before.removal.logout_at if before is not None else None)
    logout_at = max((at for at in times if at is not None), default=0.0)
    if verdict is Verdict.ENDED:
        remove = before is None or before.again < MAX_PROVED
    else:
        remove = before is not None and before.unsure < MAX_GUESSED
    return Finding(verdict, remove or flush, logout_at, before is not None, name)


def _strongest(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=lambda finding: (finding.remove, finding.verdict is Verdict.ENDED))
