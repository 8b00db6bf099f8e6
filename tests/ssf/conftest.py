from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.streams import StreamNotes
from tests.support.receiver import Receiver, start_receiver, t1
from tests.support.transmitter import Transmitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

PATH = "/ssf/t1"
SECRET_HEADER = "Bearer of the stream"


@pytest.fixture
async def transmitter(clock: Clock) -> AsyncIterator[Transmitter]:
    async with Transmitter(clock) as running:
        yield running


@pytest.fixture
def notes(redis_client: redis.asyncio.Redis) -> StreamNotes:
    return StreamNotes(redis_client, KeyNames())


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, transmitter: Transmitter
) -> AsyncIterator[Receiver]:
    """A receiver that takes pushed events for tenant t1, and for t2 with a header."""
    other = {**t1(transmitter), "name": "t2", "issuer": "https://op.example", "client_ids": ["c2"]}
    with_header = {"push_authorization": SECRET_HEADER, "transmitter": transmitter.issuer, "audience": ["c1"]}
    tenants = [
        t1(transmitter, ssf={"stream_id": "stream"}),
        {**other, "ssf": with_header},
        {**other, "name": "t3", "issuer": "https://third.example"},
    ]
    async with start_receiver(redis_server.url, redis_client, clock, tenants) as running:
        yield running
