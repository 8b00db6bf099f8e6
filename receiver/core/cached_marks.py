"""Which logout marks may end a sign-in that was found in a cache, and what they say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.marks import Mark, MarkNames, Name, anew_name, client_suffix, digest, mark_names
from receiver.core.verdict import Marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from receiver.core.eviction import Eviction
    from receiver.core.layouts.cached_sign_in import CachedSignIn

SUBJECT_AND_ACCOUNT = 2
"""Names a user has who is known by both; then what is marked under the one has to be under the other."""


def suffix_of(eviction: Eviction) -> str:
    """Of the names under which a logout is remembered that counts for one client only; else empty."""
    return client_suffix(eviction.client_id) if eviction.applies_to == "client" and eviction.client_id else ""


def marks_of(sign_in: CachedSignIn, issuers: Iterable[str]) -> MarkNames:
    """The marks that may end this sign-in."""
    iss, sub, account = sign_in.iss, sign_in.sub, sign_in.account
    others = []
    if account is not None:
        if iss is None:
            # An account is the subject itself where the OP sends no client_info.
            others = [digest(kind, issuer, account) for issuer in issuers for kind in ("account", "sub")]
        elif account != sub:
            others = [digest("account", iss, account)]
    return mark_names(
        user=digest("sub", iss, sub) if iss and sub else "",
        others=others,
        session=digest("sid", iss, sign_in.sid) if iss and sign_in.sid else "",
        client_ids=sign_in.client_ids,
    )


def anew_names(sign_in: CachedSignIn) -> list[str]:
    """As what the sign-in may be noted as newer than its marks."""
    iss, sub = sign_in.iss, sign_in.sub
    if iss is None or sub is None:
        return []
    return [
        anew_name(iss, client_id=client_id, sub=sub, sid=sign_in.sid, auth_time=sign_in.auth_time)
        for client_id in sign_in.client_ids
    ]


def what_they_say(names: MarkNames, *, of: Callable[[Name], Mark | None], newer_than: Sequence[Mark]) -> Marks:
    """When a sign-in's user and session were signed out.

    Args:
        names: Of its marks.
        of: The mark of a name, where there is one.
        newer_than: Marks that it is registered as newer than; older ones say nothing of it.
    """
    least = max((mark.value for mark in newer_than), default=float("-inf"))

    def those(some: Sequence[Name]) -> list[Mark]:
        return [mark for mark in map(of, some) if mark is not None and mark.value > least]

    def latest(marks: Sequence[Mark]) -> float | None:
        return max((mark.at for mark in marks), default=None)

    of_user, of_session = those(names.of_user), those(names.of_session)
    return Marks(
        latest([mark for mark in of_user if not mark.source]),
        latest([mark for mark in of_session if not mark.source]),
        order_at=latest([mark for mark in (*of_user, *of_session) if mark.source]),
        anew=bool(newer_than) and not of_user and not of_session,
        only_subject=_only_of_subject(names.of_user, those),
    )


def _only_of_subject(of_user: Sequence[Name], those: Callable[[Sequence[Name]], list[Mark]]) -> str | None:
    # Without a suffix are the marks that count for all clients: one of the subject and, where it is another name, one
    # of the account.
    wide = [name for name in of_user if not name[1]]
    if len(wide) != SUBJECT_AND_ACCOUNT:
        return None
    subject, account = (those([name]) for name in wide)
    if not subject or (account and account[0].value >= subject[0].value):
        return None
    return subject[0].text
