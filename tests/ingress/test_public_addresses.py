"""Paths as proxies pass them on, calls that are no back-channel logouts, and balancers in front."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP


@pytest.fixture
def start(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP) -> Any:
    """Starts a receiver with settings of its public listener."""

    def with_settings(**public: Any) -> AbstractAsyncContextManager[Receiver]:
        return start_receiver(redis_server.url, redis_client, clock, [t1(op)], public=public)

    return with_settings


@pytest.mark.parametrize(
    "path",
    [
        "/backchannel-logout/", "//backchannel-logout", "/backchannel-logout//t1", "/backchannel-logout/t1/",
        "///backchannel-logout///",
    ],
)  # fmt: skip
async def test_slashes_too_many_are_forgiven(receiver: Receiver, op: OP, path: str) -> None:
    """Doubled and trailing slashes lose no logout, and are not answered by a redirect, which OPs do not follow."""
    assert 200 == (await receiver.post(op.token(), path)).status


@pytest.mark.parametrize(
    "path", ["/backchannel-logout/t1%2F", "/t1", "/x/backchannel-logout", "/backchannel-logout/t1/x"]
)
async def test_other_paths_are_not_found(
    receiver: Receiver, op: OP, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A path that is no input's is 404, and the log says which it was."""
    assert 404 == (await receiver.post(op.token(), path)).status
    [fields] = [record.fields for record in caplog.records if record.getMessage() == "logout.rejected"]  # type: ignore[attr-defined]
    assert (path, "no_route") == (fields["unverified_path"], fields["code"])


async def test_path_that_names_no_tenant_is_logged(
    receiver: Receiver, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """So is a path with a name that is no tenant's, and never its query."""
    assert 404 == (await receiver.post(op.token(), "/backchannel-logout/t9?sid=s1")).status
    [fields] = [record.fields for record in caplog.records if record.getMessage() == "logout.rejected"]  # type: ignore[attr-defined]
    assert "/backchannel-logout/t9" == fields["unverified_path"]


async def test_prefix_of_a_proxy(start: Any, op: OP) -> None:
    """With `path_prefix` paths are known with and without it."""
    async with start(path_prefix="/sso/logout") as receiver:
        paths = ["/sso/logout/backchannel-logout", "/sso/logout/backchannel-logout/t1/", "/backchannel-logout"]
        assert [200, 200, 200] == [(await receiver.post(op.token(), path)).status for path in paths]
        others = ["/sso/logoutbackchannel-logout", "/sso/backchannel-logout"]
        assert [404, 404] == [(await receiver.post(op.token(), path)).status for path in others]
        assert 200 == (await receiver.send("GET", "/sso/logout")).status


@pytest.mark.parametrize(
    "path",
    [
        "/backchannel-logout?sid=s1", "/backchannel-logout/t1?iss=https%3A%2F%2Fop.example&sid=s1",
        "/frontchannel-logout?sid=s1",
    ],
)  # fmt: skip
async def test_frontchannel_call_is_told_what_it_is(
    receiver: Receiver, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A GET with `sid` or `iss` is a front-channel logout: 405 with a code of its own and a sentence in the body."""
    answer = await receiver.send("GET", path)

    assert (405, "frontchannel", "POST") == (answer.status, answer.code, answer.headers["Allow"])
    assert json.loads(answer.text)["detail"]
    [fields] = [record.fields for record in caplog.records if record.getMessage() == "logout.rejected"]  # type: ignore[attr-defined]
    assert "frontchannel" == fields["code"]
    assert "s1" not in str(fields)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_probe_of_the_public_port(receiver: Receiver, method: str, caplog: pytest.LogCaptureFixture) -> None:
    """A balancer's probe is 200, and neither a rejected logout nor a line in the log."""
    caplog.set_level(logging.INFO, "receiver.request")

    assert 200 == (await receiver.send(method, "/")).status
    assert [] == [record for record in caplog.records if record.name == "receiver.request"]
    assert 0 == receiver.count(tenant="unknown", input="unknown", outcome="rejected", code="no_route")


async def test_probe_path_is_a_setting(start: Any) -> None:
    """Another path may be probed, or none."""
    async with start(probe_path="/status") as receiver:
        assert [200, 404] == [(await receiver.send("GET", path)).status for path in ("/status", "/")]
    async with start(probe_path=None) as receiver:
        assert 404 == (await receiver.send("GET", "/")).status


async def test_probe_tells_that_the_receiver_stops(receiver: Receiver) -> None:
    """While it drains the probe is 503, so that balancers look elsewhere; logouts are still taken in."""
    receiver.server.state.draining = True

    assert 503 == (await receiver.send("GET", "/")).status


async def test_long_header_has_a_limit_of_its_own(start: Any, op: OP) -> None:
    """A header within `max_header_bytes` passes; a longer one is 431 and named in the log."""
    async with start(max_header_bytes=20_000) as receiver:
        statuses = []
        for size in (15_000, 25_000):
            headers = {"X-Client-Cert": "c" * size}
            answer = await receiver.send("POST", data={"logout_token": op.token()}, headers=headers)
            statuses.append(answer.status)
        assert [200, 431] == statuses
        assert 1 == receiver.count(tenant="unknown", input="unknown", outcome="rejected", code="header_too_large")


async def test_idle_connection_is_closed_after_its_time(start: Any) -> None:
    """`keepalive_s` is how long an idle connection is kept."""
    async with start(keepalive_s=0.1) as receiver:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.server.public_port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(20):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
