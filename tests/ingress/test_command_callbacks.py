"""`invalidate_async`: 202 at once, and the OP is called when the order is done, or told what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from receiver.consumer import Eviction, Subscriber
from receiver.ingress import server
from receiver.ingress.inputs import commands, input_jobs
from receiver.ingress.inputs.callbacks import KEEP_S, LONGEST_PAUSE_S, CallbackCalls
from receiver.outbound.source import LONGEST_PAUSE_S as LONGEST_ASKED_S
from tests.ingress.test_commands import URL, send
from tests.support.op import ABSENT, OP
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

AFTER_S = 300.0
TOKEN = "opaque.callback~token=="
DEADLINE_S = 60.0


class CalledOP(OP):
    """An OP with a callback endpoint.

    Attributes:
        calls: Token and body of every call.
        answers: What the next calls are answered, then 204.
    """

    def add_routes(self, app: web.Application) -> None:
        """The endpoint."""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[tuple[int, str | None]] = []
        app.router.add_post(f"{self.path}/callback", self._callback)

    async def _callback(self, request: web.Request) -> web.Response:
        self.calls.append((request.headers["Authorization"], await request.json()))
        status, retry_after = self.answers.pop(0) if self.answers else (204, None)
        return web.Response(status=status, headers={} if retry_after is None else {"Retry-After": retry_after})


@pytest.fixture
async def called(clock: Clock) -> AsyncIterator[CalledOP]:
    """An OP that is called back."""
    async with CalledOP(clock) as running:
        yield running


@contextlib.asynccontextmanager
async def receiving(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, **settings: Any
) -> AsyncIterator[tuple[Receiver, CallbackCalls]]:
    """A receiver for t1, and its job that calls back, which is not run by the supervisor."""
    made: list[Any] = []

    def jobs(resources: Any) -> tuple[()]:
        made.extend(input_jobs(resources))
        return ()

    tenants = [t1(op, commands={"callback_after_s": AFTER_S, **settings.pop("commands", {})})]
    sections = {"public": {"url": URL}, "apps": ["portal"], **settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "input_jobs", jobs)
        async with start_receiver(redis_server.url, redis_client, clock, tenants, **sections) as receiver:
            [job] = made
            yield receiver, job


@contextlib.asynccontextmanager
async def app_is_up(redis_server: EmbeddedRedis) -> AsyncIterator[None]:
    """The app is there, and has dropped the user of every order that it missed."""
    dropped = asyncio.Event()

    def drop(_: Eviction) -> None:
        dropped.set()

    async with Subscriber(redis_server.url, drop, app="portal"):
        async with asyncio.timeout(DEADLINE_S):
            await dropped.wait()
        yield


async def introduce(receiver: Receiver, op: OP, **metadata: Any) -> int:
    """The OP's metadata command."""
    metadata = {"callback_endpoint": f"{op.issuer}/callback", **metadata}
    return (await send(receiver, op, command="metadata", sub=ABSENT, jti="m1", metadata=metadata)).status


async def order(receiver: Receiver, op: OP, **changes: Any) -> int:
    """An `invalidate_async`; the status of its answer."""
    claims = {"command": "invalidate_async", "callback_token": TOKEN, **changes}
    return (await send(receiver, op, **claims)).status


async def until_called(job: CallbackCalls, op: CalledOP, number: int = 1) -> None:
    """Look until the OP was called so often: an app answers when it is done."""
    async with asyncio.timeout(DEADLINE_S):
        while len(op.calls) < number:
            await job.turn()
            await asyncio.sleep(0)


async def test_app_that_is_down_for_a_minute(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP
) -> None:
    """The OP is answered at once, hears nothing while the app is down, and "done" after it has come back."""
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        assert 200 == await introduce(receiver, called)
        assert 202 == await order(receiver, called)
        for _ in range(6):
            await job.turn()
            clock.advance(10)
        assert [] == called.calls
        async with app_is_up(redis_server):
            await until_called(job, called)
        for _ in range(3):
            clock.advance(AFTER_S)
            await job.turn()
        assert [(f"Bearer {TOKEN}", {"sub": "u1", "account_state": "active"})] == called.calls
        labels = {"tenant": "t1", "result": "done"}
        assert 1 == receiver.server.metrics.registry.get_sample_value("logout_callbacks_total", labels)
        [event] = await receiver.events()
        assert ("u1", "user", "revocation", "op-command") == tuple(
            event["data"][name] for name in ("sub", "scope", "input", "origin")
        )


async def test_app_that_never_comes_back(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP
) -> None:
    """After the deadline the OP is told which app has not dropped the user, once."""
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        await introduce(receiver, called)
        await order(receiver, called)
        clock.advance(AFTER_S - 1)
        await job.turn()
        assert [] == called.calls
        clock.advance(1)
        await job.turn()
        await job.turn()
    [(_, said)] = called.calls
    assert ("u1", "not_done", ["portal"]) == (said["sub"], said["error"], said["missing"])


async def test_orders_outlive_the_receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP
) -> None:
    """What one receiver has answered 202, another one calls back for."""
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        await introduce(receiver, called)
        await order(receiver, called)
        await job.turn()
        await job.release()
    async with receiving(redis_server, redis_client, clock, called) as (_, successor), app_is_up(redis_server):
        await until_called(successor, called)
    assert {"sub": "u1", "account_state": "active"} == called.calls[0][1]


