"""Front-channel logout: a `sid` that is known ends its session, and no answer says whether it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from receiver.bus.caches.cache_index import CacheIndex, Note
from receiver.bus.keys import KeyNames
from receiver.bus.link.trips import Trips
from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.core.index_names import IndexNames
from receiver.core.marks import digest
from receiver.core.sign_in import SignIn
from receiver.ingress.inputs.frontchannel import REPEAT_S, FrontChannel
from receiver.ops.settings import Settings
from tests.support.clock import NOW, Clock
from tests.support.receiver import Answer, Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

SECRET = "0123456789abcdef0123456789abcdef"
ORIGIN = "https://login.example.com"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test but the one about it waits for the time every answer takes."""
    monkeypatch.setattr(FrontChannel, "answer_after_s", 0.0)


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Receiver]:
    """A receiver with a tenant that takes front-channel logout in, and one that does not."""
    tenants = [
        t1(op, frontchannel={"origins": [ORIGIN], "calls_per_s": 5}),
        {"name": "t2", "issuer": op.issuer + "/other", "client_ids": ["c2"]},
    ]
    evictor = {"index_secret": SECRET}
    async with start_receiver(redis_server.url, redis_client, clock, tenants, evictor=evictor) as receiver:
        yield receiver


async def register(redis_client: redis.asyncio.Redis, op: OP, clock: Clock, **members: Any) -> None:
    """An app registers a sign-in of u1 in the session s1."""
    given = {"iss": op.issuer, "client_ids": ("c1",), "sub": "u1", "sid": "s1", "home_account_id": "a.b"}
    sign_in = SignIn(**{**given, "auth_time": NOW - 60, "keys": ("k1",), **members})
    assert not (await SignIns(lambda: redis_client, KeyNames(), clock=clock).register(sign_in, lifetime_s=600)).ended


async def call(receiver: Receiver, query: dict[str, str] | str = "sid=s1", tenant: str = "t1") -> Answer:
    """What an OP's iframe asks for."""
    return await receiver.send("GET", f"/frontchannel-logout/{tenant}", params=query)


async def test_registered_session_ends(receiver: Receiver, redis_client: Any, op: OP, clock: Clock) -> None:
    """Without `iss`, as Entra calls: the session an app registered ends, and no other session of the user."""
    await register(redis_client, op, clock)
    await register(redis_client, op, clock, sid="s2", keys=("k2",))

    answer = await call(receiver)

    [event] = await receiver.events()
    data = event["data"]
    assert 200 == answer.status
    assert ("session", "s1", None, "frontchannel") == (data["scope"], data["sid"], data["sub"], data["input"])
    assert (["a.b"], [{"client_id": "c1", "keys": ["k1"]}]) == (data["accounts"], data["sessions"])
    assert NOW == data["logout_at"]
    assert 1 == receiver.count(input="frontchannel", outcome="ok", code="ok")


async def test_session_found_in_a_cache_ends(receiver: Receiver, redis_client: Any, op: OP, clock: Clock) -> None:
    """A session the evictor has seen is known as well, under names keyed with its secret."""
    names = IndexNames([SECRET])
    index = CacheIndex(Trips(redis_client), KeyNames(), names=names, keep_s=600, clock=clock, report=lambda _, __: None)
    await index.learn([Note("index", digest("sid", op.issuer, "s7"), f'{digest("account", op.issuer, "a.b")} "a.b"')])

    await call(receiver, "sid=s7")

    assert [["a.b"]] == [event["data"]["accounts"] for event in await receiver.events()]


@pytest.mark.parametrize("place", ["index", "places"])
async def test_note_that_has_expired(receiver: Receiver, redis_client: Any, op: OP, clock: Clock, place: Any) -> None:
    """What is no longer remembered is not known, though its entry is still there."""
    index = CacheIndex(Trips(redis_client), KeyNames(), keep_s=600, clock=clock, report=lambda _, __: None)
    await index.learn([Note(place, digest("sid", op.issuer, "s7"), 'x "k"')])
    clock.advance(601)

    await call(receiver, "sid=s7")

    assert [] == await receiver.events()


@pytest.mark.parametrize(
    "query",
    [
        "", "sid=", "sid=s9", "sub=u1", "iss=https%3A%2F%2Felsewhere.example&sid=s1", "sid=%00s1", "sid=" + "s" * 513,
        "sid=%ED%A0%80", "sid=s1%20",
    ],
    ids=["nothing", "empty", "unknown", "sub", "another issuer", "control", "long", "surrogate", "space"],
)  # fmt: skip
async def test_every_call_is_answered_alike(
    receiver: Receiver, redis_client: Any, op: OP, clock: Clock, query: str
) -> None:
    """Unknown, malformed, or of another issuer: the answer is that of a session that ended; nothing is published."""
    await register(redis_client, op, clock)

    answer = await call(receiver, query)
    before = await receiver.events()
    ended = await call(receiver)

    assert [] == before
    assert (ended.status, ended.text) == (answer.status, answer.text)
    same = {name: value for name, value in ended.headers.items() if name != "Date"}
    assert same == {name: value for name, value in answer.headers.items() if name != "Date"}


