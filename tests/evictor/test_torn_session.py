"""Spring's indexed repository saves what was deleted: a torn session, which nobody can read and nobody signed in to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.evictor.rig import at_work
from tests.evictor.written import id_token
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

KEY = "spring:session:sessions:5f2c7c2e-0000-4000-8000-000000000001"
SPRING = {"name": "spring", "layout": "spring-session"}
TIMES = 6
"""More than are allowed where nothing proves that it is the old one."""


async def test_every_torn_save_of_a_removed_session_is_removed(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """However many requests were in flight; a torn hash that was never a removed session's is not ours."""
    token = id_token(op.issuer, "u1", "c1", sid="s1")
    whole: dict[Any, Any] = {
        "creationTime": b"\xac\xed..",
        "sessionAttr:SPRING_SECURITY_CONTEXT": b"\xac\xed.." + token.encode(),
    }
    await redis_client.hset(KEY, mapping=whole)
    foreign = KEY[:-1] + "2"
    async with at_work(redis_server, redis_client, clock, op, SPRING) as world:
        await redis_client.hset(foreign, mapping={"lastAccessedTime": b"1"})
        await world.log_out(sub="u1", sid="s1")
        assert await world.gone(KEY)

        for _ in range(TIMES):
            await redis_client.hset(KEY, mapping={"lastAccessedTime": b"1"})
            await until(lambda: world.gone(KEY))

        assert not await world.gone(foreign)
