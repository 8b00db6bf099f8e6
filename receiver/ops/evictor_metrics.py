"""The metrics of `receiver evict`. Labels hold configured names, never anything from a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.verdict import Verdict
from receiver.ops.process_metrics import ProcessMetrics, at_zero

if TYPE_CHECKING:
    from collections.abc import Collection


_REASONS = ("error", "index_full", "index_many", "long_name", "shape", "too_deep", "too_large", "too_many")
"""Why a value cannot be judged, or not all of it."""


class EvictorMetrics(ProcessMetrics):
    """The metrics of one worker."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = self._counter(
            "logout_stream_skipped_total", "Stream entries that are no event of this version or have no number."
        )
        self._cleared = self._counter(
            "logout_cache_values_total",
            "Values looked at for an eviction, by outcome (deleted, rewritten, kept, absent, undone).",
            ["cache", "outcome"],
        )
        self._returned = self._counter(
            "logout_cache_returned_total",
            "Values found signed out after the fact, by what showed it (ended, returned, unsure) and by outcome "
            "(removed, left).",
            ["cache", "verdict", "outcome"],
        )
        self.unresolved = self._counter(
            "logout_unresolved_total", "Evictions for which no account and no key was known.", ["tenant"]
        )
        self.unknown = self._counter(
            "logout_unknown_total",
            "Evictions acknowledged as unknown: the user may still be in the cache; evict.unknown says why.",
            ["cache"],
        )
        self.revocations = self._counter(
            "logout_revocations_total",
            "Refresh tokens to be revoked, by outcome (ok, refused, failed, dropped, no_endpoint, skipped).",
            ["tenant", "outcome"],
        )
        self.learnt = self._counter(
            "logout_index_notes_total", "New facts read in the caches: which user's account is where.", ["cache"]
        )
        self.unreadable = self._gauge(
            "logout_cache_unreadable",
            "Values the last reading of all caches could not look into: encrypted, compressed or foreign.",
            ["cache"],
        )
        self.bad_values = self._counter(
            "logout_cache_bad_values_total",
            "Values that could not be judged, or not all of them, by reason (error, index_full, index_many, "
            "long_name, shape, too_deep, too_large, too_many). The cache is empty for the evictor's own notes.",
            ["cache", "reason"],
        )
        self.keys = self._gauge("logout_cache_keys", "Values the last reading of all caches found.", ["cache"])
        self.watching = self._gauge(
            "logout_cache_watching", "1 in the one worker that reads the caches and hears of writes, else 0."
        )
        self.notified = self._gauge(
            "logout_cache_notified",
            "1 when that worker is told of every write by Redis, 0 when it only reads everything now and then.",
            ["cache"],
        )
        self.scan_seconds = self._gauge(
            "logout_index_scan_seconds", "How long the last reading of all values took.", ["cache"]
        )
        self.scanned_at = self._gauge(
            "logout_index_scan_timestamp_seconds", "When the last reading of all values ended, as Unix time.", ["cache"]
        )

    def follow(self, caches: Collection[str], tenants: Collection[str], revoking: Collection[str]) -> None:
        """Have counters at 0 from the start.

        Args:
            caches: Names of all caches.
            tenants: Those that have series from the start.
            revoking: Those of them with refresh tokens that are revoked.
        """
        at_zero(self._cleared, caches, ("deleted", "rewritten", "kept", "absent", "undone"))
        verdicts = [verdict.value for verdict in Verdict if verdict is not Verdict.LIVES]
        at_zero(self._returned, caches, verdicts, ("removed", "left"))
        at_zero(self.unknown, caches)
        at_zero(self.learnt, caches)
        # Without a cache: the evictor's own notes.
        at_zero(self.bad_values, ("", *caches), _REASONS)
        at_zero(self.unresolved, tenants)
        at_zero(self.revocations, revoking, ("ok", "refused", "failed", "dropped", "no_endpoint", "skipped"))

    def cleared(self, cache: str, outcome: str) -> None:
        """Count one value looked at for an eviction."""
        self._cleared.labels(cache, outcome).inc()

    def returned(self, cache: str, verdict: str, outcome: str) -> None:
        """Count one value that was found signed out after the fact."""
        self._returned.labels(cache, verdict, outcome).inc()
