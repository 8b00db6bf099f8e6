"""When a logout is the same as one before: what a repeat has in common with the first, and the id of one that differs.

The `jti` alone does not tell: some OPs send the session id as `jti`, or one `jti` to several clients.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from json.encoder import encode_basestring_ascii as encode_text

from receiver.core.eviction import Eviction
from receiver.errors import BadEventError


def subject_of(eviction: Eviction) -> str:
    """A digest of issuer, `jti`, client, `sub` and `sid`: 32 hexadecimal digits, the same for every repeat of a logout.

    Empty for an order without a `jti`: its id alone says what it is.
    """
    # BCL §2.6 step 8 knows a repeat by its `jti` alone. RFC 7519 §4.1.7 wants one for each token, and not all OPs do
    # so.
    if eviction.jti is None:
        return ""
    # As JSON without spaces writes the five: earlier releases compare the same digest.
    return _digest(
        f"[{encode_text(eviction.iss)},{encode_text(eviction.jti)},{_or_null(eviction.client_id)},"
        f"{_or_null(eviction.sub)},{_or_null(eviction.sid)}]"
    )


def id_if_reused(eviction: Eviction) -> str:
    """The id of this logout where another one has its own, because the OP used one `jti` for both."""
    return id_of(subject_of(eviction), eviction.logout_at)


def id_of(subject: str, logout_at: int) -> str:
    """`id_if_reused` by the logout's `subject_of` and date."""
    return _digest(f"{subject}\n{logout_at}")


def is_repeat(eviction: Eviction, first: Eviction) -> bool:
    """Whether a logout adds nothing to one with its id: the same subject, and no later `logout_at`."""
    return subject_of(eviction) == subject_of(first) and (eviction.jti is None or eviction.logout_at <= first.logout_at)


def beside(eviction: Eviction, stored: bytes | None) -> Eviction:
    """The eviction as it is stored where something may be stored under its id: with another id unless it repeats that.

    Args:
        eviction: The one to store.
        stored: The wire form of the other; None where there is none.
    """
    try:
        repeats = stored is None or is_repeat(eviction, Eviction.from_json(stored))
    except BadEventError:
        repeats = False
    return eviction if repeats else replace(eviction, id=id_if_reused(eviction))


def _or_null(value: str | None) -> str:
    return "null" if value is None else encode_text(value)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
