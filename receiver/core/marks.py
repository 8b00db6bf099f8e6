"""Dated marks: "signed out at", and what they mean for a session.

A mark outlives the longest session, so that a login that finishes late, or an app that was away, still
learns of the logout. It carries the time of the logout, so that a later login lives.

The value of a mark is a decimal number, seconds and four further digits: `1795176000.0021`. Three digits count logouts
that did not move the date, so that the value grows with every logout. The last digit says who set the date (`Source`).
Earlier releases write and read whole seconds; to them the further digits are a fraction that no whole second equals.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from receiver.core.numeric_date import numeric_date

if TYPE_CHECKING:
    from collections.abc import Iterable

EPOCH = "epoch"
"""Stands for a digest in the name of the mark that counts for all users: Redis had lost its marks then, so that who was
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
    # No kind and no issuer has a line break, so that two different triples never are the same text.
    # 96 bits: among a thousand million names two are the same with a probability of 6 in 10^12.
    raw = hashlib.blake2b(f"{kind}\n{iss}\n{value}".encode(), digest_size=12).digest()
    # As `base64.urlsafe_b64encode`, without the calls in between: apps ask for a name in each request.
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE).decode()


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def client_suffix(client_id: str) -> str:
    """What tells one client's mark from the tenant-wide one, which has no suffix."""
    raw = hashlib.blake2b(client_id.encode(), digest_size=6).digest()
    return "." + base64.urlsafe_b64encode(raw).decode()


CLOCK_SKEW_S = 60.0
"""Seconds the clocks of OP and receiver may differ unless set otherwise: within them an operator's order and a sign-in
cannot be told apart by their dates. What registers after the order is newer; what was there before it, or does not
register, is over."""


class Source(IntEnum):
    """Which clock dated a mark, and what the mark ends; `publish.lua` and `register.lua` know the numbers."""

    OP = 0
    """The OP's, on its clock: what authenticated until then. A sign-in after it has a later `auth_time`."""
    ORDER = 1
    """An operator's, on the receiver's clock: what authenticated until then, although the session at the OP goes on."""
    ORDER_ON_SESSIONS = 2
    """The same, for sign-ins that were there: what the app was given an ID token for until then."""


class Mark(NamedTuple):
    """What one mark says.

    Attributes:
        value: Grows with every logout; only to be compared with values of marks.
        at: NumericDate seconds of the logout.
        source: Which clock that date is of.
        text: As it is kept.
    """

    value: float
    at: float
    source: Source
    text: str


_MARK = re.compile(r"(\d+)(?:\.(?:\d{3}([012]))?\d*)?", re.ASCII)


def read_mark(text: bytes | str | None) -> Mark | None:
    """What a mark says; None where there is none, or no date in it."""
    if text is None:
        return None
    found = _MARK.fullmatch(text.decode("ascii", "replace") if isinstance(text, bytes) else text)
    if found is None:
        return None
    at = numeric_date(float(found[1]))
    return None if at is None else Mark(float(found[0]), at, Source(int(found[2] or 0)), found[0])


def write_mark(logout_at: int, source: Source) -> str:
    """The value of a mark that nothing has moved yet."""
    return f"{logout_at}.000{source:d}" if source else str(logout_at)


class Beginning(NamedTuple):
    """When a sign-in began, NumericDate seconds on the OP's clock; None when that is unknown.

    Attributes:
        auth_time: When the user authenticated.
        issued_at: The `iat` of the ID token received at sign-in.
    """

    auth_time: float | None
    issued_at: float | None


def is_ended(source: Source, logout_at: float, began: Beginning, *, of_user: bool, skew_s: float) -> bool:
    """Whether a session is ended by a mark. One of unknown age is: signing in again costs the user a moment.

    Args:
        source: Of the mark.
        logout_at: Of the mark, NumericDate seconds.
        began: Of the session.
        of_user: Whether the mark ends all of a user's sessions; without `auth_time` the `iat` decides then.
        skew_s: Seconds that the clocks of OP and receiver may differ: added to the date of an order, which is compared
            with the OP's dates. Negative asks whether the session is ended for certain.
    """
    # Core §2: `auth_time` is when the user authenticated, `iat` when the token was made. A refresh renews `iat`, so it
    # decides only where it was kept from the sign-in.
    auth_time, issued_at = began
    if source is Source.ORDER_ON_SESSIONS:
        began_at = issued_at if issued_at is not None else auth_time
    else:
        began_at = issued_at if auth_time is None and of_user else auth_time
    # At the same second both may have been first; the sign-in is ended, for to sign in again costs less.
    return began_at is None or began_at <= logout_at + (skew_s if source else 0.0)


def anew_name(
    iss: str, *, client_id: str, sub: str, sid: str | None, auth_time: float | None, issued_at: float | None = None
) -> str:
    """Names one sign-in that is newer than the marks there are, though its ID token does not show it.

    Args:
        iss: Issuer.
        client_id: The app's client.
        sub: Subject.
        sid: Session at the OP, if it has one.
        auth_time: NumericDate seconds.
        issued_at: The `iat` of the ID token received at sign-in, which tells it from earlier ones of the same session.
            None names it by what every later ID token says as well, for who reads only caches.
    """
    dates = ("" if date is None else f"{date:.0f}" for date in (auth_time, issued_at))
    return digest("anew", iss, "\n".join((client_id, sub, sid or "", *dates)))


def registers_name(iss: str) -> str:
    """Names whether apps register sign-ins of this issuer."""
    return digest("registers", iss, "")


def awaited_name(place: str) -> str:
    """Names a cache key, or an account that a key follows from, at which a new sign-in is waited for."""
    return digest("awaited", "", place)
