"""Every metric, once. Labels hold configured names and error codes, never anything from a token.

Not every name has series of its own: thousands of them would be more than a scrape can carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client import Counter

from receiver.core.tokens.key_freshness import Evidence
from receiver.errors import Code
from receiver.ops.process_metrics import Histogram, ProcessMetrics, at_zero
from receiver.ops.sections import DEFAULT_TENANT_SERIES

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN_TENANT = "unknown"
"""Label for requests that name no configured tenant."""

OTHER = "other"
"""Label of all names without series of their own."""

_ERRORS = (Code.PUBLISH, Code.JWKS_UNAVAILABLE, Code.INTERNAL)
"""Codes of logouts that are not taken in for a fault that is not theirs."""

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_HUMAN = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


Metric = TypeVar("Metric", bound=Counter | Histogram)


class Children(dict[tuple[str, ...], Metric], Generic[Metric]):
    """The children of a metric by the values of their labels, each looked up once: the library locks for every look.

    Only for children that are never removed.
    """

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Metric:
        return self.setdefault(labels, self._metric.labels(*labels))  # type: ignore[arg-type]  # a child is of its type


class Labels:
    """Gives names, of tenants or apps, their label. One that once had its own keeps it, so that no series jumps.

    Args:
        limit: Names with series of their own.
        own: Names that have theirs from the start; they count.
    """

    def __init__(self, limit: int, own: Iterable[str] = ()) -> None:
        self._limit = limit
        self._own = set(own)

    def of(self, name: str) -> str:
        """The label of this name."""
        if name in self._own:
            return name
        if len(self._own) >= self._limit:
            return OTHER
        self._own.add(name)
        return name


class Metrics(ProcessMetrics):
    """The metrics of one receiver.

    Args:
        tenant_series: Tenants with series of their own.

    Attributes:
        tenant: What a tenant is called in labels.
    """

    def __init__(self, tenant_series: int = DEFAULT_TENANT_SERIES) -> None:
        super().__init__()
        self.tenant = Labels(tenant_series)
        self.requests = self._counter(
            "logout_requests_total",
            "Logout requests by outcome (ok, duplicate, rejected, error) and error code.",
            ["tenant", "input", "outcome", "code"],
        )
        self.request_seconds = self._histogram(
            "logout_request_duration_seconds",
            "Time from the request's headers to its answer.",
            ["input"],
            buckets=_FAST,
        )
        self.audit_records = self._counter(
            "logout_audit_records_total",
            "Decisions by what the audit log did with them (written, lost, limited, junk); none where it is off.",
            ["result"],
        )
        self.in_flight = self._gauge("logout_in_flight", "Requests that are read whole and have no answer yet.")
        self.in_flight_limit = self._gauge(
            "logout_in_flight_limit",
            "How many of them are admitted (public.max_in_flight); further ones are answered 429.",
        )
        self.publish_seconds = self._histogram(
            "logout_publish_seconds", "Time from handing an eviction to Redis to its acknowledgement.", buckets=_FAST
        )
        self.publish_faults = self._counter(
            "logout_publish_faults_total", "Evictions that Redis was not given because of a fault in this service."
        )
        self.reused_jti = self._counter(
            "logout_reused_jti_total",
            "Logouts published under a jti that another logout had: the OP uses its ids again.",
            ["tenant"],
        )
        self.damaged_entries = self._counter(
            "logout_damaged_entries_total",
            "Entries of registered sign-ins and of the cache index that were damaged and left out of an event.",
        )
        self.names_beyond = self._counter(
            "logout_names_beyond_total", "Accounts and subjects of a user beyond what one logout marks."
        )
        self.delivery_seconds = self._histogram(
            "logout_delivery_seconds",
            "Time from the OP issuing the token (iat) to the published event.",
            ["tenant"],
            buckets=_HUMAN,
        )
        self.watched_until = self._gauge(
            "logout_watched_until_timestamp_seconds",
            "Until when all that a watched source tells was taken in, by the receiver that watches; the latest counts.",
            ["tenant", "input", "what"],
        )
        self.source_answers = self._counter(
            "logout_source_answers_total",
            "Answers of watched sources by HTTP status; none where there was no answer.",
            ["tenant", "input", "status"],
        )
        self.callbacks = self._counter(
            "logout_callbacks_total",
            "Orders called back to their OP, by what it was told (done, not_done), or why not (refused, given_up).",
            ["tenant", "result"],
        )
        self.jwks_refreshes = self._counter(
            "logout_jwks_refreshes_total",
            "Key fetches by result (ok, error) and trigger (start, timer, unknown_kid, signature).",
            ["tenant", "result", "trigger"],
        )
        self.tenants = self._gauge("logout_tenants", "Tenants configured.")
        self.tenants_without_keys = self._gauge(
            "logout_tenants_without_keys",
            "Tenants there are no keys for, so that their logouts are answered 503 and held.",
        )
        self.keys_oldest_seconds = self._gauge(
            "logout_keys_oldest_seconds",
            "Time since the keys of any tenant that has some were fetched from its OP, the longest.",
        )
        self.jwks_last_success = self._gauge(
            "logout_jwks_last_success_timestamp_seconds",
            "When the tenant's keys were last fetched from the OP, as Unix time.",
            ["tenant"],
        )
        self.api_requests = self._counter(
            "logout_api_requests_total",
            "Calls of the API on the internal listener, by route and status.",
            ["route", "status"],
        )
        self.sse_clients = self._gauge("logout_sse_clients", "Event feeds open now.")
        self.sse_events = self._counter("logout_sse_events_total", "Events sent to feeds, once for each feed.")
        self.sse_resets = self._counter("logout_sse_resets_total", "Times a feed was told that it missed events.")
        self.sse_skipped = self._counter(
            "logout_sse_skipped_total",
            "Stream entries that are no event or have no number, once for each however many feeds read it.",
        )
        self.outbox_entries = self._gauge(
            "logout_outbox_entries", "Evictions on this machine's disk that wait for Redis."
        )
        self.outbox_oldest_seconds = self._gauge(
            "logout_outbox_oldest_seconds", "Time since the oldest waiting eviction was received; 0 when none waits."
        )
        self.outbox_set_aside = self._gauge(
            "logout_outbox_set_aside",
            "Evictions in the outbox that cannot be published and are kept out of the others' way.",
        )
        self.outbox_early = self._gauge(
            "logout_outbox_early",
            "Evictions in the outbox of tokens that are not valid yet: their OP's clock is ahead.",
        )
        self.outbox_used_ratio = self._gauge(
            "logout_outbox_used_ratio",
            "How full the outbox is, from 0 to 1, by entries or by bytes, whichever is fuller.",
        )
        self.outbox = self._counter(
            "logout_outbox_total",
            "Evictions by what the outbox did (stored, duplicate, published, set_aside, full, failed, left).",
            ["outcome"],
        )
        self.held_tokens = self._gauge(
            "logout_held_tokens", "Tokens waiting for their OP's keys before they can be verified."
        )
        self.held = self._counter(
            "logout_held_total",
            "Tokens that waited for keys, by outcome (accepted, refused, expired, displaced).",
            ["tenant", "outcome"],
        )
        self.unmapped_events = self._counter(
            "logout_unmapped_events_total",
            "Security events that should sign a user out and name no user who is known here.",
            ["tenant", "event"],
        )
        self.evicted_seconds = self._histogram(
            "logout_evicted_seconds",
            "Time from receiving a logout to an app's acknowledgement that it has dropped the user.",
            ["app"],
            buckets=_HUMAN,
        )
        self.app_last_seen = self._gauge(
            "logout_app_last_seen_timestamp_seconds",
            "When any instance of the app was last heard of, as Unix time on Redis's clock.",
            ["app"],
        )
        self.app_silent = self._gauge(
            "logout_app_silent",
            "1 when an app that should be listening has given no sign of life for a minute, else 0.",
            ["app"],
        )
        self.group_lag = self._gauge("logout_group_lag", "Evictions a consumer group has not handled yet.", ["group"])
        self.group_set_aside = self._gauge(
            "logout_group_set_aside", "Evictions a consumer group could not handle and has set aside.", ["group"]
        )
        self.group_rate = self._gauge(
            "logout_group_handled_per_second",
            "Evictions a consumer group handled a second, between the last two looks.",
            ["group"],
        )
        self.group_left = self._gauge(
            "logout_group_left_seconds",
            "Seconds until nothing waits for a consumer group, at that rate; +Inf while nothing moves.",
            ["group"],
        )
        self.group_room = self._gauge(
            "logout_group_room_used_ratio",
            "Part of the stream's limits that what waits for a consumer group takes; from 1 on it is trimmed unread.",
            ["group"],
        )
        self.of_group = (self.group_lag, self.group_set_aside, self.group_rate, self.group_left, self.group_room)

    def follow(self, tenants: Iterable[str]) -> None:
        """Give tenants their series, the first of them as far as there is room, with counters at 0.

        The codes of refused requests are too many for that, and most inputs have few tenants: those come as they occur.
        """
        labels = dict.fromkeys(map(self.tenant.of, tenants))
        for outcome, codes in (("ok", ("ok",)), ("duplicate", ("ok",)), ("error", _ERRORS)):
            at_zero(self.requests, (UNKNOWN_TENANT, *labels), ("backchannel",), (outcome,), codes)
        at_zero(self.reused_jti, labels)
        at_zero(self.jwks_refreshes, labels, ("ok", "error"), ("start", "timer", *Evidence))
        at_zero(self.held, labels, ("accepted", "refused", "expired", "displaced"))

    def keys_fetched(self, tenant: str, now_s: float) -> None:
        """A tenant's keys came from its OP. One time for several tenants would say nothing, so `other` has none."""
        label = self.tenant.of(tenant)
        if label != OTHER:
            self.jwks_last_success.labels(label).set(now_s)

    def source_answered(self, tenant: str, source: str, status: str) -> None:
        """Count one answer of a watched source."""
        self.source_answers.labels(self.tenant.of(tenant), source, status).inc()
