"""Where web sessions keep the signed-in user's ID token claims and MSAL account. Pure: no I/O, no framework.

Known without configuration: Microsoft's `identity` (`_logged_in_user`, `_token_cache`), the MSAL samples
(`user`, `token_cache`), Authlib (`user`, or a token with `userinfo`), Flask-OIDC (`oidc_auth_token`) and
mozilla-django-oidc with `OIDC_STORE_ID_TOKEN` (`oidc_id_token`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from receiver.core.layouts import msal_cache
from receiver.core.layouts.cached_sign_in import id_token_claims, text

if TYPE_CHECKING:
    from receiver.core.layouts.msal_cache import Blob

CLAIMS_KEYS = (
    *("_logged_in_user", "user", "id_token_claims", "claims", "userinfo"),
    *("oidc_auth_token", "oidc_id_token", "id_token", "token"),
)
"""Session keys looked at for ID token claims, in this order."""

INNER_KEYS = ("id_token_claims", "userinfo", "claims", "id_token")
"""Members of such a value looked at in turn, where it is a token response around the claims."""

TOKEN_CACHE_KEYS = ("_token_cache", "token_cache")
"""Session keys looked at for the output of `SerializableTokenCache.serialize()`."""

ACCOUNT_KEYS = ("home_account_id",)
"""Session keys looked at for MSAL's account key itself."""


class SessionLike(Protocol):
    """What Flask, Django, Starlette and aiohttp-session have in common."""

    def get(self, key: str, /) -> Any: ...  # noqa: D102
    def keys(self) -> Iterable[Any]: ...  # noqa: D102
    def __contains__(self, key: object, /) -> bool: ...
    def __getitem__(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: object, /) -> None: ...
    def __delitem__(self, key: str, /) -> None: ...


def find_claims(session: SessionLike) -> Mapping[str, Any] | None:
    """The ID token claims a session holds, with `iss`, `sub` and `aud`; None when it holds none."""
    for key in CLAIMS_KEYS:
        claims = claims_in(session.get(key))
        if claims is not None:
            return claims
    return None


def claims_in(value: object) -> Mapping[str, Any] | None:
    """The claims in one session value: the claims themselves, an ID token, or a token response around either.

    An ID token's signature is not checked: the app did when it signed the user in, and the session is its own.
    """
    claims = _claims(value)
    if claims is None and isinstance(value, Mapping):
        found = (_claims(value.get(key)) for key in INNER_KEYS)
        claims = next((inner for inner in found if inner is not None), None)
    return claims


def find_account(session: SessionLike, claims: Mapping[str, Any]) -> str | None:
    """MSAL's `home_account_id` of the user these claims are of; None where the session does not tell."""
    for key in ACCOUNT_KEYS:
        account = text(session.get(key))
        if account is not None:
            return account
    for key in TOKEN_CACHE_KEYS:
        value = session.get(key)
        if isinstance(value, str | bytes) and value:
            try:
                return account_of(msal_cache.parse(value), claims)
            except (ValueError, AttributeError):  # encrypted, or not the layout MSAL writes
                return None
    return None


def account_of(blob: Blob, claims: Mapping[str, Any]) -> str | None:
    """The account with this `sub` in its cached ID token; else the only account there is."""
    for entry in blob.get("IdToken", {}).values():
        account = text(entry.get("home_account_id"))
        if account and (id_token_claims(entry.get("secret")) or {}).get("sub") == claims.get("sub"):
            return account
    accounts = msal_cache.accounts(blob)
    return text(accounts.pop()) if len(accounts) == 1 else None


def _claims(value: object) -> Mapping[str, Any] | None:
    claims = id_token_claims(value) if isinstance(value, str) else value
    # Asking an abstract class takes longer than all the rest.
    if type(claims) is not dict and not isinstance(claims, Mapping):
        return None
    named = isinstance(claims.get("iss"), str) and isinstance(claims.get("sub"), str)
    return claims if named and (claims.get("aud") or claims.get("azp")) else None
