"""What apps write into their caches: MSAL's unified schema and web sessions, small but as the libraries shape them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.keys import b64

ENVIRONMENT = "login.example.com"


def id_token(iss: str, sub: str, client: str, **claims: Any) -> str:
    """An ID token as it is cached; nobody looks at its signature again."""
    payload = {"iss": iss, "sub": sub, "aud": client, **claims}
    header = b64(json.dumps({"alg": "RS256", "typ": "JWT"}))
    return f"{header}.{b64(json.dumps({n: v for n, v in payload.items() if v is not None}))}.c2lnbmF0dXJl"


def tokens(
    iss: str | None,
    *,
    sub: str = "u1",
    account: str | None = "u1",
    client: str = "c1",
    sid: str | None = None,
    auth_time: float | None = None,
    cached_at: float | None = None,
    environment: str = ENVIRONMENT,
    scopes: str = "openid profile User.Read",
    **claims: Any,
) -> dict[str, Any]:
    """One client's cached sign-in of one user: access, refresh and ID token, and the account.

    Without issuer there is no ID token, without `cached_at` no access token, without account none of that node.
    """
    who = {"home_account_id": account, "environment": environment, "client_id": client}
    stem = f"{account or ''}-{environment}"
    blob: dict[str, Any] = {"AccessToken": {}, "RefreshToken": {}, "IdToken": {}, "Account": {}}
    if cached_at is not None:
        blob["AccessToken"][f"{stem}-accesstoken-{client}-r-{scopes}"] = {
            **who, "credential_type": "AccessToken", "secret": f"at-{stem}-{client}", "realm": "r", "target": scopes,
            "cached_at": str(int(cached_at)), "expires_on": str(int(cached_at) + 3600),
        }  # fmt: skip
    blob["RefreshToken"][f"{stem}-refreshtoken-{client}--"] = {
        **who, "credential_type": "RefreshToken", "secret": f"rt-{stem}-{client}",
    }  # fmt: skip
    if iss is not None:
        blob["IdToken"][f"{stem}-idtoken-{client}-r-"] = {
            **who, "credential_type": "IdToken", "realm": "r",
            "secret": id_token(iss, sub, client, sid=sid, auth_time=auth_time, **claims),
        }  # fmt: skip
    if account is not None:
        blob["Account"][f"{stem}-r"] = {
            "home_account_id": account, "environment": environment, "realm": "r", "username": "alice@example.com",
        }  # fmt: skip
    return blob


def app_token(client: str = "c1", *, target: str = "https://graph.example.com/.default") -> dict[str, Any]:
    """An application's own token, as client credentials give it."""
    return {
        "AccessToken": {
            f"-{ENVIRONMENT}-accesstoken-{client}-r-{target}": {
                "home_account_id": None, "environment": ENVIRONMENT, "client_id": client, "secret": f"app-{client}",
                "target": target, "cached_at": "1", "credential_type": "AccessToken",
            }
        }
    }  # fmt: skip


def merged(*blobs: dict[str, Any]) -> dict[str, Any]:
    """One blob with the entries of all."""
    whole: dict[str, Any] = {}
    for blob in blobs:
        for section, entries in blob.items():
            whole.setdefault(section, {}).update(entries)
    return whole


def dumped(*blobs: dict[str, Any]) -> bytes:
    """The same, serialised."""
    return json.dumps(merged(*blobs)).encode()


def accounts_of(blob: dict[str, Any]) -> set[str | None]:
    """Whose credentials are in a cache; None for an application's own."""
    sections = ("AccessToken", "RefreshToken", "IdToken", "Account")
    return {entry.get("home_account_id") for section in sections for entry in blob.get(section, {}).values()}


def accounts_in(raw: bytes | None) -> set[str | None]:
    """Whose credentials a serialised cache holds."""
    return accounts_of(json.loads(raw or b"{}"))


def clients_in(raw: bytes | None) -> set[str | None]:
    """Whose apps' credentials a serialised cache holds."""
    blob = json.loads(raw or b"{}")
    sections = ("AccessToken", "RefreshToken", "IdToken")
    return {entry.get("client_id") for section in sections for entry in blob.get(section, {}).values()}
