"""OpenID Provider Commands: an OP orders by `POST /commands/{tenant}`, and is told when it is done."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.consumer import Eviction, Subscriber
from receiver.errors import PublishError
from receiver.ingress.inputs import commands as module
from tests.support.clock import NOW, Clock
from tests.support.op import ABSENT, OP, encode_token
from tests.support.receiver import Answer, Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

URL = "https://logout.example.com"
ENDPOINT = f"{URL}/commands/t1"


@contextlib.asynccontextmanager
async def receiving(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, **commands: Any
) -> AsyncIterator[Receiver]:
    """A receiver that takes commands of t1."""
    tenants = [t1(op, commands={"wait_s": 0.3, **commands}), {**t1(op), "name": "t2", "client_ids": ["c2"]}]
    async with start_receiver(redis_server.url, redis_client, clock, tenants, public={"url": URL + "/"}) as receiver:
        yield receiver


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Receiver]:
    """The same, with what commands are by default."""
    async with receiving(redis_server, redis_client, clock, op) as running:
        yield running


@contextlib.asynccontextmanager
async def app(
    server: EmbeddedRedis, name: str = "portal", *, may_go: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """An app that listens, and drops the user at once, or when it may."""

    async def drop(_: Eviction) -> None:
        if may_go is not None:
            await may_go.wait()

    async with Subscriber(server.url, drop, app=name) as subscriber:
        await subscriber.caught_up()
        yield


async def send(
    receiver: Receiver, op: OP, *, typ: Any = "command+jwt", path: str = "/commands/t1", **changes: Any
) -> Answer:
    """Send a command token, valid but for the changes."""
    claims = {
        "iss": op.issuer, "aud": ENDPOINT, "client_id": "c1", "iat": NOW, "exp": NOW + 120, "jti": "j1",
        "command": "invalidate", "tenant": "acme", "sub": "u1", **changes,
    }  # fmt: skip
    claims = {name: value for name, value in claims.items() if value is not ABSENT}
    header = {"alg": "RS256", "kid": op.signing_key.kid, "typ": typ}
    token = encode_token({n: v for n, v in header.items() if v is not ABSENT}, claims, op.signing_key)
    return await receiver.send("POST", path, data={"command_token": token})


async def test_done(receiver: Receiver, op: OP, redis_server: EmbeddedRedis) -> None:
    """200 once the app has dropped the user; the event is one that earlier readers understand."""
    async with app(redis_server):
        answer = await send(receiver, op)

    assert (200, {"sub": "u1", "account_state": "active"}) == (answer.status, json.loads(answer.text))
    assert ("no-store", "application/json") == (
        answer.headers["Cache-Control"], answer.headers["Content-Type"].partition(";")[0]
    )  # fmt: skip
    [event] = await receiver.events()
    data = event["data"]
    assert ("u1", None, "user", "revocation", "op-command", NOW) == (
        data["sub"], data["sid"], data["scope"], data["input"], data["origin"], data["logout_at"]
    )  # fmt: skip
    assert 1 == receiver.count(input="op-command", outcome="ok", code="ok")


async def test_app_that_takes_too_long(receiver: Receiver, op: OP, redis_server: EmbeddedRedis) -> None:
    """503 while it has not dropped the user; the repeat is answered by what is true then, and is no second event."""
    may_go = asyncio.Event()
    async with app(redis_server), app(redis_server, "orders", may_go=may_go):
        late = await send(receiver, op)
        assert (503, "not_done") == (late.status, late.code)
        assert "Retry-After" in late.headers
        may_go.set()
        while (again := await send(receiver, op)).status != 200:
            assert (503, "not_done") == (again.status, again.code)
    assert 1 == len(await receiver.events())


async def test_nothing_is_proven_without_an_app(receiver: Receiver, op: OP) -> None:
    """Where no app was ever heard of, it is not known to be done; the user is marked all the same."""
    assert (503, "not_done") == ((answer := await send(receiver, op)).status, answer.code)
    assert 1 == len(await receiver.events())


async def test_declared_app_that_is_silent(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """An app that should listen and does not is not done."""
    tenants = [t1(op, commands={"wait_s": 0.3})]
    async with start_receiver(
        redis_server.url, redis_client, clock, tenants, public={"url": URL}, apps=["portal", "silent"]
    ) as receiver, app(redis_server):  # fmt: skip
        assert (503, "not_done") == ((answer := await send(receiver, op)).status, answer.code)


async def test_redis_away(receiver: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, as everywhere."""

    async def away(*_: object) -> None:
        raise PublishError("away")

    monkeypatch.setattr("receiver.ingress.intake.Intake.begin", away)
    assert (503, "publish") == ((answer := await send(receiver, op)).status, answer.code)


