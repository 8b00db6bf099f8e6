"""Unknown kids: a rotation is noticed at once, a flood costs the OP nothing."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.keys.web import serving
from tests.support.keys import KeyPair, b64, rsa_pair

if TYPE_CHECKING:
    from tests.keys.conftest import Start
    from tests.keys.rig import Rig
    from tests.support.clock import Clock
    from tests.support.op import OP

COOLDOWN_S = 60.0
FRESH_S = 3600.0
DEADLINE_S = 60.0


def rotate(op: OP, kid: str) -> KeyPair:
    """The OP drops its key and signs with a new one."""
    op.signing_key = rsa_pair(kid)
    op.keys = [op.signing_key.published()]
    return op.signing_key


def forged(op: OP, kid: str | None = None) -> str:
    """A token as an attacker would make it: all right but for the key."""
    claims: dict[str, Any] = {"jti": str(uuid.uuid4())}
    return op.token(header={"kid": kid or str(uuid.uuid4())}, key=rsa_pair("forger"), **claims)


async def test_rotation_is_noticed_at_once(rig: Rig, op: OP) -> None:
    """A token signed with a key published after the last fetch is accepted on its first try."""
    await rig.post(op.token())
    rotate(op, "k2")

    answer = await rig.post(op.token())

    assert 200 == answer.status
    assert 2 == op.jwks_fetches


async def test_rotation_right_after_a_periodic_fetch_is_noticed_at_once(rig: Rig, op: OP, clock: Clock) -> None:
    """The periodic fetch does not use up the cool-down of unknown kids."""
    await rig.post(op.token())
    clock.advance(FRESH_S)
    await rig.tick()
    rotate(op, "k2")

    answer = await rig.post(op.token())

    assert 200 == answer.status
    assert 3 == op.jwks_fetches


async def test_one_fetch_per_cooldown(rig: Rig, op: OP, clock: Clock) -> None:
    """An unknown kid causes a fetch; others within the cool-down, the same or not, cause none; after it one again."""
    await rig.post(op.token())
    fetches = []
    for kid in ("a", "a", "b"):
        answer = await rig.post(forged(op, kid))
        assert (400, "unknown_kid") == (answer.status, answer.code)
        fetches.append(op.jwks_fetches)
    clock.advance(COOLDOWN_S - 1)
    await rig.post(forged(op, "c"))
    fetches.append(op.jwks_fetches)
    clock.advance(1)
    await rig.post(forged(op, "d"))
    fetches.append(op.jwks_fetches)

    assert [2, 2, 2, 2, 3] == fetches


async def test_failed_fetch_counts_for_the_cooldown(rig: Rig, op: OP, clock: Clock) -> None:
    """An unknown kid while the OP is down costs one request per cool-down too."""
    await rig.post(op.token())
    op.status = 500
    for _ in range(3):
        await rig.post(forged(op))
    assert 2 == op.discovery_fetches
    clock.advance(COOLDOWN_S)
    await rig.post(forged(op))

    assert 3 == op.discovery_fetches


async def test_cooldown_of_the_tenant(start: Start, op: OP, clock: Clock) -> None:
    """key_cooldown_s sets the time between two such fetches."""
    rig = await start(key_cooldown_s=5)
    for _ in range(3):
        await rig.post(forged(op))
        clock.advance(5)

    assert 1 + 3 == op.jwks_fetches


async def test_what_no_key_could_save_fetches_nothing(rig: Rig, op: OP) -> None:
    """An unknown kid on a token that fails another rule is refused by that rule, before any fetch."""
    answer = await rig.post(op.token(header={"kid": "k9"}, aud="nobody"))

    assert (400, "audience") == (answer.status, answer.code)
    assert (0, 0) == (op.discovery_fetches, op.jwks_fetches)


async def test_cold_start_under_load(rig: Rig, op: OP) -> None:
    """Many first tokens at once share one discovery and one key fetch."""
    answers = await rig.post_all([op.token() for _ in range(64)])

    assert {200} == {answer.status for answer in answers}
    assert (1, 1) == (op.discovery_fetches, op.jwks_fetches)


async def test_rotation_under_load(rig: Rig, op: OP) -> None:
    """The OP drops its key and signs with a new one: of 64 tokens in flight all are accepted, for one fetch."""
    await rig.post(op.token())
    rotate(op, "k2")

    answers = await rig.post_all([op.token() for _ in range(64)])

    assert [200] * 64 == [answer.status for answer in answers]
    assert 2 == op.jwks_fetches
    assert 65 == len(await rig.events())


async def test_rotation_under_load_of_both_keys(rig: Rig, op: OP) -> None:
    """While old and new key are published and in use together, every token of either is accepted."""
    await rig.post(op.token())
    old, new = op.signing_key, rsa_pair("k2")
    op.keys = [old.published(), new.published()]
    tokens = [op.token(key=key, header={"kid": key.kid}) for key in (old, new) * 32]

    answers = await rig.post_all(tokens)

    assert [200] * 64 == [answer.status for answer in answers]
    assert 2 == op.jwks_fetches


async def test_many_unknown_kids_at_once(rig: Rig, op: OP) -> None:
    """200 different unknown kids at the same moment cause one fetch, and all are refused."""
    await rig.post(op.token())

    answers = await rig.post_all([forged(op) for _ in range(200)])

    assert {(400, "unknown_kid")} == {(answer.status, answer.code) for answer in answers}
    assert 2 == op.jwks_fetches


async def test_forged_flood(rig: Rig, op: OP) -> None:
    """1000 forged kids cost one fetch; good tokens among them and after them are accepted."""
    await rig.post(op.token())
    _, payload, signature = forged(op).split(".")
    headers = (op.header(kid=f"forged-{number}") for number in range(1000))
    flood = [f"{b64(json.dumps(header))}.{payload}.{signature}" for header in headers]
    accepted, refused = [], []
    # Few at once: a good one has to be published within its time, on a busy machine, too.
    for start in range(0, 1000, 25):
        *answers, good = await rig.post_all([*flood[start : start + 25], op.token()])
        accepted.append(good.status)
        refused += [(answer.status, answer.code) for answer in answers]

    assert [200] * 40 == accepted
    assert [(400, "unknown_kid")] * 1000 == refused
    assert 2 == op.jwks_fetches


async def test_flood_does_not_stop_the_periodic_refresh(rig: Rig, op: OP, clock: Clock) -> None:
    """A rotation during a flood, its cool-down spent, is noticed when the cool-down passes."""
    await rig.post(forged(op))
    rotate(op, "k2")
    waiting = await rig.post(op.token())
    await rig.post_all([forged(op) for _ in range(50)])
    clock.advance(COOLDOWN_S)

    answer = await rig.post(op.token())

    assert (400, "unknown_kid") == (waiting.status, waiting.code)
    assert 200 == answer.status


async def test_slow_fetch_does_not_hold_up_known_keys(start: Start, op: OP) -> None:
    """While an unknown kid waits for a slow OP, tokens with known keys are answered."""
    release, first = asyncio.Event(), True

    async def slow(_: web.Request) -> web.StreamResponse:
        nonlocal first
        if not first:
            await release.wait()
        first = False
        return web.json_response({"keys": op.keys})

    async with serving(slow) as site, asyncio.timeout(DEADLINE_S):
        rig = await start(jwks_uri=site.origin + "/jwks", sections={"outbound": {"timeout_s": DEADLINE_S}})
        await rig.post(op.token())
        known, new = op.token(), rotate(op, "k2")
        waiting = asyncio.create_task(rig.post(op.token(key=new)))
        while len(site.asked) < 2:
            await asyncio.sleep(0)

        answer = await rig.post(known)
        assert not waiting.done()
        release.set()

        assert [200, 200] == [answer.status, (await waiting).status]


async def test_client_that_leaves_does_not_stop_the_fetch(start: Start, op: OP) -> None:
    """When the request that started a fetch is broken off, the others that wait for it are still answered."""
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.json_response({"keys": op.keys})

    async with serving(slow) as site, asyncio.timeout(DEADLINE_S):
        rig = await start(jwks_uri=site.origin + "/jwks", sections={"outbound": {"timeout_s": DEADLINE_S}})
        leaving = asyncio.create_task(rig.post(op.token()))
        while not site.asked:
            await asyncio.sleep(0)
        staying = asyncio.create_task(rig.post(op.token()))
        leaving.cancel()
        await asyncio.wait([leaving])
        release.set()

        assert 200 == (await staying).status
        assert 1 == len(site.asked)
