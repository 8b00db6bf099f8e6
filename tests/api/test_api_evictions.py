"""Orders: what event each becomes, and that they go the way of logout tokens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from tests.api.conftest import DEADLINE_S, TOKEN, Api
from tests.support.clock import NOW, Clock
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.op import OP


async def test_an_order_is_an_event(api: Api, op: OP) -> None:
    """An order for a user becomes one event of the documented shape, by input admin."""
    status, body, _ = await api.call(
        "POST", "/evictions", {"tenant": "t1", "sub": "u1", "reason": "laptop stolen", "logout_at": NOW - 60}
    )

    [event] = await api.receiver.events()
    assert (202, event["id"], False) == (status, body["id"], body["duplicate"])
    assert event["data"] == {
        "tenant": "t1", "iss": op.issuer, "client_id": None, "sub": "u1", "sid": None, "jti": None, "scope": "user",
        "applies_to": "tenant", "logout_at": NOW - 60, "input": "admin", "reason": "laptop stolen", "accounts": ["u1"],
        "sessions": [],
    }  # fmt: skip
    entries: Any = await api.receiver.redis.xrange("{logout}:events")
    [(entry_id, _)] = entries
    assert entry_id.decode() == body["entry_id"]
    assert 1 == api.receiver.count(input="admin", outcome="ok", code="ok")


SCOPES: dict[str, tuple[dict[str, Any], str, str, str, list[str]]] = {
    "sid": ({"sid": "s1"}, "session", "session", "tenant", []),
    "both": ({"sub": "u1", "sid": "s1"}, "session", "session", "tenant", ["u1"]),
    "both, user": ({"sub": "u1", "sid": "s1"}, "user", "user", "tenant", ["u1"]),
    "sub, null sid": ({"sub": "u1", "sid": None}, "session", "user", "tenant", ["u1"]),
    "one client": ({"sub": "u1", "client_id": "c1"}, "session", "user", "client", ["u1"]),
}


@pytest.mark.parametrize("case", SCOPES.values(), ids=SCOPES.keys())
async def test_whom_an_order_ends(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    clock: Clock,
    op: OP,
    case: tuple[dict[str, Any], str, str, str, list[str]],
) -> None:
    """`sid` alone is the session, `sub` alone the user, both what the tenant says; a client limits it to itself."""
    members, both, scope, applies_to, accounts = case
    tenant = t1(op, both_claims=both)
    async with start_receiver(redis_server.url, redis_client, clock, [tenant], internal={"token": TOKEN}) as receiver:
        status, _, _ = await Api(receiver).call("POST", "/evictions", {"tenant": "t1", **members})
        [event] = await receiver.events()

    data = event["data"]
    assert (202, scope, applies_to) == (status, data["scope"], data["applies_to"])
    assert (accounts, NOW) == (data["accounts"], data["logout_at"])


async def test_idempotency_key(api: Api) -> None:
    """The same order with the same key is one event; the key for another user, or without a key, is another."""
    order = {"tenant": "t1", "sub": "u1", "idempotency_key": "k"}
    answers = [await api.call("POST", "/evictions", order) for _ in range(2)]
    other = await api.evict("u2", idempotency_key="k")
    plain = [await api.evict("u1") for _ in range(2)]

    assert [(202, False), (200, True)] == [(status, body["duplicate"]) for status, body, _ in answers]
    assert answers[0][1]["entry_id"] == answers[1][1]["entry_id"]
    assert 4 == len({answers[0][1]["id"], other["id"], *(body["id"] for body in plain)})
    assert 4 == len(await api.receiver.events())


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nobody": ({}, "no_subject"),
    "empty sub": ({"sub": ""}, "malformed"),
    "sub as number": ({"sub": 1}, "malformed"),
    "long sub": ({"sub": "u" * 513}, "malformed"),
    "control character": ({"sub": "u\n1"}, "malformed"),
    "unknown member": ({"sub": "u1", "user": "u1"}, "malformed"),
    "logout_at as text": ({"sub": "u1", "logout_at": "now"}, "malformed"),
    "logout_at as truth": ({"sub": "u1", "logout_at": True}, "malformed"),
    "logout_at in milliseconds": ({"sub": "u1", "logout_at": NOW * 1000}, "malformed"),
    "logout_at tomorrow": ({"sub": "u1", "logout_at": NOW + 86_400}, "malformed"),
    "reason as list": ({"sub": "u1", "reason": []}, "malformed"),
    "unknown tenant": ({"sub": "u1", "tenant": "t9"}, "tenant"),
    "no tenant": ({"sub": "u1", "tenant": None}, "malformed"),
    "client of nobody": ({"sub": "u1", "client_id": "c9"}, "audience"),
    "another issuer": ({"sub": "u1", "iss": "https://op.example"}, "issuer"),
}


@pytest.mark.parametrize(("members", "code"), BAD.values(), ids=BAD.keys())
async def test_bad_order_is_refused(api: Api, members: dict[str, Any], code: str) -> None:
    """An order that is not exactly right is 400 and ends nobody's session."""
    status, body, _ = await api.call("POST", "/evictions", {"tenant": "t1", **members})

    assert (400, code) == (status, body["error_description"])
    assert [] == await api.receiver.events()


