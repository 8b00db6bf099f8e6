"""Every labelled counter is there at 0 from the start: one that is born with its first event shows no increase."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter

from receiver.evictor.worker import working
from receiver.ops.settings import Settings
from tests.support.receiver import start_receiver

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

BY_STATUS = ("logout_api_requests_total", "logout_source_answers_total")
"""There are too many HTTP statuses."""
COUNT_AT_START = {"logout_audit_records_total", "logout_jwks_refreshes_total"}
PUBLIC = {"url": "https://logout.example.com"}
SECRET = "Bearer 0123456789abcdef0123"
REFUSED = ("logout_requests_total", "rejected")
"""There are too many codes."""


def t(name: str, **more: object) -> dict[str, object]:
    """A tenant with every optional part that has counters."""
    given = {
        "name": name,
        "issuer": f"https://{name}.example",
        "client_ids": ["c1"],
        "jwks_uri": "http://127.0.0.1:1/k",
    }
    return {**given, **more}


TENANTS = [
    t("a", ssf={"push_authorization": SECRET, "transmitter": "https://t.example", "audience": ["c1"]}),
    t("b", revocation={"clients": {"c1": {"secret": "s", "method": "client_secret_post"}}}),
    t("c", commands={}),
]  # fmt: skip


def missing(registry: CollectorRegistry) -> set[tuple[str, str]]:
    """Counters with labels, each with a value of a label that its help text names and that has no series at 0."""
    found = set()
    counters = [each for each in set(registry._collector_to_names) if isinstance(each, Counter) and each._labelnames]
    assert counters
    for counter in counters:
        [family] = counter.collect()
        name = f"{family.name}_total"
        assert all(sample.value == 0 or name in COUNT_AT_START for sample in family.samples), name
        shown = {value for sample in family.samples for value in sample.labels.values()}
        told = {word for group in re.findall(r"\(([a-z_, ]+)\)", family.documentation) for word in group.split(", ")}
        found |= {(name, value) for value in told - shown}
        if not family.samples:
            found.add((name, ""))
    return found


async def test_receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, tmp_path: Path
) -> None:
    """Of the receiver, for the tenants that have series of their own, and for the others together."""
    sections = {
        "outbox": {"path": str(tmp_path / "outbox.db")},
        "audit": {"path": str(tmp_path / "audit.log"), "key": "k1 " + "0123456789abcdef" * 2},
        "metrics": {"tenant_series": 2},
        "public": PUBLIC,
    }
    async with start_receiver(redis_server.url, redis_client, clock, TENANTS, **sections) as receiver:
        registry = receiver.server.metrics.registry
        assert {REFUSED, *((name, "") for name in BY_STATUS)} == missing(registry)
        for tenant in ("a", "b", "other", "unknown"):
            labels = {"tenant": tenant, "input": "backchannel", "outcome": "error", "code": "publish"}
            assert 0 == registry.get_sample_value("logout_requests_total", labels)
        assert registry.get_sample_value("logout_held_total", {"tenant": "c", "outcome": "expired"}) is None


async def test_evictor(redis_server: EmbeddedRedis, clock: Clock) -> None:
    """Of the evictor, for every cache, and for its own notes."""
    cache = {"name": "web", "layout": "flask-session"}
    settings = Settings(
        internal={"port": 0}, redis={"url": redis_server.url}, tenants=TENANTS, caches=[cache],
        metrics={"tenant_series": 2}, public=PUBLIC,
    )  # fmt: skip
    async with working(settings, clock=clock) as worker:
        registry = worker.metrics.registry
        assert set() == missing(registry)
        assert 0 == registry.get_sample_value("logout_cache_bad_values_total", {"cache": "", "reason": "index_full"})
        assert 0 == registry.get_sample_value("logout_unresolved_total", {"tenant": "b"})
        assert registry.get_sample_value("logout_unresolved_total", {"tenant": "c"}) is None
        assert registry.get_sample_value("logout_revocations_total", {"tenant": "a", "outcome": "ok"}) is None