async def test_op_that_does_not_answer(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP
) -> None:
    """It is called again after growing pauses, or after the one it asks for, with what is true by then."""
    called.answers = [(500, None), (503, "60")]
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        await introduce(receiver, called)
        await order(receiver, called)
        clock.advance(AFTER_S)
        for seconds, calls in ((0, 1), (0.5, 1), (0.5, 2), (59, 2), (1, 3), (LONGEST_PAUSE_S, 3)):
            clock.advance(seconds)
            await job.turn()
            assert calls == len(called.calls)


async def test_pauses_end(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP
) -> None:
    """However long the OP asks for, after an hour; and one noted by a clock that was ahead, once that is set back."""
    called.answers = [(503, "9" * 9), (500, None)]
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        await introduce(receiver, called)
        await order(receiver, called)
        clock.advance(AFTER_S)
        for seconds, calls in ((0, 1), (LONGEST_ASKED_S - 1, 1), (10_000, 2), (-10_000, 3)):
            clock.advance(seconds)
            await job.turn()
            assert calls == len(called.calls)


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_op_that_refuses_the_call(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP, status: int
) -> None:
    """It is not called again."""
    called.answers = [(status, None)]
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        await introduce(receiver, called)
        await order(receiver, called)
        for _ in range(3):
            clock.advance(AFTER_S)
            await job.turn()
    assert 1 == len(called.calls)


async def test_op_that_is_never_back(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP
) -> None:
    """A day after the deadline the call is given up, and nothing is kept."""
    called.answers = [(500, None)] * 99
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        await introduce(receiver, called)
        await order(receiver, called)
        clock.advance(AFTER_S + KEEP_S)
        await job.turn()
        assert 1 == await redis_client.hlen("{logout}:callbacks")
        clock.advance(1)
        await job.turn()
        assert 0 == await redis_client.hlen("{logout}:callbacks")


@pytest.mark.parametrize("endpoint", [None, "replaced"])
async def test_without_an_address_or_a_token(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP,
    endpoint: str | None,
) -> None:  # fmt: skip
    """The order stands, and the OP is not called; a new metadata command replaces what the one before said."""
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        if endpoint is not None:
            await introduce(receiver, called)
            assert 202 == await order(receiver, called, callback_token=ABSENT)
            await introduce(receiver, called, callback_endpoint=None)
        assert 202 == await order(receiver, called, jti="j2")
        clock.advance(AFTER_S)
        await job.turn()
        assert [] == called.calls
        assert (2 if endpoint else 1) == len(await receiver.events())


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/callback", "http://127.0.0.1:1/callback", "//x", "file:///etc/passwd", 7, "https://["],
)
async def test_address_that_the_settings_do_not_name(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP, address: Any
) -> None:
    """A token alone makes us call no host: the address has to be at the issuer's origin, or at a configured one."""
    async with receiving(redis_server, redis_client, clock, called) as (receiver, _):
        assert 400 == await introduce(receiver, called, callback_endpoint=address)


async def test_configured_origin(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, called: CalledOP
) -> None:
    """An OP that is called elsewhere."""
    origin = called.issuer.removesuffix(called.path)
    settings = {"callback_origins": [origin]}
    async with receiving(redis_server, redis_client, clock, op, commands=settings) as (receiver, job):
        assert 200 == await introduce(receiver, op, callback_endpoint=f"{called.issuer}/callback")
        await order(receiver, op)
        clock.advance(AFTER_S)
        await job.turn()
    assert 1 == len(called.calls)


@pytest.mark.parametrize("token", ["two words", "new\nline", "", "x" * 4097, 5, ["x"]])
async def test_token_that_is_none(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP, token: Any
) -> None:
    """What cannot be sent in a header is refused, and orders nothing."""
    async with receiving(redis_server, redis_client, clock, called) as (receiver, _):
        assert 400 == await order(receiver, called, callback_token=token)
        assert [] == await receiver.events()


async def test_too_many(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """429; the order stands."""
    async with receiving(redis_server, redis_client, clock, called) as (receiver, _):
        await introduce(receiver, called)
        monkeypatch.setattr(commands, "MAX_CALLBACKS", 0)
        assert 429 == await order(receiver, called)
        assert 1 == len(await receiver.events())


async def test_unknown_account(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP
) -> None:
    """Where the tenant says so, 409 at once and no call; the account is marked all the same."""
    settings = {"unknown_status": 409}
    async with receiving(redis_server, redis_client, clock, called, commands=settings) as (receiver, _):
        await introduce(receiver, called)
        assert 409 == await order(receiver, called)
        assert (1, 0) == (len(await receiver.events()), await redis_client.hlen("{logout}:callbacks"))


async def test_damaged_order(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, called: CalledOP
) -> None:
    """What cannot be read is dropped and counted, and holds up no other."""
    async with receiving(redis_server, redis_client, clock, called) as (receiver, job):
        await introduce(receiver, called)
        await order(receiver, called)
        [kept] = await redis_client.hvals("{logout}:callbacks")
        for place, number in ((4, 10**400), (5, -1), (6, 10**400)):
            damaged = json.loads(kept)
            damaged[place] = number
            await redis_client.hset("{logout}:callbacks", items=[f"number {place}", json.dumps(damaged)])
        await redis_client.hset("{logout}:callbacks", items=["x", json.dumps([1])])
        clock.advance(AFTER_S)
        await job.turn()
        assert 0 == await redis_client.hlen("{logout}:callbacks")
    assert 1 == len(called.calls)