async def test_several_issuers_need_one_named(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock
) -> None:
    """A tenant with several issuers takes an order only with the one it is for."""
    guids = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"]
    tenant = {
        "name": "t1",
        "issuer": "https://127.0.0.1:1/{tenantid}/v2.0",
        "client_ids": ["c1"],
        "allowed_tenant_ids": guids,
    }
    async with start_receiver(redis_server.url, redis_client, clock, [tenant], internal={"token": TOKEN}) as receiver:
        api = Api(receiver)
        status, body, _ = await api.call("POST", "/evictions", {"tenant": "t1", "sub": "u1"})
        assert (400, "issuer") == (status, body["error_description"])
        await api.evict(iss=f"https://127.0.0.1:1/{guids[1]}/v2.0")
        assert f"https://127.0.0.1:1/{guids[1]}/v2.0" == (await receiver.events())[0]["data"]["iss"]


async def test_order_while_redis_is_away(clock: Clock, op: OP) -> None:
    """Without Redis and without an outbox an order is 503 with Retry-After, like a logout token."""
    server = EmbeddedRedis()
    client = redis.asyncio.Redis.from_url(server.url)
    short = {"publish_timeout_s": 0.1}
    async with start_receiver(
        server.url, client, clock, [t1(op)], internal={"token": TOKEN}, redis=short
    ) as receiver:  # fmt: skip
        status, body, headers = await Api(receiver).call("POST", "/evictions", {"tenant": "t1", "sub": "u1"})
    await client.aclose()

    assert (503, "publish", "5") == (status, body["error_description"], headers["Retry-After"])


async def test_trace_by_id_and_by_jti(api: Api, op: OP) -> None:
    """An order is found by its id, a token's event by its jti too; what is not there is 404."""
    ordered = await api.evict()
    await api.receiver.post(op.token(jti="j1", sub="alice"))

    status, body, _ = await api.call("GET", f"/evictions/{ordered['id']}")
    assert (200, "admin", False, []) == (status, body["input"], body["complete"], body["apps"])
    assert ordered["entry_id"] == body["entry_id"]
    status, body, _ = await api.call("GET", "/evictions", params={"jti": "j1"})
    assert (200, "j1", "backchannel") == (status, body["jti"], body["input"])
    assert "alice" not in str(body)
    for path, code in (("/evictions/nothing", 404), ("/evictions?jti=j9", 404), ("/evictions", 400)):
        assert code == (await api.call("GET", path))[0]


async def test_order_waits_in_the_outbox(clock: Clock, op: OP, tmp_path: Path) -> None:
    """With an outbox an order is taken in while Redis is away, has no entry yet, and its repeat is a duplicate."""
    server = EmbeddedRedis()
    client = redis.asyncio.Redis.from_url(server.url)
    sections = {"outbox": {"path": tmp_path / "outbox.db"}, "redis": {"publish_timeout_s": 0.1}}
    order = {"tenant": "t1", "sub": "u1", "idempotency_key": "k"}
    async with start_receiver(server.url, client, clock, [t1(op)], internal={"token": TOKEN}, **sections) as receiver:
        api = Api(receiver)
        answers = [await api.call("POST", "/evictions", order) for _ in range(2)]
        assert [(202, None, False), (200, None, True)] == [
            (status, body["entry_id"], body["duplicate"]) for status, body, _ in answers
        ]
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(DEADLINE_S):
            while (await api.call("GET", f"/evictions/{answers[0][1]['id']}"))[0] != 200:
                await asyncio.sleep(0.05)
        assert 1 == len(await receiver.events())
    await client.aclose()
    await asyncio.to_thread(server.stop)
