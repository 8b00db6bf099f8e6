"""Every background job of all commands: killed, seen to be, and back by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

import receiver
from demo.tls import make_certificates
from receiver.bus.caches.cache_store import CacheStore
from receiver.bus.caches.rechecks import Rechecks
from receiver.bus.events import acks
from receiver.bus.events.feed import EventLog
from receiver.bus.events.groups import GroupMember
from receiver.bus.link.lease import Lease
from receiver.canary import Probe, probing
from receiver.consumer import acks as consumer_acks
from receiver.evictor.worker import working
from receiver.ingress.audit import File
from receiver.ingress.epoch_watch import EpochWatch
from receiver.ingress.inputs import callbacks
from receiver.ingress.inputs.callbacks import CallbackCalls
from receiver.ingress.inputs.graph import GraphWatch
from receiver.ingress.inputs.keycloak import KeycloakWatch
from receiver.ingress.inputs.message import InputJob
from receiver.ingress.inputs.ssf_poll import PolledEvents
from receiver.ingress.keys.held import HeldTokens
from receiver.ingress.keys.tenant_keys import TenantKeys
from receiver.ingress.outbox.store import Outbox
from receiver.ingress.server import running
from receiver.ops.settings import Settings
from receiver.ops.settings_source import SettingsSource
from receiver.outbound.revocation import _Lane
from receiver.runtime.event_loop import LoopLag
from receiver.runtime.redis_watch import RedisWatch
from receiver.runtime.reload import Reload
from tests.canary.test_canary import settings_of
from tests.docs.pages import names, read, rows, section
from tests.runtime.faults import Fault, Process, fails_and_comes_back
from tests.support.graph import Graph
from tests.support.pace import QUICK
from tests.support.realm import Realm
from tests.support.receiver import t1
from tests.support.transmitter import CLIENT, POLL, SECRET, Transmitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

TOKEN = "0123456789abcdef-first"
CACHE = {"name": "node", "layout": "msal-node", "prefix": "node:"}

SERVE: dict[str, tuple[Any, str, bool]] = {
    "redis_watch": (RedisWatch, "check", True),
    "loop_lag": (LoopLag, "measure", False),
    "epoch_watch": (EpochWatch, "check", False),
    "key_refresh": (TenantKeys, "is_due", False),
    "held_tokens": (HeldTokens, "retry", False),
    "event_feed": (EventLog, "wait", False),
    "ack_watch": (acks, "take", False),
    "audit_log": (File, "sync", False),
    "ssf_key_refresh": (TenantKeys, "is_due", False),
    "input:ssf-poll:t1": (PolledEvents, "look", False),
    "input:graph:t2": (GraphWatch, "look", False),
    "input:keycloak:t3": (KeycloakWatch, "look", False),
    "input:op-callback": (CallbackCalls, "look", False),
    "reload": (Reload, "look", False),
    "outbox_drain": (Outbox, "check", True),
}
"""Each job of `receiver serve`: what fails beneath it, and whether readiness needs it."""

EVICT: dict[str, tuple[Any, str, bool]] = {
    "redis_watch": (RedisWatch, "check", True),
    "loop_lag": (LoopLag, "measure", False),
    "evictions": (GroupMember, "read", True),
    "acknowledgements": (acks, "acknowledge", False),
    "claims": (GroupMember, "keep", False),
    "rechecks": (Rechecks, "take", True),
    "watcher": (Lease, "hold", True),
    "cache_probes": (CacheStore, "probe", True),
    "revoker": (_Lane, "take", False),
    "reload": (Reload, "look", False),
}
"""The same of `receiver evict`."""

CANARY: dict[str, tuple[Any, str, bool]] = {
    "redis_watch": (RedisWatch, "check", True),
    "probe": (Probe, "once", True),
}
"""The same of `receiver canary`."""


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a pause of its own looks soon, too."""
    monkeypatch.setattr(consumer_acks, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(callbacks, "LOOK_S", 0.05)


@pytest.fixture
async def transmitter(clock: Clock) -> AsyncIterator[Transmitter]:
    """The tenant's OP, which has security events for who polls."""
    async with Transmitter(clock) as running:
        delivery = {"method": POLL, "endpoint_url": f"{running.issuer}/poll"}
        running.stream = {"stream_id": "stream", "delivery": delivery}
        yield running


@pytest.fixture
async def graph(clock: Clock, tmp_path: Path) -> AsyncIterator[Graph]:
    """A directory that is watched."""
    async with Graph(make_certificates(tmp_path), clock) as running:
        yield running


@pytest.fixture
async def realm(clock: Clock) -> AsyncIterator[Realm]:
    """A realm that is watched."""
    async with Realm(clock) as running:
        yield running


@pytest.fixture
def settings(  # noqa: PLR0917  # fixtures
    transmitter: Transmitter,
    graph: Graph,
    realm: Realm,
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    tmp_path: Path,
) -> Settings:
    """Everything on that has a job."""
    del redis_client
    access = {"client_id": CLIENT, "client_secret": SECRET}
    ssf = {"delivery": "poll", "access": access, "poll_interval_s": 0.02}
    first = t1(transmitter, revocation={"clients": {"c1": {"method": "none"}}}, ssf=ssf)
    second = {**graph.tenant(interval_s=0.02), "name": "t2"}
    return Settings(
        public={"host": "127.0.0.1", "port": 0, "url": "https://logout.example.com"},
        internal={"port": 0, "token": TOKEN},
        redis={"url": redis_server.url},
        outbox={"path": tmp_path / "outbox.db"},
        tenants=[first, second, {**realm.tenant(interval_s=0.02), "name": "t3"}],
        caches=[CACHE],
        evictor={"recheck_s": [], "take_over_s": 0.06},
        audit={"path": tmp_path / "audit.jsonl", "key": "k1 0123456789abcdef0123456789abcdef"},
        reload={"interval_s": 0.02},
    )


@pytest.mark.parametrize("job", SERVE)
async def test_each_job_of_serve(
    job: str, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A job of the receiver that fails turns readiness off if a logout needs it, is told and counted, and is back."""
    async with (
        running(settings, SettingsSource(), clock=clock, backoff=QUICK) as server,
        aiohttp.ClientSession() as http,
    ):
        assert set(SERVE) == set(server.jobs.report())
        process = Process(server.internal_port, server.metrics, http)
        await process.says(200, job, runs=True)
        feed = f"http://127.0.0.1:{server.internal_port}/v1/events"
        async with http.get(feed, headers={"Authorization": f"Bearer {TOKEN}"}):
            owner, name, needed = SERVE[job]
            await fails_and_comes_back(process, job, Fault(monkeypatch, owner, name), needed=needed, caplog=caplog)


@pytest.mark.parametrize("job", EVICT)
async def test_each_job_of_evict(
    job: str, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A job of the worker that fails turns readiness off if an eviction needs it, is told and counted, and is back."""
    owner, name, needed = EVICT[job]
    fault = Fault(monkeypatch, owner, name)
    async with (
        working(settings, SettingsSource(), clock=clock, backoff=QUICK) as worker,
        aiohttp.ClientSession() as http,
    ):
        assert set(EVICT) == set(worker.jobs.report())
        await fails_and_comes_back(
            Process(worker.internal_port, worker.metrics, http), job, fault, needed=needed, caplog=caplog
        )


@pytest.mark.parametrize("job", CANARY)
async def test_each_job_of_the_canary(
    job: str,
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A job of the canary that fails turns its readiness off, is told and counted, and is back."""
    del redis_client
    owner, name, needed = CANARY[job]
    fault = Fault(monkeypatch, owner, name)
    async with (
        probing(settings_of(redis_server.url, url="http://127.0.0.1:1/"), backoff=QUICK) as canary,
        aiohttp.ClientSession() as http,
    ):
        assert set(CANARY) == set(canary.jobs.report())
        await fails_and_comes_back(
            Process(canary.internal_port, canary.metrics, http), job, fault, needed=needed, caplog=caplog
        )


def test_each_job_has_a_case() -> None:
    """A job that some setting starts is in the tables above, or it would die unseen by these tests."""
    code = "\n".join(path.read_text() for path in Path(receiver.__file__).parent.rglob("*.py"))
    started = set(re.findall(r'\bjobs\.start\(\s*"(\w+)"', code))
    tried = {owner for owner, _, _ in SERVE.values()}

    assert started <= SERVE.keys() | EVICT.keys() | CANARY.keys() | {"embedded_redis"}
    assert not set(kinds_of(InputJob)) - tried


def kinds_of(base: type[object]) -> list[type[object]]:
    """The kinds of job in the package that are no base of another."""
    leaves: list[type[object]] = []
    for kind in base.__subclasses__():
        if kind.__module__.startswith("receiver."):
            leaves += kinds_of(kind) or [kind]
    return leaves


def test_jobs_are_described() -> None:
    """docs/operations.md names each job, and whether readiness needs it."""
    there = {
        (re.sub(":t[123]$", ":<tenant>", job), command, needed)
        for command, jobs in (("receiver serve", SERVE), ("receiver evict", EVICT), ("receiver canary", CANARY))
        for job, (_, _, needed) in jobs.items()
    }
    # Needs a Redis of its own: see test_lost_state.py.
    there.add(("embedded_redis", "receiver serve", True))
    page = [(names(row[0])[0], names(row[1]), row[2] == "yes") for row in rows(section(read("operations.md"), "Jobs"))]

    assert there == {(job, command, needed) for job, commands, needed in page for command in commands}