async def test_issuer_that_is_named(receiver: Receiver, redis_client: Any, op: OP, clock: Clock) -> None:
    """`iss` and `sid` together, as the specification has them."""
    await register(redis_client, op, clock)

    await call(receiver, {"iss": op.issuer, "sid": "s1"})

    assert 1 == len(await receiver.events())


async def test_other_tenants_session(receiver: Receiver, redis_client: Any, op: OP, clock: Clock) -> None:
    """A session is looked for at the tenant of the path only."""
    await register(redis_client, op, clock, iss=op.issuer + "/other")

    await call(receiver)

    assert [] == await receiver.events()


async def test_answer_may_be_framed_by_the_op_only(receiver: Receiver) -> None:
    """The page says which origins may frame it, has no content, and is not kept."""
    headers = (await call(receiver)).headers

    assert f"default-src 'none'; frame-ancestors {ORIGIN}" == headers["Content-Security-Policy"]
    assert ("no-store", "text/html; charset=utf-8") == (headers["Cache-Control"], headers["Content-Type"])
    assert "X-Frame-Options" not in headers


async def test_origin_of_the_issuer(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """Without origins the issuer's own may frame the answer."""
    tenants = [t1(op, frontchannel={})]
    async with start_receiver(redis_server.url, redis_client, clock, tenants) as receiver:
        headers = (await call(receiver)).headers

    assert headers["Content-Security-Policy"].endswith(f" {op.origin}")


async def test_calls_are_limited(receiver: Receiver, redis_client: Any, op: OP, clock: Clock) -> None:
    """Beyond the limit of a second calls are answered 429, the same for every `sid`; then they are looked at again."""
    await register(redis_client, op, clock)
    statuses = [(await call(receiver, f"sid=guess{n}")).status for n in range(6)]
    over = await call(receiver)
    clock.advance(1)

    assert [200] * 5 + [429] == statuses
    assert (429, "busy") == (over.status, over.code)
    assert 200 == (await call(receiver)).status
    assert 1 == len(await receiver.events())


async def test_calls_of_several_iframes_are_one_logout(
    receiver: Receiver, redis_client: Any, op: OP, clock: Clock
) -> None:
    """An OP that frames the address once for each client orders one logout; a later one is another."""
    for seconds in (0, 0, REPEAT_S):
        clock.advance(seconds)
        await register(redis_client, op, clock, auth_time=clock() + 60)
        await call(receiver)

    assert 2 == len(await receiver.events())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/frontchannel-logout/t2?sid=s1", 404),
        ("GET", "/frontchannel-logout/t1/x", 404),
        ("GET", "/frontchannel-logout", 404),
        ("GET", "/frontchannel-logout/t9?sid=s1", 405),
        ("POST", "/frontchannel-logout/t1?sid=s1", 405),
    ],
    ids=["switched off", "deeper", "no tenant", "unknown tenant", "post"],
)
async def test_other_addresses(receiver: Receiver, method: str, path: str, status: int) -> None:
    """It is off unless a tenant sets it, and it needs the tenant in the path and a GET."""
    assert status == (await receiver.send(method, path)).status


async def test_redis_is_away(redis_server: EmbeddedRedis, redis_client: Any, clock: Clock, op: OP) -> None:
    """Without Redis nothing is known: 503 for every `sid` alike."""
    tenants = [t1(op, frontchannel={})]
    redis_settings = {"timeout_s": 0.2, "publish_timeout_s": 0.0}
    away = {"url": "redis://127.0.0.1:1/0", **redis_settings}
    async with start_receiver(redis_server.url, redis_client, clock, tenants, redis=away) as receiver:
        answer = await call(receiver)

    assert (503, "redis") == (answer.status, answer.code)


async def test_known_and_unknown_take_the_same_time(
    receiver: Receiver, redis_client: Any, op: OP, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer comes before the set time, be there a session or not."""
    monkeypatch.setattr(FrontChannel, "answer_after_s", 0.3)
    await register(redis_client, op, clock)
    for query in ("sid=s1", "sid=unknown"):
        await call(receiver, query)

    metric = receiver.server.metrics.registry.get_sample_value
    labels = {"input": "frontchannel"}
    within = metric("logout_request_duration_seconds_bucket", {**labels, "le": "0.25"})
    assert (0, 2) == (within, metric("logout_request_duration_seconds_count", labels))


@pytest.mark.parametrize(
    "origin",
    [
        "login.example.com",
        "https://login.example.com/",
        "https://a.example *",
        "https://a.example;",
        "*",
        "https://u@h",
    ],
)
def test_what_is_no_origin(origin: str) -> None:
    """An entry that is more or less than an origin would say something else in the header, and is refused."""
    tenant = {"name": "t1", "issuer": "https://op.example", "client_ids": ["c1"], "frontchannel": {"origins": [origin]}}

    with pytest.raises(ValidationError):
        Settings(tenants=[tenant])
