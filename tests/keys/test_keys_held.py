"""Tokens whose key could not be had: kept, judged by the moment they came, published when the key is there."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import redis.asyncio
from aiohttp import web

from receiver.bus.link.embedded import EmbeddedRedis
from receiver.core.tokens.key_freshness import RETRY_S
from tests.keys.rig import start_rig
from tests.keys.web import serving
from tests.support.clock import NOW
from tests.support.keys import rsa_pair
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    import pytest

    from tests.keys.conftest import Start
    from tests.keys.rig import Rig
    from tests.support.clock import Clock
    from tests.support.op import OP

COOLDOWN_S = 60.0
DEADLINE_S = 60.0


async def spend_cooldown(rig: Rig, op: OP) -> None:
    """Fetch keys, and let a forged kid use up the one fetch per cool-down; that token waits from now on."""
    await rig.post(op.token())
    await rig.post(op.token(header={"kid": "forged"}, key=rsa_pair("forger")))


def jtis(events: list[dict[str, object]]) -> list[str]:
    """Whose events these are."""
    return [event["data"]["jti"] for event in events]  # type: ignore[index]


async def test_key_published_during_the_cooldown(rig: Rig, op: OP, clock: Clock) -> None:
    """A token of a new key within the cool-down is refused, and published once the keys may be fetched again.

    Its event carries the time of receipt, which it is also judged by: its exp has passed meanwhile.
    """
    await spend_cooldown(rig, op)
    new = rsa_pair("k2")
    clock.advance(10)
    refused = await rig.post(op.token(key=new, header={"kid": "k2"}, jti="waits", exp=NOW + 12))
    op.keys.append(new.published())
    await rig.retry()
    assert ((400, "unknown_kid"), 2) == ((refused.status, refused.code), rig.waiting)
    assert 1 == len(await rig.events())

    clock.advance(300)
    await rig.retry()

    event = (await rig.events())[-1]
    assert ("waits", "2026-11-20T12:00:10.000Z") == (event["data"]["jti"], event["time"])
    assert (1, 1, 0) == (rig.held("accepted"), rig.held("refused"), rig.waiting)
    assert 3 == op.jwks_fetches


async def test_token_that_was_expired_on_arrival_is_not_held(rig: Rig, op: OP) -> None:
    """What fails a rule when it comes is refused for good, key or no key."""
    await spend_cooldown(rig, op)

    answer = await rig.post(op.token(header={"kid": "k2"}, exp=NOW - 61))

    assert ("expired", 1) == (answer.code, rig.waiting)


async def test_keys_out_of_reach_at_a_cold_start(rig: Rig, op: OP, clock: Clock) -> None:
    """Without any keys the answer is 503 with Retry-After, and the token is published when the OP is back."""
    op.status = 500
    tokens = [op.token(jti=f"j{number}") for number in range(3)]
    answers = await rig.post_all(tokens)
    assert {(503, "jwks_unavailable", "5")} == {(a.status, a.code, a.headers["Retry-After"]) for a in answers}
    assert 3 == rig.waiting
    await rig.retry()
    assert 3 == rig.waiting

    op.status = 200
    clock.advance(RETRY_S)
    await rig.retry()

    assert {"j0", "j1", "j2"} == set(jtis(await rig.events()))
    assert (3, 0) == (rig.held("accepted"), rig.waiting)
    assert 1 == op.jwks_fetches


async def test_sender_that_tries_again_meanwhile(rig: Rig, op: OP, clock: Clock) -> None:
    """A token held and then accepted from its sender's second try is one event."""
    op.status = 500
    token = op.token()
    await rig.post(token)
    op.status = 200
    clock.advance(RETRY_S)

    answer = await rig.post(token)
    await rig.retry()

    assert (200, 1) == (answer.status, len(await rig.events()))
    assert 0 == rig.waiting


async def test_periodic_refresh_frees_held_tokens(start: Start, op: OP, clock: Clock) -> None:
    """Keys that came for another reason are used at once, without waiting for the cool-down."""
    rig = await start(key_cooldown_s=9999, sections={"keys": {"fresh_s": 300}})
    await spend_cooldown(rig, op)
    new = rsa_pair("k2")
    await rig.post(op.token(key=new, header={"kid": "k2"}, jti="waits"))
    op.keys.append(new.published())
    clock.advance(300)
    await rig.retry()
    assert (2, 2) == (rig.waiting, op.jwks_fetches)
    await rig.tick()
    await rig.retry()

    assert "waits" == jtis(await rig.events())[-1]
    assert (0, 3) == (rig.waiting, op.jwks_fetches)


