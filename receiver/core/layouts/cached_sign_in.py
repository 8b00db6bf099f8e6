"""`CachedSignIn`: what a cached value says of one sign-in. Nothing of it is verified again.

An app verified its ID token before it cached it, and a program that can write the cache owns its users anyway.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from receiver.core.eviction import MAX_ID_CHARS
from receiver.core.layouts import foreign_json
from receiver.core.sign_in import clients_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CLIENTS = 16
"""Clients taken from one `aud`. Each is a look at Redis, and a visitor may have typed the text; with more, the client
counts as unknown."""

MAX_TOKEN = 65_536
"""Characters of the longest ID token that is read."""

DATED_BACK_S = 300.0
"""Seconds by which Microsoft Entra dates an ID token before it is issued."""

_ENTRA_VERSIONS = ("1.0", "2.0")
"""What `ver` is in every ID token of Entra, with any scope and in any cloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedSignIn:
    """One client's sign-in of one user; what is not known is None.

    Attributes:
        iss: Issuer of the ID token.
        client_ids: The app. Several where the ID token names several and does not say which; empty when unknown.
        sub: Subject at the issuer.
        sid: Session at the issuer.
        auth_time: NumericDate seconds when the user authenticated, on the OP's clock.
        issued_at: NumericDate seconds when the ID token was issued, by its `iat`; a refreshed one has a new one.
        account: MSAL's `home_account_id`.
        oldest_token_at: Seconds when the oldest access token was cached, on the app's clock.
    """

    iss: str | None = None
    client_ids: tuple[str, ...] = ()
    sub: str | None = None
    sid: str | None = None
    auth_time: float | None = None
    issued_at: float | None = None
    account: str | None = None
    oldest_token_at: float | None = None

    @property
    def is_named_by_subject(self) -> bool:
        """Whether the account is only its issuer's own name for the user: an OP without `client_info`."""
        return bool(self.iss and self.sub) and self.account == self.sub

    def with_oldest_token(self, cached_at: float | None) -> Self:
        """The same, with the age of its tokens."""
        return replace(self, oldest_token_at=cached_at)


def from_claims(
    claims: Mapping[str, Any],
    *,
    client_id: str | None = None,
    account: str | None = None,
    problems: set[str] | None = None,
) -> CachedSignIn | None:
    """The sign-in an ID token describes; None when the claims name no user of an issuer.

    Args:
        claims: Unverified.
        client_id: The client that owns the cache, where it is known: which of several in `aud` is meant.
        account: MSAL's `home_account_id` of the user, where it is known.
        problems: `long_name` is added where a name is too long to be taken.
    """
    clients = clients_of(claims, client_id)
    names = [claims.get("iss"), claims.get("sub"), claims.get("sid")]
    if problems is not None and any(map(is_too_long, (*names, *clients))):
        problems.add("long_name")
    # Core §5.7: `iss` and `sub` together are all that names a user for good. A `sid` without them names no session, for
    # it is unique at its issuer only.
    iss, sub, sid = map(text, names)
    if iss is None or sub is None:
        return None
    return CachedSignIn(
        iss=iss,
        client_ids=tuple(filter(text, clients)) if len(clients) <= MAX_CLIENTS else (),
        sub=sub,
        sid=sid,
        auth_time=seconds(claims.get("auth_time")),
        issued_at=_issued_at(claims),
        account=account,
    )


def _issued_at(claims: Mapping[str, Any]) -> float | None:
    issued_at = seconds(claims.get("iat"))
    # Else who signs in again within these seconds after a logout would be taken for who signed in before it.
    if issued_at is not None and claims.get("ver") in _ENTRA_VERSIONS:
        return issued_at + DATED_BACK_S
    return issued_at


def id_token_claims(token: object) -> dict[str, Any] | None:
    """The claims in a JWT, unverified; None when it is none, or beyond a limit."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        return None
    try:
        # Read leniently, unlike a token that comes in: what is refused here would keep its user signed in.
        payload = token.split(".")[1]
        claims = foreign_json.parse(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def text(value: object) -> str | None:
    """A text that names something; None for anything else, the halves of characters that JSON can carry included."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARS:
        return None
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        # No digest can be made of it. A visitor may get an app to keep it in a session.
        return None
    return value


def is_too_long(value: object) -> bool:
    """Whether this would name something if it were shorter."""
    return isinstance(value, str) and len(value) > MAX_ID_CHARS


def seconds(value: object) -> float | None:
    """A NumericDate, also as the text MSAL writes; None for anything else."""
    # RFC 7519 §2: a NumericDate is a JSON number. MSAL writes `cached_at` as text. To Python `true` is a number, too.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e12 else None  # noqa: PLR2004  # beyond any date, and not NaN
