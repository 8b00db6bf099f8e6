"""Security events that are polled (RFC 8936): acknowledged once they are durable, by one receiver at a time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.streams import StreamNotes
from receiver.ingress import server
from receiver.ingress.inputs import input_jobs
from receiver.ingress.inputs.poller import LEASE_S
from tests.support.keys import rsa_pair
from tests.support.receiver import Receiver, start_receiver, t1
from tests.support.transmitter import CLIENT, POLL, PUSH, SECRET, Transmitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.ingress.inputs.ssf_poll import PolledEvents
    from tests.support.clock import Clock

ACCESS = {"client_id": CLIENT, "client_secret": SECRET}
INTERVAL_S = 5.0


class Poller:
    """A receiver that polls when a test says so."""

    def __init__(self, receiver: Receiver, job: PolledEvents) -> None:
        self.receiver = receiver
        self.job = job

    async def turns(self, number: int) -> list[float]:
        """So many turns; what each says when the next one is."""
        return [await self.job.turn() for _ in range(number)]

    async def subjects(self) -> list[str]:
        """`sub` of every event, in order."""
        return sorted(event["data"]["sub"] for event in await self.receiver.events())


@contextlib.asynccontextmanager
async def polling(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, transmitter: Transmitter,
    **ssf: Any,
) -> AsyncIterator[Poller]:  # fmt: skip
    """A receiver for t1, whose poller is not run by the supervisor."""
    made: list[Any] = []

    def jobs(resources: Any) -> tuple[()]:
        made.extend(input_jobs(resources))
        return ()

    settings = {"delivery": "poll", "access": ACCESS, "poll_interval_s": INTERVAL_S, **ssf}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "input_jobs", jobs)
        async with start_receiver(redis_server.url, redis_client, clock, [t1(transmitter, ssf=settings)]) as receiver:
            [job] = made
            yield Poller(receiver, job)


@pytest.fixture
async def poller(  # noqa: D103  # the name says it
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, transmitter: Transmitter
) -> AsyncIterator[Poller]:
    transmitter.stream = {
        "stream_id": "stream", "delivery": {"method": POLL, "endpoint_url": f"{transmitter.issuer}/poll"}
    }  # fmt: skip
    async with polling(redis_server, redis_client, clock, transmitter) as running:
        yield running


def user(transmitter: Transmitter, sub: str) -> dict[str, str]:
    """A subject."""
    return {"format": "iss_sub", "iss": transmitter.issuer, "sub": sub}


async def test_what_waits_is_taken_in_and_then_acknowledged(poller: Poller, transmitter: Transmitter) -> None:
    """The second poll acknowledges what the first one brought, and follows at once; then there is a pause."""
    queued = [transmitter.queue_set(sub_id=user(transmitter, sub)) for sub in ("u1", "u2")]

    assert 0.0 == await poller.job.turn()
    assert (["u1", "u2"], []) == (await poller.subjects(), transmitter.acknowledged)
    assert INTERVAL_S == await poller.job.turn()
    assert sorted(queued) == sorted(transmitter.acknowledged)
    assert INTERVAL_S == await poller.job.turn()
    assert (3, {}) == (transmitter.polls, transmitter.errors)
    [first, _] = await poller.receiver.events()
    assert ("ssf", "ssf-poll") == (first["data"]["input"], first["data"]["origin"])
    assert 2 == poller.receiver.count(input="ssf-poll", outcome="ok", code="ok")


@pytest.mark.parametrize(
    "expires_in", [10**400, -(10**400), float("nan"), True, "300", None], ids=["huge", "tiny", *"abcd"]
)
async def test_any_end_of_the_access_token(poller: Poller, transmitter: Transmitter, expires_in: object) -> None:
    """However long the transmitter says that its token lasts, events are taken in."""
    transmitter.expires_in = expires_in
    transmitter.queue_set(sub_id=user(transmitter, "u1"))

    assert [0.0, INTERVAL_S] == await poller.turns(2)
    assert ["u1"] == await poller.subjects()


async def test_page_by_page(poller: Poller, transmitter: Transmitter) -> None:
    """However few the transmitter gives at once, all are fetched without a pause."""
    transmitter.page = 2
    for number in range(5):
        transmitter.queue_set(sub_id=user(transmitter, f"u{number}"))

    assert [0.0, 0.0, 0.0, INTERVAL_S] == await poller.turns(4)
    assert (5, {}) == (len(transmitter.acknowledged), transmitter.waiting)


async def test_bad_ones_are_reported(
    poller: Poller, transmitter: Transmitter, notes: StreamNotes, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A SET that breaks a rule is told with its error, holds up no other, and is loud: the log, a count, `doctor`."""
    forged = transmitter.queue(transmitter.a_set(key=rsa_pair("forger")))
    foreign = transmitter.queue(transmitter.a_set(aud="other"))
    junk = transmitter.queue("junk")
    transmitter.waiting["no text"] = 5  # type: ignore[assignment]  # a transmitter that errs
    good = transmitter.queue_set()

    await poller.turns(2)
    assert (["u1"], [good], {}) == (await poller.subjects(), transmitter.acknowledged, transmitter.waiting)
    assert {
        forged: {"err": "invalid_key", "description": "signature"},
        foreign: {"err": "invalid_audience", "description": "audience"},
        junk: {"err": "invalid_request", "description": "malformed"},
        "no text": {"err": "invalid_request", "description": "malformed"},
    } == transmitter.errors
    loud = [line.fields for line in caplog.records if line.message == "ssf.refused"]  # type: ignore[attr-defined]
    assert {"signature", "audience", "malformed"} == {fields["code"] for fields in loud}
    assert 1 == poller.receiver.count(input="ssf-poll", outcome="rejected", code="audience")
    heard = await notes.read("t1")
    assert (clock(), True) == (heard.refused_at, heard.refused_for in {"signature", "audience", "malformed"})


