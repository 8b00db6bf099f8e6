"""MSAL's token cache in Redis, one value for each account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msal

if TYPE_CHECKING:
    import redis

LIFETIME_S = 24 * 3600
"""Seconds an account's tokens are kept after they were last changed."""


class TokenCache:
    """Load it, give `msal_cache` to MSAL, save it: once for each request.

    Args:
        client: The Redis the app keeps its tokens in.
        prefix: What its keys begin with.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self.msal_cache = msal.SerializableTokenCache()

    def load(self, account: str) -> None:
        """What is kept for this MSAL `home_account_id`; nothing if it is not there."""
        self.msal_cache.deserialize(self._client.get(self._prefix + account))

    def save(self, account: str) -> None:
        """Keep it, if MSAL has changed anything."""
        if self.msal_cache.has_state_changed:
            self._client.set(self._prefix + account, self.msal_cache.serialize(), ex=LIFETIME_S)
            self.msal_cache.has_state_changed = False
