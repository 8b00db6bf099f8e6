"""Caches in which a logout's user may still be for all that is known, and why: it is acknowledged so, and said."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from receiver.core.eviction import Eviction
    from receiver.evictor.caches import Cache
    from receiver.evictor.find import Found
    from receiver.ops.evictor_metrics import EvictorMetrics

log = logging.getLogger("receiver.evictor")

Why = Literal["not_read", "unreadable", "index_full", "too_many_names"]

_ACTIONS: dict[Why, str] = {
    "not_read": "Redis tells of no writes to this cache, and it could not be read in time, so the user may still be in "
    "it; set notify-keyspace-events to Kg$h on the server, or raise evictor.read_within_s",
    "unreadable": "a value of this user, or of all users, cannot be read and has no form that may be deleted, so "
    "the user may still be in it; have the app register its keys, and see what receiver doctor says of this cache",
    "index_full": "the index had no room for all that was found of this user, so the user may still be in this cache; "
    "set evictor.index_secret_file, and see which cache grows",
    "too_many_names": "the user has more accounts and subjects than one logout looks up, so what an app registered "
    "under the others may still be in this cache; see which cache names them",
}


def unknown_of(
    concerned: Iterable[Cache], found: Found, eviction: Eviction, *, not_read: Collection[str], index_full: bool
) -> dict[str, Why]:
    """The caches, by name.

    Args:
        concerned: Those in which the user may be.
        found: What was looked at.
        eviction: The logout.
        not_read: Of which nothing tells of writes, and which could not be read in time.
        index_full: Whether something of the user is missing in the index.
    """
    unknown: dict[str, Why] = dict.fromkeys(not_read, "not_read")
    for name in found.unreadable:
        unknown.setdefault(name, "unreadable")
    # The one key of all users is always looked at.
    for cache in (cache for cache in concerned if cache.key is None):
        if index_full and cache.is_read:
            unknown.setdefault(cache.name, "index_full")
        elif eviction.beyond:
            unknown.setdefault(cache.name, "too_many_names")
    return unknown


def report(unknown: Mapping[str, Why], eviction: Eviction, metrics: EvictorMetrics) -> None:
    """Count and log it, for each cache."""
    for name, why in sorted(unknown.items()):
        metrics.unknown.labels(name).inc()
        emit(
            log, logging.WARNING, "evict.unknown", cache=name, reason=why, tenant=eviction.tenant, id=eviction.id,
            action=_ACTIONS[why],
        )  # fmt: skip
