"""`receiver doctor` says whether what a tenant's sources tell arrives, and how a directory answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.streams import StreamNote
from receiver.bus.watches import Watch, Watermark
from receiver.diagnosis import doctor
from receiver.diagnosis.source_checks import REFUSED_S, SILENT_S, SourceFacts, check_sources
from receiver.ops.tenant_settings import TenantSettings
from tests.diagnosis.conftest import settings_for
from tests.support.clock import NOW

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

GUID = "11111111-2222-3333-4444-555555555555"
GRAPH = {"graph": {"client_id": "c", "client_secret": "s", "tenant_id": GUID}}
REALM: dict[str, Any] = {"keycloak": {"access": {"token": "t"}, "admin_url": "https://op.example/admin/realms/main"}}
SSF: dict[str, Any] = {"ssf": {}}
RECENT = Watermark(dates_at=NOW - 5.0, ended_at=NOW - 5.0)


def judged(section: dict[str, Any], **facts: Any) -> list[tuple[str, str]]:
    """Name and outcome of each check."""
    tenant = TenantSettings(name="t1", issuer="https://op.example", client_ids=["c1"], **section)
    known = {"stream": StreamNote(), "graph": Watermark(), "realm": Watermark(), "now_s": float(NOW), **facts}
    return [(check.name, check.outcome) for check in check_sources(tenant, SourceFacts(**known))]


@pytest.mark.parametrize(
    ("section", "facts", "expected"),
    [
        ({}, {}, []),
        (SSF, {}, [("stream", "warning")]),
        (SSF, {"stream": StreamNote(verified_at=1.0)}, [("stream", "ok")]),
        (SSF, {"stream": StreamNote(verified_at=1.0, status="paused", reason="r")}, [("stream", "warning")]),
        (SSF, {"stream": StreamNote(verified_at=1.0, status="enabled")}, [("stream", "ok")]),
        (
            SSF,
            {"stream": StreamNote(verified_at=1.0, refused_at=NOW - 60.0, refused_for="audience")},
            [("stream", "ok"), ("refused_events", "warning")],
        ),
        (SSF, {"stream": StreamNote(verified_at=1.0, refused_at=NOW - REFUSED_S - 1)}, [("stream", "ok")]),
        (GRAPH, {}, [("graph", "warning")]),
        (GRAPH, {"graph": RECENT}, [("graph", "ok")]),
        (GRAPH, {"graph": Watermark(dates_at=NOW - SILENT_S - 1)}, [("graph", "warning")]),
        (GRAPH, {"graph": Watermark(dates_at=NOW - 3600.0, ended_at=NOW - 5.0, dates_by="delta")}, [("graph", "ok")]),
        (REALM, {"realm": RECENT}, [("keycloak", "ok")]),
        (REALM, {"graph": RECENT}, [("keycloak", "warning")]),
    ],
)
def test_what_is_noted(section: dict[str, Any], facts: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """A source that is there and silent is a warning; one that is not there has no line."""
    assert expected == judged(section, **facts)


@pytest.mark.parametrize("by", ["", "delta", "filter", "pages"])
def test_how_the_directory_answers(by: str) -> None:
    """Each way in which revoked sessions are found has a text of its own."""
    tenant = TenantSettings(name="t1", issuer="https://op.example", client_ids=["c1"], **GRAPH)
    texts = {}
    for way in ("", "delta", "filter", "pages"):
        graph = Watermark(dates_at=NOW - 5.0, dates_by=way)
        facts = SourceFacts(stream=StreamNote(), graph=graph, realm=Watermark(), now_s=NOW)
        [check] = check_sources(tenant, facts)
        texts[way] = check.text
    assert 1 == list(texts.values()).count(texts[by])


async def test_it_is_read_from_redis(op: OP, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """What a receiver has noted is what doctor says."""
    await Watch(redis_client, KeyNames(), "keycloak:t1").move(Watermark(dates_at=time.time()))
    settings = settings_for(op, redis_url=redis_server.url, **REALM, **SSF)
    found = {check.name: check.outcome for check in await doctor.examine(settings) if check.area == "t1"}
    assert ("ok", "warning") == (found["keycloak"], found["stream"])


async def test_without_redis(op: OP) -> None:
    """There is nothing to be said; the checks of Redis say why."""
    found = {check.name for check in await doctor.examine(settings_for(op, **REALM))}
    assert "keycloak" not in found
