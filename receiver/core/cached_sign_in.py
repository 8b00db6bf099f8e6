"""`CachedSignIn`: what a cached value says of one sign-in. Nothing of it is verified again.

An app verified its ID token before it cached it, and whoever can write the cache owns its users anyway.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedSignIn:
    """One client's sign-in of one user; what is not known is None.

    Attributes:
        iss: Issuer of the ID token.
        client_id: The app.
        sub: Subject at the issuer.
        sid: Session at the issuer.
        auth_time: NumericDate seconds when the user authenticated, on the OP's clock.
        account: MSAL's `home_account_id`.
        oldest_token_at: Seconds when the oldest access token was cached, on the app's clock.
    """

    iss: str | None = None
    client_id: str | None = None
    sub: str | None = None
    sid: str | None = None
    auth_time: float | None = None
    account: str | None = None
    oldest_token_at: float | None = None

    def with_oldest_token(self, cached_at: float | None) -> Self:
        """The same, with the age of its tokens."""
        return replace(self, oldest_token_at=cached_at)


def from_claims(claims: Mapping[str, Any], *, account: str | None = None) -> CachedSignIn | None:
    """The sign-in an ID token describes; None when the claims name no user of an issuer."""
    iss, sub, aud = text(claims.get("iss")), text(claims.get("sub")), claims.get("aud")
    if iss is None or sub is None:
        return None
    return CachedSignIn(
        iss=iss,
        client_id=text(claims.get("azp") or (aud[0] if isinstance(aud, list) and aud else aud)),
        sub=sub,
        sid=text(claims.get("sid")),
        auth_time=seconds(claims.get("auth_time")),
        account=account,
    )


def id_token_claims(token: object) -> dict[str, Any] | None:
    """The claims in a JWT, unverified; None when it is none."""
    try:
        payload = str(token).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def text(value: object) -> str | None:
    """A text that names something; None for anything else, the halves of characters that JSON can carry included."""
    if not isinstance(value, str) or not value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        # No digest can be made of it. A visitor may get an app to keep it in a session.
        return None
    return value


def seconds(value: object) -> float | None:
    """A NumericDate, also as the text MSAL writes; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e12 else None  # noqa: PLR2004  # beyond any date, and not NaN
