"""Find and remove one account in an MSAL token-cache blob (the unified schema every MSAL library writes).

Rules, each learnt from what the libraries really write:

* The fields of an entry are authoritative, not its dictionary key: key composition differs by library.
* `environment` is never compared: libraries write different aliases of the same host.
* Every client's entries go: a refresh token left behind for another client signs the user in again.
* Removing the `Account` node alone is useless; MSAL still answers from the tokens.
* Application tokens carry no `home_account_id` and are never touched.
* MSAL4J writes no `home_account_id` at all for an OP that sends no `client_info`: there the client's ID token
  says whose tokens they are, and application tokens are told from user tokens by what they were granted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.core.cached_sign_in import CachedSignIn, from_claims, id_token_claims, seconds, text

if TYPE_CHECKING:
    from collections.abc import Collection

Blob = dict[str, dict[str, dict[str, Any]]]
"""`{"AccessToken": {key: {"home_account_id": str, "client_id": str, "secret": str, …}}, "RefreshToken": …}`"""

CREDENTIALS = ("AccessToken", "RefreshToken", "IdToken")
ACCOUNT = "Account"
SECTIONS = frozenset({*CREDENTIALS, ACCOUNT, "AppMetadata"})

USER_SCOPES = frozenset({"openid", "profile", "offline_access"})
"""Scopes only a user's tokens are granted."""


class Holder(NamedTuple):
    """Whose entries: one client's, for one account.

    Attributes:
        account: `home_account_id`; None where MSAL4J wrote none.
        client_id: The app.
    """

    account: str | None
    client_id: str | None


class RefreshToken(NamedTuple):
    """A refresh token that was removed, for whoever wants to revoke it."""

    client_id: str
    secret: str


def parse(serialised: str | bytes) -> Blob:
    """Read a serialised cache; an empty value is an empty cache, as it is for MSAL.

    Raises:
        ValueError: not the JSON object MSAL writes (encrypted, compressed or foreign).
    """
    blob = json.loads(serialised) if serialised else {}
    if not isinstance(blob, dict) or not all(isinstance(section, dict) for section in blob.values()):
        raise ValueError("not an MSAL token cache: expected a JSON object of objects")
    for name in (*CREDENTIALS, ACCOUNT):
        if not all(isinstance(entry, dict) for entry in blob.get(name, {}).values()):
            raise ValueError("not an MSAL token cache: an entry is not an object")
        whose = [
            entry.get(field) for entry in blob.get(name, {}).values() for field in ("home_account_id", "client_id")
        ]
        if not all(value is None or value == "" or text(value) for value in whose):
            raise ValueError("not an MSAL token cache: an entry is of nobody who can be named")
    return blob


def serialise(blob: Blob) -> bytes:
    """The blob as every MSAL library reads it; numbers and unknown sections as they were."""
    try:
        return json.dumps(blob, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half a character, in a user's name for instance, can only be written escaped.
        return json.dumps(blob, separators=(",", ":")).encode()


def accounts(blob: Blob) -> set[str]:
    """Every `home_account_id` that holds anything in this blob."""
    return {
        entry["home_account_id"]
        for section in (*CREDENTIALS, ACCOUNT)
        for entry in blob.get(section, {}).values()
        if entry.get("home_account_id")
    }


def holds_tokens(blob: Blob) -> bool:
    """Whether anything of value is left: a credential or an account, application tokens included."""
    return any(blob.get(section) for section in (*CREDENTIALS, ACCOUNT))


def sign_ins(blob: Blob) -> dict[Holder, list[CachedSignIn]]:
    """What the blob says of each client's sign-in of each account, from its ID tokens and the age of its tokens.

    A holder without ID token has one entry that knows the account only, and so has an account without any token, which
    is no client's. Application tokens have no holder.
    """
    oldest: dict[Holder, float] = {}
    found: dict[Holder, list[CachedSignIn]] = {}
    for name in CREDENTIALS:
        for entry in blob.get(name, {}).values():
            holder = _holder(entry)
            if holder.account is not None:
                found.setdefault(holder, [])
            cached_at = seconds(entry.get("cached_at"))
            if name == "AccessToken" and cached_at is not None:
                oldest[holder] = min(cached_at, oldest.get(holder, cached_at))
    for entry in blob.get("IdToken", {}).values():
        holder = _holder(entry)
        claims = id_token_claims(entry.get("secret"))
        sign_in = from_claims(claims, account=holder.account) if claims is not None else None
        if sign_in is not None:
            found.setdefault(holder, []).append(sign_in)
    with_tokens = {holder.account for holder in found}
    for entry in blob.get(ACCOUNT, {}).values():
        if (account := _holder(entry).account) not in with_tokens and account is not None:
            found[Holder(account, None)] = []
    return {
        holder: [
            sign_in.with_oldest_token(oldest.get(holder))
            for sign_in in known or [CachedSignIn(account=holder.account, client_id=holder.client_id)]
        ]
        for holder, known in found.items()
    }


def remove(blob: Blob, holders: Collection[Holder]) -> tuple[int, list[RefreshToken]]:
    """Remove these holders' access, refresh and ID tokens in place, and the accounts nothing is left of.

    Returns:
        How many entries were removed, and the refresh tokens among them.
    """
    removed, refresh_tokens = 0, []
    for name in CREDENTIALS:
        section = blob.get(name, {})
        for key, entry in list(section.items()):
            holder = _holder(entry)
            if holder not in holders or (holder.account is None and not _is_users(name, entry)):
                continue
            if name == "RefreshToken" and isinstance(entry.get("secret"), str) and holder.client_id:
                refresh_tokens.append(RefreshToken(holder.client_id, entry["secret"]))
            del section[key]
            removed += 1
    left = {_holder(entry).account for name in CREDENTIALS for entry in blob.get(name, {}).values()}
    section = blob.get(ACCOUNT, {})
    for account in {holder.account for holder in holders} - left - {None}:
        for key in [key for key, entry in section.items() if entry.get("home_account_id") == account]:
            del section[key]
            removed += 1
    return removed, refresh_tokens


def remove_account(blob: Blob, home_account_id: str, *, logout_at: int | None = None) -> int:
    """Remove one account's access, refresh and ID tokens and account, for every client, in place.

    Args:
        blob: The parsed cache; other accounts and all unknown sections stay as they are.
        home_account_id: The account, compared exactly.
        logout_at: NumericDate seconds. A client whose ID token says the user authenticated later
            (`auth_time`; never `iat`, which every refresh renews) keeps its entries. None removes all.

    Returns:
        How many entries were removed; 0 when the account was not there.
    """
    ended = {
        holder
        for holder, known in sign_ins(blob).items()
        if holder.account == home_account_id
        and (logout_at is None or not any((sign_in.auth_time or 0) > logout_at for sign_in in known))
    }
    return remove(blob, ended)[0]


def _holder(entry: dict[str, Any]) -> Holder:
    return Holder(entry.get("home_account_id") or None, entry.get("client_id"))


def _is_users(section: str, entry: dict[str, Any]) -> bool:
    """Whether an entry without account is a user's, not the application's own."""
    if section != "AccessToken":
        return True
    granted = entry.get("target")
    scopes = granted.split() if isinstance(granted, str) else granted
    return isinstance(scopes, list) and any(scope in USER_SCOPES for scope in scopes if isinstance(scope, str))
