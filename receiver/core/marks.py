"""Dated marks: "signed out at", and what they mean for a session.

A mark outlives the longest session, so that a login that finishes late, or an app that was away, still
learns of the logout. It carries the OP's time of the logout, so that a later login lives.
"""

from __future__ import annotations

import base64
import hashlib


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
    """What tells one client's mark from the tenant-wide one; empty for the tenant-wide one."""
    raw = hashlib.blake2b(client_id.encode(), digest_size=6).digest()
    return "." + base64.urlsafe_b64encode(raw).decode()


def is_ended(logout_at: float, auth_time: float | None) -> bool:
    """Whether a session that authenticated at `auth_time` is ended by a mark dated `logout_at`.

    Both are NumericDate seconds on the OP's clock. A session of unknown age counts as ended: signing in
    again costs the user a moment, living on costs the logout.
    """
    return auth_time is None or auth_time <= logout_at
