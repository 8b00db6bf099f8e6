"""MSAL's token cache in Redis, shared by both apps: loaded for one request, saved back when it changed.

This is the pattern of MSAL's documentation (`SerializableTokenCache`, `has_state_changed`), with the care a
shared value needs: two requests may save at the same time, and a sign-out may empty the cache in between.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msal
import redis

from receiver.core.layouts import msal_cache

KEY = "demo:msal-token-cache"
"""One value for both apps and all users, so that one sign-in's leftovers are everybody's."""

LIFETIME_S = 24 * 3600


class RedisTokenCache(msal.SerializableTokenCache):  # type: ignore[misc]  # msal ships no types
    """One request's view of the shared cache.

    A save never takes back what others wrote meanwhile: this request's own changes are made again on top of
    the newest value, by compare-and-set. Changes to an account that was evicted since this request began
    (a refresh in flight) are dropped, because they would bring the account back.
    """

    def __init__(self, client: redis.Redis) -> None:
        super().__init__()
        self.has_state_changed: bool
        self._client = client
        self._changes: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = []
        loaded = client.get(KEY)
        self.deserialize(loaded)
        self._known = _accounts(loaded)

    def modify(
        self,
        credential_type: str,
        old_entry: dict[str, Any],
        new_key_value_pairs: dict[str, Any] | None = None,
    ) -> None:
        """Change or remove one entry; everything MSAL does to a cache comes through here."""
        super().modify(credential_type, old_entry, new_key_value_pairs)
        self._changes.append((credential_type, old_entry, new_key_value_pairs))

    def save(self) -> None:
        """Write this request's changes back, if there are any."""
        if not self.has_state_changed:
            return
        with self._client.pipeline() as pipeline:
            while True:
                try:
                    pipeline.watch(KEY)
                    newest = pipeline.get(KEY)
                    pipeline.multi()
                    pipeline.set(KEY, self._on_top_of(newest), ex=LIFETIME_S)
                    pipeline.execute()
                except redis.WatchError:
                    continue
                self.has_state_changed = False
                return

    def _on_top_of(self, newest: Any) -> str:
        evicted = self._known - _accounts(newest)
        merged = msal.SerializableTokenCache()
        merged.deserialize(newest)
        for credential_type, old_entry, new_key_value_pairs in self._changes:
            if old_entry.get("home_account_id") not in evicted:
                merged.modify(credential_type, old_entry, new_key_value_pairs)
        return str(merged.serialize())


def holdings(client: redis.Redis) -> Counter[tuple[str, str, str]]:
    """What the shared cache holds: how many entries for each (username, client_id, kind); never a token.

    Kinds are MSAL's: `AccessToken`, `RefreshToken`, `IdToken`. A refresh token whose account is gone is
    counted under its account id, so that leftovers show.
    """
    blob = msal_cache.parse(client.get(KEY) or b"")
    names = {entry["home_account_id"]: str(entry["username"]) for entry in blob.get(msal_cache.ACCOUNT, {}).values()}
    return Counter(
        (names.get(entry["home_account_id"], str(entry["home_account_id"])), str(entry["client_id"]), kind)
        for kind in msal_cache.CREDENTIALS
        for entry in blob.get(kind, {}).values()
    )


def accounts_held(client: redis.Redis) -> set[str]:
    """Every `home_account_id` that has anything left in the shared cache."""
    return _accounts(client.get(KEY))


def _accounts(value: Any) -> set[str]:
    return msal_cache.accounts(msal_cache.parse(value or b""))
