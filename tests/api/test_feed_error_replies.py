"""Redis answers with an error in the middle of a feed: it goes on by itself, and nothing is missed or told twice."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from redis.backoff import EqualJitterBackoff

from receiver.core.eviction import Eviction
from receiver.ingress.api import feed as event_feed
from tests.api.conftest import TOKEN, Api
from tests.support.publisher import publisher_to
from tests.support.receiver import start_receiver, t1
from tests.support.refusing import ERRORS, Refusing
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP


@pytest.mark.parametrize("times", [1, None], ids=["one reply", "for a while"])
async def test_it_goes_on(  # noqa: PLR0917  # fixtures
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP,
    monkeypatch: pytest.MonkeyPatch, times: int | None,
) -> None:  # fmt: skip
    """Whichever error it is, the same connection brings the next event, and no reset."""
    monkeypatch.setattr(event_feed, "RECONNECT", EqualJitterBackoff(cap=0.01, base=0.01))
    internal = {"token": TOKEN, "feed_heartbeat_s": 0.2}
    async with (
        Refusing(redis_server.port) as relay,
        start_receiver(relay.url, redis_client, clock, [t1(op)], internal=internal) as receiver,
        Api(receiver).feed() as feed,
    ):
        for number, error in enumerate(ERRORS.values()):
            refused = relay.refused["XREAD"]
            relay.refuse(error, "XREAD", times=times)
            await publisher_to(redis_client).publish(order(f"u{number}a"))
            await until(partial(_is_refused, relay, refused))
            await publisher_to(redis_client).publish(order(f"u{number}b"))
            relay.take()
            told = [block.event == "eviction" and json.loads(block.data or "")["data"]["sub"]
                    for block in await feed.events(2)]  # fmt: skip
            assert [f"u{number}a", f"u{number}b"] == told


async def _is_refused(relay: Refusing, before: int) -> bool:
    return relay.refused["XREAD"] > before


def order(sub: str) -> Eviction:
    """Of a user."""
    return Eviction(
        id=sub, tenant="t1", iss="https://op.example", sub=sub, scope="user", logout_at=1, received_at=1.0
    )  # fmt: skip
