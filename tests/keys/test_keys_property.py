"""Whatever happens in whatever order: few fetches, and no good token refused for its key."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver.bus.keys import KeyNames
from receiver.core.tokens.key_freshness import ASKED_S, RETRY_S
from tests.keys.rig import Rig, start_rig
from tests.support.clock import Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP
from tests.support.receiver import t1

if TYPE_CHECKING:
    from receiver.bus.link.embedded import EmbeddedRedis

COOLDOWN_S = 60.0
FRESH_S = 3600.0
MAX_STALE_S = 7 * 86400.0
KIDS = ("k1", "k2", "k3")

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([1, 9, 10, 59, 60, 61, 899, 3599, 3600, 86400, MAX_STALE_S])),
        st.tuples(st.just("token"), st.integers(1, 4)),
        st.tuples(st.just("forged"), st.integers(1, 4)),
        st.tuples(st.just("rotate"), st.sampled_from(KIDS)),
        st.tuples(st.just("op"), st.sampled_from([200, 500])),
        st.tuples(st.just("junk"), st.booleans()),
        st.tuples(st.just("timer"), st.none()),
        st.tuples(st.just("retry"), st.none()),
    ),
    max_size=40,
)


@dataclass
class World:
    """An OP, a receiver, and what an observer at the OP's door knows."""

    op: OP
    rig: Rig
    clock: Clock
    fetches: list[tuple[float, bool]] = field(default_factory=list)
    fetched_kid: str = ""
    fetched_at: float = -MAX_STALE_S
    forced_at: float = -MAX_STALE_S

    async def play(self, step: str, value: Any) -> None:
        """Do one thing, then look at how often the OP was asked."""
        before = self.op.jwks_fetches
        match step:
            case "wait":
                self.clock.advance(value)
            case "token":
                await self._good_tokens(value)
            case "forged":
                await self._forged_tokens(value)
            case "rotate":
                self.op.signing_key = rsa_pair(value)
                self.op.keys = [self.op.signing_key.published()]
            case "op":
                self.op.status = value
            case "junk":
                self.op.jwks_body = b'{"keys": [{}]}' if value else None
            case "timer":
                await self.rig.tick()
            case "retry":
                await self.rig.retry()
            case _:
                raise AssertionError(step)
        self._judge(self.op.jwks_fetches - before)

    async def _good_tokens(self, count: int) -> None:
        answers = await self.rig.post_all([self.op.token() for _ in range(count)])
        codes = {answer.code if answer.status != 200 else "ok" for answer in answers}
        if self.op.signing_key.kid == self.fetched_kid:
            assert codes <= {"ok", "jwks_unavailable"}, codes
            if self.clock() - self.fetched_at <= MAX_STALE_S:
                assert {"ok"} == codes
        assert "signature" not in codes

    async def _forged_tokens(self, count: int) -> None:
        forger = rsa_pair("forger")
        tokens = [self.op.token(header={"kid": str(uuid.uuid4())}, key=forger) for _ in range(count)]
        answers = await self.rig.post_all(tokens)
        assert all(answer.status in {400, 503} for answer in answers)

    def _judge(self, asked: int) -> None:
        now_s, good = self.clock(), self.op.status == 200 and self.op.jwks_body is None
        for _ in range(asked):
            due = now_s - self.fetched_at >= FRESH_S or not self.fetched_kid
            none = not self.fetched_kid or now_s - self.fetched_at > MAX_STALE_S
            pause_s = ASKED_S if none else RETRY_S
            if not due or (self.fetches and now_s - self.fetches[-1][0] < pause_s):
                assert now_s - self.forced_at >= COOLDOWN_S, "more than one fetch per cool-down"
                self.forced_at = now_s
            self.fetches.append((now_s, good))
            if good:
                self.fetched_kid, self.fetched_at = self.op.signing_key.kid, now_s


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
async def test_any_sequence_of_events(redis_server: EmbeddedRedis, steps: list[tuple[str, Any]]) -> None:
    """Fetches are periodic or one per cool-down; tokens of a fetched, published key pass; no others are published."""
    clock = Clock()
    client = redis.asyncio.Redis.from_url(redis_server.url)
    try:
        await client.flushall()
        async with OP(clock) as op:
            tenant = t1(op, jwks_uri=op.issuer + "/jwks")
            async with start_rig(redis_server.url, client, clock, [tenant]) as rig:
                world = World(op, rig, clock)
                for step, value in steps:
                    await world.play(step, value)
                accepted = rig.receiver.count(outcome="ok", code="ok") + rig.held("accepted")
                assert accepted == int(await client.get(KeyNames().sequence) or 0)
    finally:
        await client.aclose()
