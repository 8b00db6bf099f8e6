"""Find and remove one account in an MSAL token-cache blob (the unified schema every MSAL library writes).

Rules, each learnt from what the libraries really write:

* The fields of an entry are authoritative, not its dictionary key: key composition differs by library.
* `environment` is never compared: libraries write different aliases of the same host.
* Every client's entries go: a refresh token left behind for another client signs the user in again.
* Removing the `Account` node alone is useless; MSAL still answers from the tokens.
* Application tokens carry no `home_account_id` and are never touched.
"""

from __future__ import annotations

import base64
import json
from typing import Any

Blob = dict[str, dict[str, dict[str, Any]]]
"""`{"AccessToken": {key: {"home_account_id": str, "client_id": str, "secret": str, …}}, "RefreshToken": …}`"""

CREDENTIALS = ("AccessToken", "RefreshToken", "IdToken")
ACCOUNT = "Account"


def parse(text: str | bytes) -> Blob:
    """Read a serialised cache; an empty value is an empty cache, as it is for MSAL.

    Raises:
        ValueError: not the JSON object MSAL writes (encrypted, compressed or foreign).
    """
    blob = json.loads(text) if text else {}
    if not isinstance(blob, dict) or not all(isinstance(section, dict) for section in blob.values()):
        raise ValueError("not an MSAL token cache: expected a JSON object of objects")
    return blob


def accounts(blob: Blob) -> set[str]:
    """Every `home_account_id` that holds anything in this blob."""
    return {
        entry["home_account_id"]
        for section in (*CREDENTIALS, ACCOUNT)
        for entry in blob.get(section, {}).values()
        if entry.get("home_account_id")
    }


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
    kept_clients = set() if logout_at is None else _clients_signed_in_after(blob, home_account_id, logout_at)
    removed = 0
    for name in CREDENTIALS:
        section = blob.get(name, {})
        for key in [
            key
            for key, entry in section.items()
            if entry.get("home_account_id") == home_account_id and entry.get("client_id") not in kept_clients
        ]:
            del section[key]
            removed += 1
    if not kept_clients:
        section = blob.get(ACCOUNT, {})
        for key in [key for key, entry in section.items() if entry.get("home_account_id") == home_account_id]:
            del section[key]
            removed += 1
    return removed


def _clients_signed_in_after(blob: Blob, home_account_id: str, logout_at: int) -> set[str]:
    return {
        str(entry.get("client_id"))
        for entry in blob.get("IdToken", {}).values()
        if entry.get("home_account_id") == home_account_id and _auth_time(entry) > logout_at
    }


def _auth_time(id_token_entry: dict[str, Any]) -> float:
    """`auth_time` of a cached ID token, 0 when it says none; MSAL verified it when it was cached."""
    try:
        payload = str(id_token_entry["secret"]).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        auth_time = claims.get("auth_time", 0)
    except (KeyError, IndexError, ValueError, AttributeError):
        return 0
    return float(auth_time) if isinstance(auth_time, int | float) else 0
