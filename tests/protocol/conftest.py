"""How a vector is played: a receiver with the tenant the case wants, one request, one verdict."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.protocol.vectors import BACKCHANNEL, Case, assert_accepted, assert_refused, published
from tests.support.keys import rsa_pair
from tests.support.op import OP
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock


class Start(Protocol):
    """Start a receiver for some tenants, by default t1; keyword arguments are settings sections."""

    async def __call__(self, *tenants: dict[str, Any], **sections: Any) -> Receiver:
        """Return once both its listeners are open."""


@pytest.fixture
async def start(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Start]:
    """Starts receivers; they end with the test."""
    op.keys = published(op)
    async with contextlib.AsyncExitStack() as stack:

        async def start_one(*tenants: dict[str, Any], **sections: Any) -> Receiver:
            settings = list(tenants) or [t1(op)]
            return await stack.enter_async_context(
                start_receiver(redis_server.url, redis_client, clock, settings, **sections)
            )

        yield start_one


@pytest.fixture
async def other(clock: Clock) -> AsyncIterator[OP]:
    """A second issuer, t2; or an attacker's server. Its key has the same kid as the first issuer's."""
    foreign = rsa_pair("k1", 3072)
    async with OP(clock, path="/t2", signing_key=foreign) as running_op:
        yield running_op


@pytest.fixture
def play(start: Start, op: OP) -> Callable[[Case], Awaitable[None]]:
    """Play one case of a table and check everything it promises."""

    async def play_one(case: Case) -> None:
        op.keys = case.keys(op)
        receiver = await start(t1(op, **case.tenant))
        token = case.token(op)
        request = {"method": "POST", "path": BACKCHANNEL, **case.request(token)}

        answer = await receiver.send(**request)

        if case.code is None:
            assert_accepted(answer)
        else:
            assert_refused(answer, case.status, case.code, token)
        assert case.events == len(await receiver.events())
        assert [] == op.other_requests

    return play_one
