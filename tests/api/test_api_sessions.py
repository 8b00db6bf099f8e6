"""Sign-ins registered over HTTP: the same registry as the Python library's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from tests.api.conftest import TOKEN, Api
from tests.support.clock import NOW, Clock
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    from tests.support.op import OP


SKEW_S = 60
"""The tenant's `clock_skew_s`."""


def identity(op: OP, **changes: Any) -> dict[str, Any]:
    """What an app knows of a session from its ID token."""
    return {"iss": op.issuer, "client_id": "c1", "sub": "u1", "sid": "s1", "auth_time": NOW - 10, **changes}


async def test_registered_keys_come_back(api: Api, op: OP) -> None:
    """What was registered stands in the event of the logout, and the session is signed out from then on."""
    session = identity(op)
    registration = {**session, "home_account_id": "uid.utid", "keys": ["php:7c1f", "cache:1"], "lifetime_s": 3600}
    assert (200, {"registered": True}) == (await api.call("PUT", "/sessions", registration))[:2]
    assert (200, {"signed_out": False}) == (await api.call("POST", "/sessions/check", session))[:2]

    assert 200 == (await api.receiver.post(op.token(sub="u1", sid="s1"))).status

    [event] = await api.receiver.events()
    assert [{"client_id": "c1", "keys": ["php:7c1f", "cache:1"]}] == event["data"]["sessions"]
    assert {"u1", "uid.utid"} == set(event["data"]["accounts"])
    assert (200, {"signed_out": True}) == (await api.call("POST", "/sessions/check", session))[:2]
    later = identity(op, sid="s2", auth_time=NOW + 1)
    assert (200, {"signed_out": False}) == (await api.call("POST", "/sessions/check", later))[:2]


async def test_logout_that_overtook_its_login(api: Api, op: OP) -> None:
    """A session signed out before it was registered is refused: 409, and the app is told why."""
    assert 200 == (await api.receiver.post(op.token(sub="u1", sid="s1"))).status

    status, body, _ = await api.call("PUT", "/sessions", identity(op))

    assert (409, False, "signed_out") == (status, body["registered"], body["error"])
    assert 200 == (await api.call("PUT", "/sessions", identity(op, auth_time=NOW + 1)))[0]


async def test_least_and_iat(api: Api, op: OP) -> None:
    """A sign-in with the least members is registered; its `iat` dates it where there is no `auth_time`."""
    least = {"iss": op.issuer, "client_id": "another-app", "sub": "u1"}
    assert 200 == (await api.call("PUT", "/sessions", least))[0]

    await api.evict("u1")

    assert 409 == (await api.call("PUT", "/sessions", least))[0]
    assert 409 == (await api.call("PUT", "/sessions", {**least, "iat": NOW - SKEW_S}))[0]
    assert 200 == (await api.call("PUT", "/sessions", {**least, "iat": NOW - SKEW_S + 1}))[0]


async def test_clocks_that_differ(api: Api, op: OP) -> None:
    """What was there before an order is over, and a sign-in after it is in at once, while clocks differ by no more."""
    ahead, behind = (identity(op, sid=sid, auth_time=NOW + by) for sid, by in (("s1", SKEW_S), ("s2", 1 - SKEW_S)))
    await api.call("PUT", "/sessions", ahead)

    await api.evict("u1")

    assert {"signed_out": True} == (await api.call("POST", "/sessions/check", ahead))[1]
    assert 200 == (await api.call("PUT", "/sessions", behind))[0]
    assert {"signed_out": False} == (await api.call("POST", "/sessions/check", behind))[1]
    await api.evict("u1")
    assert {"signed_out": True} == (await api.call("POST", "/sessions/check", behind))[1]


@pytest.mark.parametrize(("skew_s", "ended"), [(60, []), (300, [{"client_id": "c1", "keys": ["k1"]}])])
async def test_how_far_clocks_may_differ(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    clock: Clock,
    op: OP,
    *,
    skew_s: float,
    ended: list[Any],
) -> None:
    """An order ends the sessions registered before it, also where the OP's clock is ahead by the tenant's bound."""
    tenants, internal = [t1(op, clock_skew_s=skew_s)], {"token": TOKEN}
    async with start_receiver(redis_server.url, redis_client, clock, tenants, internal=internal) as receiver:
        api = Api(receiver)
        await api.call("PUT", "/sessions", {**identity(op, auth_time=NOW + 200), "keys": ["k1"]})

        await api.evict("u1")

        assert ended == (await receiver.events())[-1]["data"]["sessions"]


OLD = {"auth_time": NOW - 5_000, "iat": NOW + 5}
"""A sign-in after the order, of a session at the OP that began long before it."""


