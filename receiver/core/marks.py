"""Dated marks: "signed out at", and what they mean for a session.

A mark outlives the longest session, so that a login that finishes late, or an app that was away, still
learns of the logout. It carries the OP's time of the logout, so that a later login lives.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

EPOCH = "epoch"
"""Stands for a digest in the name of the mark that counts for everyone: Redis had lost its marks then, so that who was
signed out before cannot be known any more. No digest is as short."""

Name = tuple[str, str]
"""Of one mark: a digest, and the suffix of the client it counts for or empty. `bus.keys.Keys.mark` takes both."""


class MarkNames(NamedTuple):
    """The marks that may end one sign-in.

    Attributes:
        of_user: Logouts of the whole user.
        of_session: Logouts of the session.
    """

    of_user: tuple[Name, ...]
    of_session: tuple[Name, ...]


def mark_names(*, user: str, others: Iterable[str], session: str, client_ids: Iterable[str]) -> MarkNames:
    """Every mark that may end a sign-in: for all clients of the tenant, and for the sign-in's own clients.

    Args:
        user: Digest of the subject; empty when it is not known.
        others: Further digests of the same user, of the account for instance; empty ones are left out.
        session: Digest of the session; empty without one.
        client_ids: The clients the sign-in may be of.
    """
    suffixes = ("", *map(client_suffix, client_ids))
    # A session, and a session under one subject: see publish.lua.
    sessions = (session, f"{session}+{user}" if user else "") if session else ()
    return MarkNames(
        tuple((name, suffix) for name in (user, *others) if name for suffix in suffixes),
        tuple((name, suffix) for name in sessions if name for suffix in suffixes),
    )


def digest(kind: str, iss: str, value: str) -> str:
    """A short name for one subject or session of one issuer, so that Redis keys hold no personal data.

    Args:
        kind: `sub`, `sid` or `account`.
        iss: The issuer; `sid` and `sub` are unique only per issuer.
        value: The claim.

    Returns:
        16 characters of base64url (96 bits of BLAKE2b).
    """
    raw = hashlib.blake2b(f"{kind}\n{iss}\n{value}".encode(), digest_size=12).digest()
    return base64.urlsafe_b64encode(raw).decode()


def client_suffix(client_id: str) -> str:
    """What tells one client's mark from the tenant-wide one, which has no suffix."""
    raw = hashlib.blake2b(client_id.encode(), digest_size=6).digest()
    return "." + base64.urlsafe_b64encode(raw).decode()


def is_ended(logout_at: float, auth_time: float | None) -> bool:
    """Whether a session that authenticated at `auth_time` is ended by a mark dated `logout_at`.

    Both are NumericDate seconds on the OP's clock. A session of unknown age counts as ended: signing in
    again costs the user a moment, living on costs the logout.
    """
    return auth_time is None or auth_time <= logout_at
