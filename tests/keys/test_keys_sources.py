"""Where tenants have their keys from: one issuer with a key set for each application, many tenants with one key set."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from receiver.ingress.keys.key_store import KeyStore
from receiver.outbound.fetch import Fetcher
from receiver.tasks import cancel
from tests.keys.rig import start_rig
from tests.keys.web import serving
from tests.support.keys import rsa_pair
from tests.support.op import OP
from tests.support.receiver import start_receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.tenants import Tenant
    from tests.support.clock import Clock

KEEP_FRESH = KeyStore.keep_fresh
"""The job itself; the rig has an idle one in its place."""


async def test_key_set_for_each_application(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """Tokens of one issuer, on one address, are verified with the keys of the tenant whose client `aud` names."""
    app = rsa_pair("app")
    async with OP(clock, path="/app", signing_key=app) as keys_of_app:
        tenants = [t1(op), t1(op, name="t2", client_ids=["c2"], jwks_uri=keys_of_app.issuer + "/jwks")]
        async with start_rig(redis_server.url, redis_client, clock, tenants) as rig:
            mine, theirs = op.token(), op.token(key=app, header={"kid": "app"}, aud="c2")
            crossed = op.token(key=app, header={"kid": "app"}, aud="c1")
            both, neither = op.token(aud=["c1", "c2"]), op.token(aud="c3")

            answers = await rig.post_all([mine, theirs])
            refused = [await rig.post(token) for token in (crossed, both, neither)]

            assert [200, 200] == [answer.status for answer in answers]
            assert ["unknown_kid", "audience", "audience"] == [answer.code for answer in refused]
            assert {"t1", "t2"} == {event["data"]["tenant"] for event in await rig.events()}


async def test_key_set_of_many_tenants(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """Tenants that name the same `jwks_uri` have its keys in common: they are fetched once."""
    realms = [t1(op, name=f"r{n}", issuer=f"{op.issuer}/r{n}", jwks_uri=op.issuer + "/jwks") for n in range(50)]
    async with start_rig(redis_server.url, redis_client, clock, realms) as rig:
        answers = await rig.post_all([op.token(iss=f"{op.issuer}/r{n}") for n in range(50)])

        assert [200] * 50 == [answer.status for answer in answers]
        assert (1, 50, 0) == (op.jwks_fetches, rig.keys.tenants, rig.keys.without_keys)


async def test_fault_over_one_op_ends_no_other_refresh(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A fault over one OP's answer is logged and counts as a failed fetch; the others' keys come, the job runs on."""
    get_json = Fetcher.get_json

    async def fail_for_t2(fetcher: Fetcher, url: str, tenant: Tenant, **how: Any) -> dict[str, object]:
        if tenant.name == "t2":
            raise ArithmeticError
        return await get_json(fetcher, url, tenant, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fetcher, "get_json", fail_for_t2)
        async with OP(clock, path="/t2") as other:
            tenants = [t1(other, name="t2"), t1(op)]
            async with start_receiver(redis_server.url, redis_client, clock, tenants) as receiver:
                await until(lambda: not receiver.server.state.keys.problems().get("t1"))
                answer = await receiver.post(other.token())
                assert (503, "jwks_unavailable") == (answer.status, answer.code)
                assert 200 == (await receiver.post(op.token())).status
                assert "a fault in this service" in receiver.server.state.keys.problems()["t2"]
                assert "keys.fault" in [record.getMessage() for record in caplog.records]
                restarts = receiver.server.metrics.registry.get_sample_value(
                    "logout_job_restarts_total", {"task": "key_refresh"}
                )
                assert 0 == restarts


async def test_slow_host_holds_up_no_other_one(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """The background job fetches the keys of a hundred tenants whose OP never answers, and another OP's meanwhile."""
    stuck = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await stuck.wait()
        return web.Response()

    async with serving(never) as silent, start_rig(
        redis_server.url, redis_client, clock,
        [*({"name": f"r{n}", "issuer": f"{silent.origin}/r{n}", "client_ids": ["c1"]} for n in range(100)), t1(op)],
    ) as rig:  # fmt: skip
        job = asyncio.create_task(KEEP_FRESH(rig.keys))
        async with asyncio.timeout(20):
            while op.jwks_fetches == 0 or rig.keys.without_keys > 100:
                await asyncio.sleep(0.01)
        stuck.set()
        await cancel(job)
        assert (1, 100) == (op.jwks_fetches, rig.keys.without_keys)


async def test_series_of_tenants_are_bounded(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """The first tenants of the file have series of their own, the others are counted together."""
    realms = [t1(op, name=f"r{n}", issuer=f"{op.issuer}/r{n}", jwks_uri=op.issuer + "/jwks") for n in range(6)]
    async with start_rig(redis_server.url, redis_client, clock, realms, metrics={"tenant_series": 2}) as rig:
        answers = await rig.post_all([op.token(iss=f"{op.issuer}/r{n}") for n in range(6)])
        sample = rig.receiver.server.metrics.registry.get_sample_value
        counted = {
            name: rig.receiver.count(tenant=name, outcome="ok", code="ok") for name in ("r0", "r1", "other", "r5")
        }

        assert [200] * 6 == [answer.status for answer in answers]
        assert {"r0": 1, "r1": 1, "other": 4, "r5": 0} == counted
        assert (6, 0) == (sample("logout_tenants"), sample("logout_tenants_without_keys"))
        assert sample("logout_jwks_last_success_timestamp_seconds", {"tenant": "other"}) is None


async def test_tenants_without_keys_do_not_hold_readiness_back(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """Readiness counts them and names twenty; the receiver is ready for the others' logouts, and to hold theirs."""
    op.status = 500
    realms = [t1(op, name=f"r{n}", issuer=f"{op.issuer}/r{n}") for n in range(30)]
    async with start_rig(redis_server.url, redis_client, clock, realms) as rig:
        async with rig.http.get(rig.receiver.internal + "/readyz") as response:
            body = await response.json()

        assert (200, {"configured": 30, "without_keys": 30}) == (response.status, body["tenants"])
        assert 20 == len(body["keys"])
