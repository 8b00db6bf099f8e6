"""The canary: a really signed logout by the public route, heard by a consumer; no app meets it, and a break is seen."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from receiver.bus.link.embedded import EmbeddedRedis, free_port
from receiver.canary import CanaryMetrics, Issuer, Probe, probing
from receiver.errors import ConfigurationError
from receiver.ingress.server import running
from receiver.ops.settings import Settings
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio


def settings_of(redis_url: str, **canary: Any) -> Settings:
    """Settings of both, with a canary that is its tenant's OP on a port of its own."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}/canary"
    return Settings(
        public={"host": "127.0.0.1", "port": 0},
        internal={"host": "127.0.0.1", "port": port},
        redis={"url": redis_url},
        tenants=[{"name": "canary", "issuer": issuer, "client_ids": ["canary"]}],
        canary={"tenant": "canary", "interval_s": 0.05, **canary},
    )


@contextlib.asynccontextmanager
async def both(settings: Settings) -> AsyncIterator[Any]:
    """A receiver, and a canary that sends to it."""
    internal = settings.internal.model_copy(update={"port": 0})
    async with running(settings.model_copy(update={"internal": internal})) as receiver:
        url = f"http://127.0.0.1:{receiver.public_port}/backchannel-logout"
        canary = settings.canary.model_copy(update={"url": url})
        async with probing(settings.model_copy(update={"canary": canary})) as sent:
            yield sent, receiver


def count(metrics: CanaryMetrics, result: str) -> float:
    """Probes that ended so."""
    return metrics.registry.get_sample_value("logout_canary_probes_total", {"result": result}) or 0.0


async def test_logout_of_the_canary_goes_all_the_way(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """It is verified, published and heard of, again and again; the stream that apps read stays empty."""
    async with both(settings_of(redis_server.url)) as (canary, receiver):
        await until(lambda: count(canary.metrics, "ok") >= 2)
        accepted = {"tenant": "canary", "input": "backchannel", "outcome": "ok", "code": "ok"}
        assert 2 <= (receiver.metrics.registry.get_sample_value("logout_requests_total", accepted) or 0)

    assert 0 == await redis_client.exists("{logout}:events", "{logout}:sequence")
    marks = [key async for key in redis_client.scan_iter("{logout}:mark:*")]
    assert [b"{logout}:mark:epoch"] == marks
    assert 2 <= await redis_client.xlen("{logout}:canary:events")


def test_settings_that_are_never_read_again_are_in_force() -> None:
    """The alert on refused settings stays silent about a process that reads them at its start only."""
    assert CanaryMetrics().registry.get_sample_value("logout_config_ok") == 1


async def answering(status: int) -> web.AppRunner:
    """Stands where the public route should lead, and answers anything so."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner  # type: ignore[return-value]


@pytest.mark.parametrize(("status", "expected"), [(404, "refused"), (302, "refused"), (200, "not_heard")])
async def test_broken_way_is_seen(status: int, expected: str, redis_server: EmbeddedRedis) -> None:
    """A route that leads elsewhere, also one that answers 200 and publishes nothing."""
    elsewhere = await answering(status)
    url = f"http://127.0.0.1:{elsewhere.addresses[0][1]}/"
    settings = settings_of(redis_server.url, url=url, deadline_s=0.2)
    metrics = CanaryMetrics()
    probe = Probe(settings, Issuer(settings.all_tenants[0].to_tenant()), metrics)
    try:
        async with aiohttp.ClientSession() as http:
            assert expected == await probe.once(http)
    finally:
        await elsewhere.cleanup()

    assert (1, 0) == (count(metrics, expected), count(metrics, "ok"))


async def test_route_that_is_not_there_is_seen(redis_server: EmbeddedRedis) -> None:
    """A refused connection is no answer."""
    settings = settings_of(redis_server.url, url="http://127.0.0.1:1/")
    probe = Probe(settings, Issuer(settings.all_tenants[0].to_tenant()), CanaryMetrics())
    async with aiohttp.ClientSession() as http:
        assert "unreachable" == await probe.once(http)


@pytest.mark.parametrize("canary", [{"url": None}, {"tenant": "another", "url": "http://127.0.0.1/"}])
async def test_incomplete_canary_does_not_start(canary: dict[str, Any], redis_server: EmbeddedRedis) -> None:
    """Without an address, or a tenant of that name, nothing would be probed."""
    with pytest.raises(ConfigurationError):
        async with probing(settings_of(redis_server.url, **canary)):
            pass
