"""The metrics of `receiver evict`. Labels hold configured names, never anything from a cache."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from receiver.ops.process_metrics import ProcessMetrics


class EvictorMetrics(ProcessMetrics):
    """The metrics of one worker."""

    def __init__(self) -> None:
        super().__init__()
        registry = self.registry
        self.skipped = Counter(
            "logout_stream_skipped_total",
            "Stream entries that are no event of this version or have no number.",
            registry=registry,
        )
        self._cleared = Counter(
            "logout_cache_values_total",
            "Values looked at for an eviction, by outcome (deleted, rewritten, kept, absent, undone).",
            ["cache", "outcome"],
            registry=registry,
        )
        self._returned = Counter(
            "logout_cache_returned_total",
            "Values found signed out after the fact, by what showed it (ended, returned, unsure) and by outcome "
            "(removed; left: removed too often already).",
            ["cache", "verdict", "outcome"],
            registry=registry,
        )
        self.unresolved = Counter(
            "logout_unresolved_total",
            "Evictions for which no account and no key was known.",
            ["tenant"],
            registry=registry,
        )
        self.unknown = Counter(
            "logout_unknown_total",
            "Evictions acknowledged as unknown: the user may still be in the cache; evict.unknown says why.",
            ["cache"],
            registry=registry,
        )
        self.revocations = Counter(
            "logout_revocations_total",
            "Refresh tokens to be revoked, by outcome (ok, refused, failed, dropped, no_endpoint, skipped).",
            ["tenant", "outcome"],
            registry=registry,
        )
        self.learnt = Counter(
            "logout_index_notes_total",
            "New facts read in the caches: whose account is where.",
            ["cache"],
            registry=registry,
        )
        self.unreadable = Gauge(
            "logout_cache_unreadable",
            "Values the last reading of all caches could not look into: encrypted, compressed or foreign.",
            ["cache"],
            registry=registry,
        )
        self.bad_values = Counter(
            "logout_cache_bad_values_total",
            "Values that could not be judged, or not all of them, by reason (error, index_full, long_name, shape, "
            "too_deep, too_large, too_many); cache is empty for the evictor's own notes.",
            ["cache", "reason"],
            registry=registry,
        )
        self.keys = Gauge(
            "logout_cache_keys",
            "Values the last reading of all caches found.",
            ["cache"],
            registry=registry,
        )
        self.watching = Gauge(
            "logout_cache_watching",
            "1 in the one worker that reads the caches and hears of writes, else 0.",
            registry=registry,
        )
        self.notified = Gauge(
            "logout_cache_notified",
            "1 when that worker is told of every write by Redis, 0 when it only reads everything now and then.",
            ["cache"],
            registry=registry,
        )
        self.scan_seconds = Gauge(
            "logout_index_scan_seconds", "How long the last reading of all values took.", ["cache"], registry=registry
        )
        self.scanned_at = Gauge(
            "logout_index_scan_timestamp_seconds",
            "When the last reading of all values ended, as Unix time.",
            ["cache"],
            registry=registry,
        )

    def cleared(self, cache: str, outcome: str) -> None:
        """Count one value looked at for an eviction."""
        self._cleared.labels(cache, outcome).inc()

    def returned(self, cache: str, verdict: str, outcome: str) -> None:
        """Count one value that was found signed out after the fact."""
        self._returned.labels(cache, verdict, outcome).inc()
