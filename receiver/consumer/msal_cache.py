"""Forget one account in an MSAL Python token cache, in memory or in Redis.

MSAL's own `remove_account` works for one client; these remove the account for every client that shares
the cache, and leave every other account as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.bus.caches.blobs import rewrite
from receiver.core.layouts import msal_cache
from receiver.core.layouts.layout import Change
from receiver.core.layouts.msal import cut_of

if TYPE_CHECKING:
    import msal
    import redis


def forget_account(cache: msal.SerializableTokenCache, home_account_id: str, *, logout_at: int | None = None) -> int:
    """Remove one account's tokens and account, for every client, from a live cache object.

    Args:
        cache: Any MSAL `TokenCache`; a serializable one is marked as changed, so the app saves it.
        home_account_id: MSAL's account key (an event's `accounts`).
        logout_at: Seconds; a client that signed in later keeps its tokens. None removes all.

    Returns:
        Entries removed; 0 when the account was not there.
    """
    # MSAL's public remove_* methods rebuild the dictionary key and so miss entries written by another
    # MSAL library; its lock is what every reader and writer of the cache takes.
    with cache._lock:  # noqa: SLF001
        removed = msal_cache.remove_account(cache._cache, home_account_id, logout_at=logout_at)  # noqa: SLF001
        if removed and hasattr(cache, "has_state_changed"):
            cache.has_state_changed = True
    return removed


def forget_account_in_redis(
    client: redis.Redis, key: str, home_account_id: str, *, logout_at: int | None = None
) -> int:
    """Remove one account from a serialised cache shared in Redis, safely against concurrent writers.

    Only the account's entries are cut out of the value, its lifetime kept, every other byte unchanged, no matter what
    other writers do at the same time.

    Args:
        client: redis-py client with `decode_responses=False` (the default).
        key: The string key that holds the output of `SerializableTokenCache.serialize()`.
        home_account_id: MSAL's account key (an event's `accounts`).
        logout_at: Seconds; a client that signed in later keeps its tokens. None removes all.

    Returns:
        Entries removed; 0 when the account or the key was not there.

    Raises:
        ValueError: the value is not a plain MSAL cache (encrypted, or another layout); nothing was changed.
        UndoneError: other writers changed this account's own entries each of several times; nothing was changed.
        redis.RedisError: Redis did not answer.
    """
    removed = 0

    def without_account(value: bytes) -> Change | None:
        nonlocal removed
        ended = msal_cache.holders_ended(msal_cache.parse(value), home_account_id, logout_at=logout_at)
        left = msal_cache.without(value, ended)
        removed = left.removed
        return Change(left.serialised, cut=cut_of(value, left.pieces, ended)) if removed else None

    rewrite(client, key, without_account)
    return removed