async def test_refusal_that_cannot_be_noted(
    poller: Poller, transmitter: Transmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is away a bad SET stays where it is, too: it is refused when that can be said."""
    bad = transmitter.queue(transmitter.a_set(aud="other"))
    with monkeypatch.context() as patch:

        async def away(*_: object) -> None:
            raise ConnectionError("away")

        patch.setattr(StreamNotes, "refuse", away)
        assert INTERVAL_S == await poller.job.turn()
        assert (True, {}) == (bool(poller.job.problem), transmitter.errors)

    await poller.turns(2)
    assert [bad] == list(transmitter.errors)


async def test_nothing_is_acknowledged_before_it_is_durable(
    poller: Poller, transmitter: Transmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis takes nothing, the SET is neither acknowledged nor reported; it comes again, and is taken in then."""
    queued = transmitter.queue_set()
    with monkeypatch.context() as patch:

        async def away(*_: object) -> None:
            raise ConnectionError("away")

        patch.setattr(type(poller.receiver.server._publisher), "_evalsha", away)
        assert INTERVAL_S == await poller.job.turn()
        assert poller.job.problem
    assert ([], {}, [queued]) == (transmitter.acknowledged, transmitter.errors, list(transmitter.waiting))

    assert [0.0, INTERVAL_S] == await poller.turns(2)
    assert (["u1"], [queued], "") == (await poller.subjects(), transmitter.acknowledged, poller.job.problem)


async def test_key_that_is_not_there_yet(poller: Poller, transmitter: Transmitter, clock: Clock) -> None:
    """A SET whose key may have come a moment ago is left where it is until the keys can be fetched again."""
    # The first makes us fetch the keys, unless that was done a moment ago; the second comes within the cool-down.
    for _ in range(2):
        transmitter.queue(transmitter.a_set(header={"kid": "other"}, key=rsa_pair("other")))
        await poller.turns(1)
        clock.advance(5)
    queued = transmitter.queue(transmitter.a_set(header={"kid": "k2"}, key=rsa_pair("k2")))
    assert 0.0 < await poller.job.turn()
    assert queued in transmitter.waiting

    transmitter.keys.append(rsa_pair("k2").published())
    clock.advance(60)
    await poller.turns(3)
    assert [queued] == transmitter.acknowledged


async def test_receiver_that_died_before_it_acknowledged(
    poller: Poller, transmitter: Transmitter, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis,
    clock: Clock,
) -> None:  # fmt: skip
    """What it had taken in comes to its successor again, is no second event, and is acknowledged."""
    queued = transmitter.queue_set()
    await poller.job.turn()
    await poller.job.release()

    async with polling(redis_server, redis_client, clock, transmitter) as successor:
        assert [0.0, INTERVAL_S] == await successor.turns(2)
    assert (["u1"], [queued]) == (await poller.subjects(), transmitter.acknowledged)


async def test_one_receiver_polls(
    poller: Poller, transmitter: Transmitter, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis,
    clock: Clock,
) -> None:  # fmt: skip
    """The one with the lease; another one waits, and goes on when it is given up."""
    async with polling(redis_server, redis_client, clock, transmitter) as second:
        await poller.job.turn()
        assert LEASE_S / 3 == await second.job.turn()
        assert (1, "") == (transmitter.polls, second.job.problem)
        await poller.job.release()
        await second.job.turn()
        assert 2 == transmitter.polls
        assert LEASE_S / 3 == await poller.job.turn()


async def test_transmitter_that_is_dead(
    poller: Poller, transmitter: Transmitter, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked less and less often, and the log says so once; when it is back, what waited is taken in."""
    transmitter.queue_set()
    transmitter.refuse = 500

    assert [5.0, 10.0, 20.0, 40.0, 60.0, 60.0] == await poller.turns(6)
    assert ["input.failed"] == [one.message for one in caplog.records if one.message.startswith("input.")]
    transmitter.refuse = 0
    assert 0.0 == await poller.job.turn()
    assert (["u1"], "") == (await poller.subjects(), poller.job.problem)


async def test_access_token_that_has_ended(poller: Poller, transmitter: Transmitter) -> None:
    """A 401 is answered with a new token, once; a transmitter that goes on refusing is a problem."""
    await poller.job.turn()
    transmitter.tokens.clear()
    transmitter.queue_set()

    assert 0.0 == await poller.job.turn()
    assert ["u1"] == await poller.subjects()
    transmitter.refuse = 401
    assert INTERVAL_S == await poller.job.turn()
    assert "401" in poller.job.problem


async def test_acknowledged_and_sent_again(poller: Poller, transmitter: Transmitter) -> None:
    """A transmitter that forgets is told again, without haste, and there is no second event."""
    transmitter.forgets = True
    queued = transmitter.queue_set()

    assert [0.0, INTERVAL_S, INTERVAL_S] == await poller.turns(3)
    assert (["u1"], [queued, queued]) == (await poller.subjects(), transmitter.acknowledged)


async def test_paused_stream(poller: Poller, transmitter: Transmitter) -> None:
    """Nothing comes while it is paused, which is no failure; what was kept comes when it goes on."""
    transmitter.stream_status = "paused"
    transmitter.queue_set()
    assert [INTERVAL_S, INTERVAL_S] == await poller.turns(2)

    transmitter.stream_status = "enabled"
    assert [0.0, INTERVAL_S] == await poller.turns(2)
    assert ["u1"] == await poller.subjects()


@pytest.mark.parametrize(
    "stream",
    [None, {"stream_id": "stream", "delivery": {"method": PUSH, "endpoint_url": "http://127.0.0.1:1/"}}],
    ids=["none", "pushed"],
)
async def test_no_stream_to_poll(poller: Poller, transmitter: Transmitter, stream: Any) -> None:
    """Without a stream that is polled the job says so, and begins when there is one."""
    there, transmitter.stream = transmitter.stream, stream
    assert INTERVAL_S == await poller.job.turn()
    assert poller.job.problem
    transmitter.stream = there
    await poller.turns(1)
    assert "" == poller.job.problem


async def test_it_is_a_job_of_the_supervisor(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, transmitter: Transmitter
) -> None:
    """`receiver serve` runs it, and answers no push for that tenant."""
    settings = {"delivery": "poll", "access": ACCESS, "poll_endpoint": f"{transmitter.issuer}/poll"}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(transmitter, ssf=settings)]) as receiver:
        assert "input:ssf-poll:t1" in receiver.server.jobs.report()
        headers = {"Content-Type": "application/secevent+jwt"}
        assert 404 == (await receiver.send("POST", "/ssf/t1", data="x", headers=headers)).status
