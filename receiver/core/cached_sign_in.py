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
    iss, sub, sid, aud = (claims.get(name) for name in ("iss", "sub", "sid", "aud"))
    if not (isinstance(iss, str) and isinstance(sub, str)):
        return None
    client_id = claims.get("azp") or (aud[0] if isinstance(aud, list) and aud else aud)
    return CachedSignIn(
        iss=iss,
        client_id=client_id if isinstance(client_id, str) else None,
        sub=sub,
        sid=sid if isinstance(sid, str) and sid else None,
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


def seconds(value: object) -> float | None:
    """A NumericDate, also as the text MSAL writes; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e12 else None  # noqa: PLR2004  # beyond any date, and not NaN
