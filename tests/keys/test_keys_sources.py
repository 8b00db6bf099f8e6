"""Where tenants have their keys from: one issuer with a key set for each application, many tenants with one key set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.keys.rig import start_rig
from tests.support.keys import rsa_pair
from tests.support.op import OP
from tests.support.receiver import t1

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock


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
