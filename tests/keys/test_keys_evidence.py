"""A signature that fails under a key we hold: an OP that was restored may have a new key under the old name."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from receiver.ingress.keys.held import DOUBTFUL
from tests.keys.rig import Rig, start_rig
from tests.support.keys import rsa_pair
from tests.support.receiver import t1

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.keys.conftest import Start
    from tests.support.clock import Clock
    from tests.support.op import OP

COOLDOWN_S = 60.0


def recreate(op: OP) -> None:
    """The OP has a new key under the name of the old one."""
    op.signing_key = rsa_pair("recreated")
    op.keys = [{**op.signing_key.published(), "kid": "k1"}]


def token_of(op: OP, **claims: Any) -> str:
    """A token of the OP as it is now."""
    return op.token(header={"kid": "k1"}, **claims)


def forged(op: OP) -> str:
    """A token with a published kid and another signature."""
    return op.token(header={"kid": "k1"}, key=rsa_pair("forger"), jti=str(uuid.uuid4()))


async def test_new_key_under_the_old_kid(rig: Rig, op: OP) -> None:
    """The first token it signs causes one fetch and is accepted."""
    await rig.post(op.token())
    recreate(op)

    answer = await rig.post(token_of(op))

    assert 200 == answer.status
    assert 2 == op.jwks_fetches


async def test_new_key_without_kid(start: Start, op: OP) -> None:
    """The same where neither token nor key has a kid."""
    rig = await start()
    op.keys = [{name: value for name, value in op.signing_key.published().items() if name != "kid"}]
    await rig.post(op.token(header={"kid": None}))
    op.signing_key = rsa_pair("recreated")
    op.keys = [{name: value for name, value in op.signing_key.published().items() if name != "kid"}]

    answer = await rig.post(op.token(header={"kid": None}))

    assert 200 == answer.status


async def test_new_key_during_the_cooldown(rig: Rig, op: OP, clock: Clock) -> None:
    """Within the cool-down its token is refused and held, and published when keys may be fetched again."""
    await rig.post(op.token())
    await rig.post(forged(op))
    recreate(op)
    refused = await rig.post(token_of(op, jti="waits"))
    assert (400, "signature") == (refused.status, refused.code)

    clock.advance(COOLDOWN_S)
    await rig.retry()

    assert "waits" == (await rig.events())[-1]["data"]["jti"]
    assert (1, 1, 0) == (rig.held("accepted"), rig.held("refused"), rig.waiting)


async def test_restart_with_the_shared_copy_of_the_old_keys(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, op: OP, clock: Clock
) -> None:
    """A receiver that starts with the keys another one stored takes a failed signature as evidence too."""
    async with start_rig(redis_server.url, redis_client, clock, [t1(op)]) as before:
        await before.post(op.token())
    recreate(op)

    async with start_rig(redis_server.url, redis_client, clock, [t1(op)]) as after:
        answer = await after.post(token_of(op))

    assert 200 == answer.status


async def test_forged_signatures_cost_one_fetch_per_cooldown(rig: Rig, op: OP, clock: Clock) -> None:
    """However many come, the OP is asked once per cool-down."""
    await rig.post(op.token())
    for _ in range(5):
        assert (400, "signature") == ((answer := await rig.post(forged(op))).status, answer.code)
    fetches = [op.jwks_fetches]
    clock.advance(COOLDOWN_S)
    await rig.post(forged(op))
    fetches.append(op.jwks_fetches)

    assert [2, 3] == fetches


async def test_forged_signatures_do_not_hide_a_rotation(rig: Rig, op: OP) -> None:
    """A key with a new kid is found at once, also right after a forged signature has caused a fetch."""
    await rig.post(op.token())
    await rig.post(forged(op))
    op.signing_key = rsa_pair("k2")
    op.keys = [op.signing_key.published()]

    assert 200 == (await rig.post(op.token())).status


async def test_forged_signatures_displace_no_other_token(start: Start, op: OP, clock: Clock) -> None:
    """Tokens held for an unknown kid keep their places; the doubtful have a few of their own."""
    rig = await start(sections={"keys": {"held_tokens": DOUBTFUL + 1}})
    await rig.post(op.token())
    waiting = [str(number) for number in range(DOUBTFUL + 1)]
    for jti in waiting:
        await rig.post(op.token(header={"kid": "new"}, key=rsa_pair("new"), jti=jti))

    await rig.post_all([forged(op) for _ in range(DOUBTFUL + 5)])
    assert (2 * DOUBTFUL + 1, 5) == (rig.waiting, rig.held("displaced"))

    op.keys.append(rsa_pair("new").published())
    clock.advance(COOLDOWN_S)
    # They may first be tried with the keys that the forgeries had fetched, which do not have theirs.
    await rig.retry()
    await rig.retry()
    assert set(waiting) <= {event["data"]["jti"] for event in await rig.events()}