@pytest.mark.parametrize("known", [OLD, {"auth_time": None, "iat": NOW + 5}], ids=["old auth_time", "no auth_time"])
async def test_authenticated_anew(api: Api, op: OP, known: dict[str, Any]) -> None:
    """Who authenticated anew is in, with the same `sid` and any dates in the ID token, until the next logout."""
    session = identity(op, **known)
    earlier = {**session, "iat": NOW - 5_000}
    await api.evict("u1", sid="s1")
    assert 409 == (await api.call("PUT", "/sessions", session))[0]

    assert 200 == (await api.call("PUT", "/sessions", {**session, "anew": True}))[0]

    assert {"signed_out": False} == (await api.call("POST", "/sessions/check", session))[1]
    assert {"signed_out": True} == (await api.call("POST", "/sessions/check", earlier))[1]
    assert 200 == (await api.call("PUT", "/sessions", session))[0]
    # Dated before the order: by a clock that is behind.
    assert 200 == (await api.receiver.post(op.token(sub="u1", sid="s1", iat=NOW - 50))).status
    assert {"signed_out": True} == (await api.call("POST", "/sessions/check", session))[1]
    assert 409 == (await api.call("PUT", "/sessions", session))[0]


@pytest.mark.parametrize("iat", [NOW, NOW - 50], ids=["in the same second", "by a clock that is behind"])
async def test_a_later_logout_of_the_session_alone(api: Api, op: OP, iat: int) -> None:
    """An order ended the user, the user authenticated anew, and the OP then ends that session: under another name."""
    session = identity(op, **OLD)
    await api.evict("u1")
    assert 200 == (await api.call("PUT", "/sessions", {**session, "anew": True}))[0]
    assert {"signed_out": False} == (await api.call("POST", "/sessions/check", session))[1]

    assert 200 == (await api.receiver.post(op.token(sub="u1", sid="s1", iat=iat))).status

    assert {"signed_out": True} == (await api.call("POST", "/sessions/check", session))[1]
    assert 409 == (await api.call("PUT", "/sessions", session))[0]


async def test_order_on_what_is_there(api: Api, op: OP) -> None:
    """An order that asks for no new authentication ends the sessions there are; a later one of the same user lives."""
    before, after = identity(op, iat=NOW - 100), identity(op, **OLD)
    await api.call("PUT", "/sessions", before)

    await api.evict("u1", reauthenticate=False)

    [event] = await api.receiver.events()
    assert event["data"]["reauthenticate"] is False
    assert {"signed_out": True} == (await api.call("POST", "/sessions/check", before))[1]
    assert 200 == (await api.call("PUT", "/sessions", after))[0]
    assert {"signed_out": False} == (await api.call("POST", "/sessions/check", after))[1]
    await api.evict("u1")
    assert {"signed_out": True} == (await api.call("POST", "/sessions/check", after))[1]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown issuer": ({"iss": "https://op.example"}, "issuer"),
    "issuer with a slash more": ({"iss": "{iss}/"}, "issuer"),
    "no sub": ({"sub": None}, "malformed"),
    "sid as number": ({"sid": 7}, "malformed"),
    "auth_time as text": ({"auth_time": "1"}, "malformed"),
    "keys as text": ({"keys": "k"}, "malformed"),
    "an empty key": ({"keys": [""]}, "malformed"),
    "too many keys": ({"keys": ["k"] * 65}, "malformed"),
    "lifetime of a second": ({"lifetime_s": 1}, "malformed"),
    "lifetime as fraction": ({"lifetime_s": 3600.5}, "malformed"),
    "unknown member": ({"tenant": "t1"}, "malformed"),
}


@pytest.mark.parametrize(("changes", "code"), BAD.values(), ids=BAD.keys())
async def test_bad_registration_is_refused(api: Api, op: OP, changes: dict[str, Any], code: str) -> None:
    """A registration that is not exactly right is 400 and registers nothing."""
    members = identity(op, **changes)
    members["iss"] = members["iss"].replace("{iss}", op.issuer)

    status, body, _ = await api.call("PUT", "/sessions", members)

    assert (400, code) == (status, body["error_description"])
    assert not [key async for key in api.receiver.redis.scan_iter("*:user:*")]


async def test_redis_away_is_no_answer(clock: Clock, op: OP) -> None:
    """Without Redis nothing is known: 503 with Retry-After, never a guess."""
    server = EmbeddedRedis()
    client = redis.asyncio.Redis.from_url(server.url)
    async with start_receiver(server.url, client, clock, [t1(op)], internal={"token": TOKEN}) as receiver:
        for method, path in (("PUT", "/sessions"), ("POST", "/sessions/check")):
            status, body, headers = await Api(receiver).call(method, path, identity(op))
            assert (503, "redis", "5") == (status, body["error_description"], headers["Retry-After"])
            assert body["error"] == "temporarily_unavailable"
    await client.aclose()