async def test_forged_tokens_are_dropped_and_counted(rig: Rig, op: OP, clock: Clock) -> None:
    """When the keys come, what they do not verify is dropped, counted, and never published."""
    await spend_cooldown(rig, op)
    new = rsa_pair("k2")
    op.keys.append(new.published())
    forger = rsa_pair("forger")
    await rig.post(op.token(header={"kid": "never"}, key=forger))
    await rig.post(op.token(header={"kid": "k2"}, key=forger))
    await rig.post(op.token(header={"kid": "k2"}, key=new, jti="real"))
    assert 4 == rig.waiting
    clock.advance(COOLDOWN_S)
    await rig.retry()

    assert "real" == jtis(await rig.events())[-1]
    assert 2 == len(await rig.events())
    assert (1, 3, 0) == (rig.held("accepted"), rig.held("refused"), rig.waiting)


async def test_held_tokens_cause_one_fetch_per_cooldown(rig: Rig, op: OP, clock: Clock) -> None:
    """However many tokens wait and however often they are looked at, the OP is asked once per cool-down."""
    await spend_cooldown(rig, op)
    op.status = 500
    for number in range(20):
        await rig.post(op.token(header={"kid": f"forged-{number}"}))
    before = op.discovery_fetches
    for _ in range(30):
        clock.advance(COOLDOWN_S / 10)
        await rig.retry()

    assert before + 3 == op.discovery_fetches
    assert 21 == rig.waiting


async def test_oldest_give_way(start: Start, op: OP, clock: Clock) -> None:
    """Beyond keys.held_tokens the oldest are dropped and counted; the others are published in order of receipt."""
    rig = await start(sections={"keys": {"held_tokens": 3}})
    op.status = 500
    for number in range(5):
        await rig.post(op.token(jti=f"j{number}"))
    assert (3, 2) == (rig.waiting, rig.held("displaced"))
    op.status = 200
    clock.advance(RETRY_S)
    await rig.retry()

    assert ["j2", "j3", "j4"] == jtis(await rig.events())


async def test_capacity_holds_while_they_are_tried(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, op: OP, clock: Clock
) -> None:
    """Tokens that come while held ones wait for a slow OP never make more than keys.held_tokens in all."""
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response(status=500)

    issuer = "https://slow.example"
    async with serving(slow) as site, asyncio.timeout(DEADLINE_S):
        tenants = [t1(op), t1(op, name="t2", issuer=issuer, jwks_uri=site.origin)]
        sections = {"keys": {"held_tokens": 3}, "outbound": {"timeout_s": DEADLINE_S}}
        async with start_rig(redis_server.url, redis_client, clock, tenants, **sections) as rig:
            release.set()
            assert {503} == {answer.status for answer in await rig.post_all([op.token(iss=issuer) for _ in range(3)])}
            await spend_cooldown(rig, op)
            release.clear()
            clock.advance(RETRY_S)
            asked = len(site.asked)
            trying = asyncio.create_task(rig.retry())
            while len(site.asked) == asked:
                await asyncio.sleep(0)
            await rig.post_all([op.token(header={"kid": f"forged-{number}"}) for number in range(2)])
            assert 3 == rig.waiting
            release.set()
            await trying

            assert (3, 0) == (rig.waiting, rig.held("displaced"))


async def test_others_have_their_turn_while_they_are_tried(rig: Rig, op: OP, clock: Clock) -> None:
    """Between two held tokens the event loop runs what else is ready: logouts that came in."""
    await spend_cooldown(rig, op)
    await rig.post_all([op.token(header={"kid": f"forged-{number}"}) for number in range(9)])
    clock.advance(300)
    seen = {rig.waiting}
    trying = asyncio.create_task(rig.retry())
    while not trying.done():
        await asyncio.sleep(0)
        seen.add(rig.waiting)

    assert set(range(11)) == seen


