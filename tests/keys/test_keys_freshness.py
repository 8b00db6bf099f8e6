"""How long keys live: fresh for an hour, kept through outages up to an age, never replaced by junk."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from receiver.core.tokens.key_freshness import ASKED_S, RETRY_S
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from tests.keys.conftest import Start
    from tests.keys.rig import Rig
    from tests.support.clock import Clock
    from tests.support.op import OP

FRESH_S = 3600.0
MAX_STALE_S = 7 * 86400.0


async def test_fresh_keys_are_not_fetched_again(rig: Rig, op: OP, clock: Clock) -> None:
    """Within fresh_s there is one fetch, whatever the traffic and the timer do."""
    for _ in range(6):
        await rig.tick()
        assert 200 == (await rig.post(op.token())).status
        clock.advance(FRESH_S / 6 - 1)

    assert 1 == op.jwks_fetches


async def test_old_keys_are_refreshed_by_the_timer_alone(rig: Rig, op: OP, clock: Clock) -> None:
    """Past fresh_s requests go on with the old keys without a fetch; the timer fetches once."""
    await rig.post(op.token())
    clock.advance(FRESH_S)

    answer = await rig.post(op.token())

    assert (200, 1) == (answer.status, op.jwks_fetches)
    await rig.tick()
    await rig.tick()
    assert 2 == op.jwks_fetches


async def test_refreshed_keys_replace_the_old_ones(rig: Rig, op: OP, clock: Clock) -> None:
    """After a refresh the new key verifies, and the one the OP withdrew no longer does."""
    await rig.post(op.token())
    old, new = op.signing_key, rsa_pair("k2")
    op.keys = [new.published()]
    clock.advance(FRESH_S)
    await rig.tick()

    withdrawn = await rig.post(op.token(key=old))
    current = await rig.post(op.token(header={"kid": "k2"}, key=new))

    assert (400, "unknown_kid") == (withdrawn.status, withdrawn.code)
    assert 200 == current.status


async def test_keys_live_through_an_outage_up_to_max_stale_s(rig: Rig, op: OP, clock: Clock) -> None:
    """While the OP is down known keys verify until max_stale_s after their fetch, and not a second longer."""
    await rig.post(op.token())
    op.status = 500
    clock.advance(MAX_STALE_S)
    await rig.tick()

    last = await rig.post(op.token())
    clock.advance(1)
    late = await rig.post(op.token())

    assert 200 == last.status
    assert (503, "jwks_unavailable") == (late.status, late.code)
    assert "HTTP 500" in rig.problem


async def test_keys_that_grew_too_old_come_back_with_the_op(rig: Rig, op: OP, clock: Clock) -> None:
    """After an outage longer than max_stale_s the first token of a living OP is accepted again."""
    await rig.post(op.token())
    clock.advance(MAX_STALE_S * 2)

    answer = await rig.post(op.token())

    assert 200 == answer.status
    assert 2 == op.jwks_fetches


async def test_op_that_is_down_is_not_hammered(rig: Rig, op: OP, clock: Clock) -> None:
    """While keys cannot be had there is one attempt per ten seconds, tokens that are held already or not."""
    op.status = 500
    assert 503 == (await rig.post(op.token())).status
    for _ in range(100):
        await rig.tick()
        await rig.retry()
        clock.advance(1)

    assert 100 / RETRY_S == op.discovery_fetches


async def test_tokens_ask_for_keys_once_a_second(rig: Rig, op: OP, clock: Clock) -> None:
    """While there are no keys a token causes an attempt at once, but not more than one a second."""
    op.status = 500
    for _ in range(20):
        assert 503 == (await rig.post(op.token())).status
        clock.advance(ASKED_S / 2)
    op.status = 200

    assert 10 == op.discovery_fetches
    assert 200 == (await rig.post(op.token())).status


async def test_keys_too_old_are_asked_for_at_once(rig: Rig, op: OP, clock: Clock) -> None:
    """Keys past their time count as none: a second after a failed attempt a token causes the next."""
    await rig.post(op.token())
    clock.advance(MAX_STALE_S * 2)
    op.status = 500
    assert 503 == (await rig.post(op.token())).status
    op.status = 200
    clock.advance(ASKED_S)

    assert 200 == (await rig.post(op.token())).status


async def test_failed_refresh_then_recovery(rig: Rig, op: OP, clock: Clock) -> None:
    """A failed refresh is told to the operator and tried again; a good one clears the complaint."""
    await rig.post(op.token())
    op.status = 503
    clock.advance(FRESH_S)
    await rig.tick()
    assert "HTTP 503" in rig.problem

    op.status = 200
    await rig.tick()
    assert "HTTP 503" in rig.problem
    clock.advance(RETRY_S)
    await rig.tick()

    assert "" == rig.problem
    assert 2 == op.jwks_fetches


UNUSABLE = {
    "HTML": b"<html>maintenance</html>",
    "empty object": b"{}",
    "no keys": b'{"keys": []}',
    "keys is no array": b'{"keys": {"k1": {}}}',
    "junk entries": b'{"keys": [null, 1, "k1", {}, []]}',
    "symmetric": b'{"keys": [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]}',
    "for encryption": json.dumps({"keys": [rsa_pair("k1").published(use="enc")]}).encode(),
    "too weak": json.dumps({"keys": [rsa_pair("weak", 1024).published(kid="k1")]}).encode(),
}


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_junk_never_replaces_good_keys(
    rig: Rig, op: OP, clock: Clock, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer without a usable key leaves the known keys in force, in this process and in Redis, and is logged."""
    await rig.post(op.token())
    [name] = await rig.receiver.redis.keys("*:jwks:*")
    shared = await rig.receiver.redis.get(name)
    good, op.jwks_body = op.jwks_body, body
    clock.advance(FRESH_S)
    await rig.tick()

    answer = await rig.post(op.token())

    assert 200 == answer.status
    assert shared == await rig.receiver.redis.get(name)
    [record] = [record for record in caplog.records if record.getMessage() == "keys.refresh_failed"]
    assert (logging.WARNING, True) == (record.levelno, record.fields["kept"])  # type: ignore[attr-defined]
    op.jwks_body = good
    clock.advance(RETRY_S)
    await rig.tick()
    assert "" == rig.problem


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_junk_caused_by_an_unknown_kid_does_not_either(rig: Rig, op: OP, body: bytes) -> None:
    """A fetch that an unknown kid caused and that brought junk leaves the known keys in force."""
    await rig.post(op.token())
    op.jwks_body = body

    unknown = await rig.post(op.token(header={"kid": "k9"}))
    known = await rig.post(op.token())

    assert (400, "unknown_kid") == (unknown.status, unknown.code)
    assert 200 == known.status
    assert 2 == op.jwks_fetches


