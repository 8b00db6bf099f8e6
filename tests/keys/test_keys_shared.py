"""Good keys are shared through Redis, so that a cold receiver verifies while the OP is down."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from tests.keys.rig import start_rig
from tests.support.keys import rsa_pair
from tests.support.op import OP
from tests.support.receiver import t1

if TYPE_CHECKING:
    from tests.keys.conftest import Start
    from tests.support.clock import Clock

FRESH_S = 3600.0
MAX_STALE_S = 7 * 86400.0


async def test_cold_receiver_verifies_while_the_op_is_down(start: Start, op: OP, clock: Clock) -> None:
    """Keys fetched by one receiver verify in a second one that has never reached the OP."""
    first = await start()
    await first.post(op.token())
    await op.__aexit__()
    clock.advance(FRESH_S * 2)
    cold = await start()

    answer = await cold.post(op.token())

    assert 200 == answer.status
    assert "connection refused" in cold.problem


async def test_fresh_shared_keys_save_the_fetch(start: Start, op: OP) -> None:
    """A second receiver started within fresh_s asks the OP nothing."""
    first = await start()
    await first.post(op.token())

    second = await start()
    answer = await second.post(op.token())

    assert 200 == answer.status
    assert (1, 1) == (op.discovery_fetches, op.jwks_fetches)


async def test_age_of_shared_keys_counts_from_their_fetch(start: Start, op: OP, clock: Clock) -> None:
    """Keys taken over are as old as they are: refreshed when due, dropped at max_stale_s after the first fetch."""
    first = await start()
    await first.post(op.token())
    clock.advance(FRESH_S - 1)
    second = await start()
    await second.post(op.token())
    assert 1 == op.jwks_fetches
    op.status = 500
    clock.advance(MAX_STALE_S - FRESH_S + 1)
    assert 200 == (await second.post(op.token())).status
    clock.advance(1)

    assert 503 == (await second.post(op.token())).status


async def test_too_old_shared_keys_are_not_taken(start: Start, op: OP, clock: Clock) -> None:
    """Shared keys older than max_stale_s are left where they are."""
    first = await start()
    await first.post(op.token())
    op.status = 500
    clock.advance(MAX_STALE_S + 1)
    cold = await start()

    answer = await cold.post(op.token())

    assert (503, "jwks_unavailable") == (answer.status, answer.code)


async def test_shared_keys_newer_than_ours_are_taken(start: Start, op: OP, clock: Clock) -> None:
    """A receiver whose own keys grew too old takes what another one has fetched since."""
    cut_off = await start()
    await cut_off.post(op.token())
    clock.advance(MAX_STALE_S)
    connected = await start()
    await connected.post(op.token())
    op.status = 500
    clock.advance(1)

    answer = await cut_off.post(op.token())

    assert 200 == answer.status


async def test_shared_keys_from_the_future_are_as_old_as_now(start: Start, op: OP, clock: Clock) -> None:
    """A receiver whose clock ran ahead cannot make the others keep its keys for longer."""
    clock.advance(30 * 86400)
    ahead = await start()
    await ahead.post(op.token())
    clock.advance(-30 * 86400)
    rig = await start()
    await rig.post(op.token())
    assert 1 == op.jwks_fetches
    clock.advance(FRESH_S)
    await rig.tick()

    assert 2 == op.jwks_fetches


async def test_shared_keys_belong_to_the_issuer(start: Start, op: OP, clock: Clock) -> None:
    """A tenant that was given another issuer does not verify with the former one's keys."""
    former = await start()
    await former.post(op.token())
    async with OP(clock, path="/new", signing_key=rsa_pair("k2")) as new_op:
        new_op.status = 500
        moved = await start(issuer=new_op.issuer)

        forged = await moved.post(new_op.token(key=op.signing_key, header={"kid": op.signing_key.kid}))

    assert (503, "jwks_unavailable") == (forged.status, forged.code)


STORED = {
    "not JSON": b"\xff",
    "another shape": b"[]",
    "no time": b'{"jwks": {"keys": []}}',
    "time is no number": b'{"fetched_at": {}, "jwks": {"keys": []}}',
    "time is NaN": b'{"fetched_at": NaN, "jwks": {"keys": []}}',
    "time is infinite": b'{"fetched_at": 1e999, "jwks": {"keys": []}}',
    "nested": b"[" * 5000,
    "no keys": b'{"fetched_at": %d, "jwks": {"keys": []}}',
    "keys is a text": b'{"fetched_at": %d, "jwks": "keys"}',
    "unusable": b'{"fetched_at": %%d, "jwks": %s}'
    % json.dumps({"keys": [rsa_pair("weak", 1024).published(kid="k1")]}).encode(),
}


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED.keys())
async def test_junk_in_redis_is_ignored(start: Start, op: OP, clock: Clock, stored: bytes) -> None:
    """Whatever lies under the shared name, a receiver fetches for itself and puts good keys there."""
    first = await start()
    await first.post(op.token())
    [name] = await first.receiver.redis.keys("*:jwks:*")
    await first.receiver.redis.set(name, stored % clock() if b"%d" in stored else stored)
    rig = await start()

    answer = await rig.post(op.token())

    assert 200 == answer.status
    assert 2 == op.jwks_fetches
    assert "k1" == json.loads(await rig.receiver.redis.get(name) or b"")["jwks"]["keys"][0]["kid"]


async def test_redis_keeps_keys_no_longer_than_they_may_be_used(start: Start, op: OP) -> None:
    """The shared copy expires with max_stale_s."""
    rig = await start(sections={"keys": {"max_stale_s": 100}})
    await rig.post(op.token())

    [name] = await rig.receiver.redis.keys("*:jwks:*")
    assert 95 < await rig.receiver.redis.ttl(name) <= 100


async def test_keys_do_not_need_redis(clock: Clock, op: OP) -> None:
    """With Redis down keys are still fetched and refreshed; only publishing fails."""
    server = EmbeddedRedis()
    client = redis.asyncio.Redis.from_url(server.url)
    async with start_rig(server.url, client, clock, [t1(op)]) as rig:
        refused = await rig.post(op.token())
        clock.advance(FRESH_S)
        await rig.tick()

        assert (503, "publish") == (refused.status, refused.code)
        assert (2, "") == (op.jwks_fetches, rig.problem)

        await asyncio.to_thread(server.start)
        try:
            assert 200 == (await rig.post(op.token())).status
        finally:
            await client.aclose()
            await asyncio.to_thread(server.stop)