async def test_too_many_are_waited_for(receiver: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """429; the order stands."""
    monkeypatch.setattr(module, "MAX_WAITING", 0)

    assert (429, "busy") == ((answer := await send(receiver, op)).status, answer.code)
    assert 1 == len(await receiver.events())


async def test_metadata(receiver: Receiver, op: OP) -> None:
    """What is offered and nothing else; a metadata command signs no user out."""
    answer = await send(receiver, op, command="metadata", sub=ABSENT, metadata={"domains": ["a"]}, callback_token="t")

    assert 200 == answer.status
    assert {
        "context": {"iss": op.issuer, "tenant": "acme"}, "command_endpoint": ENDPOINT, "client_id": "c1",
        "commands_supported": ["metadata", "invalidate", "invalidate_async"],
    } == json.loads(answer.text)  # fmt: skip
    assert [] == await receiver.events()


@pytest.mark.parametrize("status", [200, 409])
async def test_unknown_account(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, status: int
) -> None:
    """The tenant says how an account is answered of which nothing is known; it is marked either way."""
    async with receiving(redis_server, redis_client, clock, op, unknown_status=status) as receiver, app(redis_server):
        answer = await send(receiver, op)

        assert status == answer.status
        assert {200: "active", 409: "unknown"}[status] == json.loads(answer.text)["account_state"]
        assert 1 == len(await receiver.events())


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [
        ({"typ": "JWT"}, 400, "invalid_request", "typ"),
        ({"typ": ABSENT}, 400, "invalid_request", "typ"),
        ({"aud": "c1"}, 400, "invalid_request", "audience"),
        ({"aud": f"{URL}/commands/t2"}, 400, "invalid_request", "audience"),
        ({"client_id": "c9"}, 400, "invalid_request", "audience"),
        ({"iss": "https://another.example"}, 401, "unrecognized_provider", "issuer"),
        ({"iat": ABSENT}, 400, "invalid_request", "iat_missing"),
        ({"exp": ABSENT}, 400, "invalid_request", "exp_missing"),
        ({"exp": NOW - 120}, 400, "invalid_request", "expired"),
        ({"exp": NOW + 90_000}, 400, "invalid_request", "too_old"),
        ({"jti": ABSENT}, 400, "invalid_request", "jti_missing"),
        ({"nonce": "n"}, 400, "invalid_request", "nonce"),
        ({"tenant": ABSENT}, 400, "invalid_request", "malformed"),
        ({"sub": ABSENT}, 400, "invalid_request", "no_subject"),
        ({"callback_token": "t"}, 400, "invalid_request", "malformed"),
        ({"command": "metadata"}, 400, "invalid_request", "malformed"),
        ({"command": "delete"}, 400, "unsupported_command", "unsupported_command"),
        ({"command": ["invalidate"]}, 400, "unsupported_command", "unsupported_command"),
        ({"command": "invalidate_tenant", "sub": ABSENT}, 400, "unsupported_command", "unsupported_command"),
        ({"command": "invalidate_async", "metadata": {}}, 400, "invalid_request", "malformed"),
    ],
)
async def test_refusals(  # noqa: PLR0917  # fixtures and a row
    receiver: Receiver, op: OP, changes: dict[str, Any], status: int, error: str, code: str
) -> None:
    """What is wrong with a token is answered as the draft says, and orders nothing."""
    answer = await send(receiver, op, **changes)

    assert (status, error, code) == (answer.status, answer.error, answer.code)
    assert [] == await receiver.events()


async def test_op_that_leaves_the_tenant_out(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """As the draft's own examples do: accepted where the tenant allows it."""
    async with receiving(redis_server, redis_client, clock, op, require_tenant=False) as receiver:
        answer = await send(receiver, op, command="metadata", sub=ABSENT, tenant=ABSENT)

        assert {"iss": op.issuer} == json.loads(answer.text)["context"]


@pytest.mark.parametrize("path", ["/commands", "/commands/t2", "/commands/t9"])
async def test_off_unless_the_tenant_says_so(receiver: Receiver, op: OP, path: str) -> None:
    """No tenant, none that takes commands, none at all: no such path."""
    assert 404 == (await send(receiver, op, path=path)).status