async def test_none_are_held_when_there_is_no_room(start: Start, op: OP) -> None:
    """keys.held_tokens 0 turns holding off."""
    rig = await start(sections={"keys": {"held_tokens": 0}})
    op.status = 500

    answer = await rig.post(op.token())

    assert (503, 0, 0) == (answer.status, rig.waiting, rig.held("displaced"))


async def test_held_too_long(rig: Rig, op: OP, clock: Clock) -> None:
    """A token waits keys.held_s and no longer, and its end is counted."""
    op.status = 500
    await rig.post(op.token())
    clock.advance(900)
    await rig.retry()
    assert 1 == rig.waiting
    clock.advance(1)
    op.status = 200
    await rig.retry()

    assert (0, 1, []) == (rig.waiting, rig.held("expired"), await rig.events())


async def test_redis_down_when_the_keys_come(clock: Clock, op: OP) -> None:
    """A held token that verifies while Redis is away stays held, and is published when Redis is back."""
    server = EmbeddedRedis()
    await asyncio.to_thread(server.start)
    client = redis.asyncio.Redis.from_url(server.url)
    try:
        async with start_rig(server.url, client, clock, [t1(op)]) as rig:
            op.status = 500
            await rig.post_all([op.token(jti="j0"), op.token(jti="j1")])
            await asyncio.to_thread(server.kill)
            op.status = 200
            clock.advance(RETRY_S)
            await rig.retry()
            assert (2, 0) == (rig.waiting, rig.held("accepted"))

            await asyncio.to_thread(server.start)
            await rig.retry()

            assert {"j0", "j1"} == set(jtis(await rig.events()))
            assert (0, 2) == (rig.waiting, rig.held("accepted"))
    finally:
        await client.aclose()
        await asyncio.to_thread(server.stop)


async def test_two_looks_at_once_publish_once(rig: Rig, op: OP, clock: Clock) -> None:
    """Retries that overlap try each token once."""
    op.status = 500
    await rig.post_all([op.token() for _ in range(10)])
    op.status = 200
    clock.advance(RETRY_S)

    await asyncio.gather(rig.retry(), rig.retry(), rig.retry())

    assert (10, 10) == (rig.held("accepted"), len(await rig.events()))


async def test_log_of_held_tokens_names_nobody(
    rig: Rig, op: OP, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Holding and the end of it are logged, without the token, the sub or the sid."""
    caplog.set_level(logging.DEBUG, "receiver")
    op.status = 500
    token = op.token(sub="alice-subject", sid="alice-session")
    await rig.post(token)
    op.status = 200
    clock.advance(RETRY_S)
    await rig.retry()

    records = [record for record in caplog.records if record.name == "receiver.held"]
    assert ["logout.held", "logout.held_accepted"] == [record.getMessage() for record in records]
    assert 10 == records[1].fields["held_s"]  # type: ignore[attr-defined]
    lines = str([record.fields for record in caplog.records if hasattr(record, "fields")])
    assert all(secret not in lines for secret in ("alice-subject", "alice-session", token, token.split(".")[1]))


async def test_a_running_receiver_looks_by_itself(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """Nobody has to ask: with its periodic tasks running, a receiver publishes a held token when the OP is back."""
    op.status = 500
    async with (
        asyncio.timeout(DEADLINE_S),
        start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as receiver,
    ):
        assert 503 == (await receiver.post(op.token(jti="waits"))).status
        op.status = 200
        clock.advance(RETRY_S)
        while not await receiver.events():
            await asyncio.sleep(0.02)

        assert ["waits"] == jtis(await receiver.events())


async def test_flood_is_one_log_line(start: Start, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens that give way are told in one line per look with their number, not one line each."""
    caplog.set_level(logging.INFO, "receiver.held")
    rig = await start(sections={"keys": {"held_tokens": 2}})
    op.status = 500
    for _ in range(10):
        await rig.post(op.token())
    await rig.retry()
    await rig.retry()

    records = [(record.getMessage(), record.fields) for record in caplog.records if record.name == "receiver.held"]  # type: ignore[attr-defined]
    assert ["logout.held", "logout.held", "logout.held_displaced"] == [event for event, _ in records]
    assert (8, 2) == (records[-1][1]["count"], records[-1][1]["waiting"])
    assert 8 == rig.held("displaced")