async def test_good_keys_beside_junk_are_taken(rig: Rig, op: OP) -> None:
    """A set with unusable entries is read for its good ones."""
    weak = rsa_pair("weak", 1024)
    op.keys = [{"kty": "unheard of", "kid": "x"}, weak.published(), *op.keys]

    good = await rig.post(op.token())
    refused = await rig.post(op.token(header={"kid": "weak"}, key=weak))

    assert 200 == good.status
    assert (400, "weak_key") == (refused.status, refused.code)


async def test_only_unusable_keys_at_a_cold_start(rig: Rig, op: OP) -> None:
    """An OP whose only key is too weak is refused by that reason, and the set is not shared with others."""
    weak = rsa_pair("weak", 1024)
    op.keys = [weak.published()]

    answer = await rig.post(op.token(header={"kid": "weak"}, key=weak))

    assert (400, "weak_key") == (answer.status, answer.code)
    assert [] == await rig.receiver.redis.keys("*:jwks:*")


async def test_times_of_the_settings(start: Start, op: OP) -> None:
    """The operator's times are in force: keys.fresh_s and keys.max_stale_s of the settings."""
    rig = await start(sections={"keys": {"fresh_s": 10, "max_stale_s": 20}})
    await rig.post(op.token())
    op.clock.advance(10)
    await rig.tick()
    assert 2 == op.jwks_fetches
    op.status = 500
    op.clock.advance(21)

    assert 503 == (await rig.post(op.token())).status
