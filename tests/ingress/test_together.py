"""The short way from request to answer: what comes in between, and that clients cannot tell it from the other."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from receiver.ingress.http.dispatcher import Dispatcher
from receiver.ingress.inputs.token_verifier import TokenVerifier
from receiver.ingress.intake import Intake
from receiver.runtime.connection import Connection
from receiver.runtime.heads import MAX_HEADS, Head, Heads
from tests.support.receiver import FORM, Receiver, start_receiver, t1
from tests.support.short_way import short_way
from tests.support.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.events.publish import Published
    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.eviction import Eviction
    from tests.support.clock import Clock
    from tests.support.op import OP

pytestmark = short_way

REFUSED = b"GET /backchannel-logout HTTP/1.1\r\nHost: a\r\n\r\n"


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, bytes]:
        """The status and the head of the next answer."""
        async with asyncio.timeout(DEADLINE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await self.reader.readexactly(int(line.partition(b":")[2]))
        return int(head.split()[1]), head.lower()


@contextlib.asynccontextmanager
async def connected(receiver: Receiver) -> AsyncIterator[Client]:
    """A client of the public listener."""
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.server.public_port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def post(token: str) -> bytes:
    """A request with this token."""
    body = urlencode({"logout_token": token}).encode()
    head = (
        f"POST /backchannel-logout HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Held:
    """Evictions handed over, published once `let_go` is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.evictions: list[Eviction] = []
        self._gate = asyncio.Event()
        begin = Intake.begin

        async def later(intake: Intake, eviction: Eviction) -> Published:
            await self._gate.wait()
            return await begin(intake, eviction)

        def held(intake: Intake, eviction: Eviction) -> asyncio.Future[Published]:
            self.evictions.append(eviction)
            return asyncio.ensure_future(later(intake, eviction))

        monkeypatch.setattr(Intake, "begin", held)

    async def one(self) -> None:
        """Return when one was handed over."""
        await until(lambda: self.evictions)

    def let_go(self) -> None:
        """Publish them."""
        self._gate.set()


async def remember(receiver: Receiver, token: str) -> None:
    """Have a request with the same head come in, and be refused."""
    async with connected(receiver) as client:
        client.writer.write(post("a" * len(token)))
        assert 400 == (await client.answer())[0]


@pytest.fixture(params=[False, True], ids=["new head", "known head"])
async def known(
    receiver: Receiver, op: OP, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Receiver:
    """A receiver that has the OP's keys: without them a request goes the other way. Heads are parsed, or known."""
    assert 200 == (await receiver.post(op.token())).status
    if request.param:
        await remember(receiver, op.token())
    else:
        monkeypatch.setattr(Heads, "split", lambda *_: None)
    return receiver


async def test_a_good_logout_goes_the_short_way(known: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no task of its own: what serves all other requests is not asked."""

    async def not_asked(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Dispatcher, "serve", not_asked)
    async with connected(known) as client:
        for token, status in ((op.token(), 200), (op.token(), 200), (op.token(aud="another"), 400)):
            client.writer.write(post(token))
            assert status == (await client.answer())[0]
    assert 3 == known.count(outcome="ok", code="ok")
    assert 1 == known.count(outcome="rejected", code="audience")


async def test_requests_sent_together_are_answered_in_order(known: Receiver, op: OP) -> None:
    """Two logouts and a refusal in one piece."""
    async with connected(known) as client:
        client.writer.write(post(op.token()) + REFUSED + post(op.token()))

        assert [200, 405, 200] == [(await client.answer())[0] for _ in range(3)]


async def test_the_next_request_waits_for_the_answer(known: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes while a logout is being published is answered after it."""
    held = Held(monkeypatch)
    async with connected(known) as client:
        client.writer.write(post(op.token()))
        await held.one()
        client.writer.write(REFUSED)
        client.writer.write(post(op.token())[:40])
        await client.writer.drain()
        held.let_go()

        assert [200, 405] == [(await client.answer())[0] for _ in range(2)]


async def test_a_logout_in_two_pieces(known: Receiver, op: OP) -> None:
    """By both ways of the first one, the next one on its connection can go the short way."""
    request = post(op.token())
    async with connected(known) as client:
        for cut in (20, len(request) - 100):
            request = post(op.token())
            client.writer.write(request[:cut])
            await client.writer.drain()
            client.writer.write(request[cut:])
            assert 200 == (await client.answer())[0]
        client.writer.write(post(op.token()))
        assert 200 == (await client.answer())[0]


async def test_the_last_answer_closes(known: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logout that is being published when the receiver is told to stop is answered, with `Connection: close`."""
    held = Held(monkeypatch)
    async with connected(known) as client:
        client.writer.write(post(op.token()))
        await held.one()
        draining = asyncio.create_task(known.server.drain())
        await until(lambda: known.server.state.draining)
        held.let_go()
        status, head = await client.answer()

        assert (200, True) == (status, b"connection: close" in head)
        assert b"" == await client.reader.read()
        await draining


async def test_a_client_that_does_not_wait(known: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its logout is published and counted all the same."""
    held = Held(monkeypatch)
    async with connected(known) as client:
        client.writer.write(post(op.token()))
        await held.one()
    held.let_go()

    await until(lambda: known.count(outcome="ok", code="ok") == 2)
    assert 2 == len(await known.events())


async def test_idle_connections_are_closed(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """After `keepalive_s`, counted from the answer."""
    public = {"keepalive_s": 1.0}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], public=public) as receiver:
        assert 200 == (await receiver.post(op.token())).status
        async with connected(receiver) as client, asyncio.timeout(DEADLINE_S):
            client.writer.write(post(op.token()))
            assert 200 == (await client.answer())[0]
            assert b"" == await client.reader.read()


async def test_publishing_may_take_longer_than_idleness(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A connection whose request is worked on is not idle."""
    public = {"keepalive_s": 1.0, "head_timeout_s": 0.2}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], public=public) as receiver:
        assert 200 == (await receiver.post(op.token())).status
        held = Held(monkeypatch)
        async with connected(receiver) as client:
            client.writer.write(post(op.token()))
            await held.one()
            # The time itself is what is tested; a slower machine only makes it longer.
            await asyncio.sleep(1.2)
            held.let_go()
            assert 200 == (await client.answer())[0]


async def test_a_fault_is_answered(known: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, as everywhere; the connection serves on."""
    verify, faults = TokenVerifier.verify_together, [ZeroDivisionError()]

    def verify_once(verifier: TokenVerifier, asked: Any) -> Any:
        if faults:
            raise faults.pop()
        return verify(verifier, asked)

    monkeypatch.setattr(TokenVerifier, "verify_together", verify_once)
    async with connected(known) as client:
        statuses = []
        for _ in range(2):
            client.writer.write(post(op.token()))
            statuses.append((await client.answer())[0])
    assert [503, 200] == statuses
    assert 1 == known.count(tenant="unknown", outcome="error", code="internal")


async def test_a_fault_while_handing_over_is_answered(known: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 for that one; those that came with it are published."""
    begin, faults = Intake.begin, [ZeroDivisionError()]

    def begin_but_once(intake: Intake, eviction: Eviction) -> asyncio.Future[Published]:
        if faults:
            raise faults.pop()
        return begin(intake, eviction)

    monkeypatch.setattr(Intake, "begin", begin_but_once)
    async with connected(known) as first, connected(known) as second:
        # One turn of the loop for both: nothing is awaited between them.
        first.writer.write(post(op.token()))
        second.writer.write(post(op.token()))
        assert [200, 503] == sorted([(await first.answer())[0], (await second.answer())[0]])
    assert 0 == known.server.metrics.registry.get_sample_value("logout_in_flight")


async def test_too_many_in_flight(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The limit counts those of both ways: 429 while one is being published, and room again after it."""
    public = {"max_in_flight": 1}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], public=public) as receiver:
        assert 200 == (await receiver.post(op.token())).status
        held = Held(monkeypatch)
        async with connected(receiver) as first, connected(receiver) as second:
            first.writer.write(post(op.token()))
            await held.one()
            second.writer.write(post(op.token()))
            assert 429 == (await second.answer())[0]
            held.let_go()
            assert 200 == (await first.answer())[0]
            second.writer.write(post(op.token()))
            assert 200 == (await second.answer())[0]


async def test_a_known_head_is_not_parsed(receiver: Receiver, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is in its body is looked at; one with another length is parsed once."""
    assert 200 == (await receiver.post(op.token())).status
    await remember(receiver, op.token())
    parse, parsed = Connection._parse, list[bytes]()  # what must not be asked

    def noted(connection: Connection, data: bytes) -> None:
        parsed.append(data)
        parse(connection, data)

    monkeypatch.setattr(Connection, "_parse", noted)
    longer = [op.token(extra="x") for _ in range(2)]
    async with connected(receiver) as client:
        for token in (op.token(), *longer, op.token()):
            client.writer.write(post(token))
            assert 200 == (await client.answer())[0]
    assert [post(longer[0])] == parsed


async def test_a_known_head_before_a_token_that_has_to_wait(receiver: Receiver, op: OP) -> None:
    """It is left to the dispatcher with all its bytes, and the connection serves on."""
    assert 200 == (await receiver.post(op.token())).status
    unknown = op.token(header={"kid": "another"})
    await remember(receiver, unknown)
    fetches = op.jwks_fetches
    async with connected(receiver) as client:
        for token, status in ((unknown, 400), (op.token(), 200), (op.token(), 200)):
            client.writer.write(post(token))
            assert status == (await client.answer())[0]
    assert fetches + 1 == op.jwks_fetches
    assert 1 == receiver.count(outcome="rejected", code="unknown_kid")


async def test_bytes_after_a_request_with_a_known_head(known: Receiver, op: OP) -> None:
    """They begin the next request: here its first half, and then the rest."""
    following = post(op.token())
    async with connected(known) as client:
        client.writer.write(post(op.token()) + following[:50])
        assert 200 == (await client.answer())[0]
        client.writer.write(following[50:] + post(op.token()))
        assert [200, 200] == [(await client.answer())[0] for _ in range(2)]


def test_heads_are_bounded() -> None:
    """A sender with a new head in each request leaves no more than so many."""
    heads, head = Heads(), Head(None, None, 1)  # type: ignore[arg-type]  # what it says is not looked at
    for number in range(MAX_HEADS + 1):
        assert heads.note(b"POST /%d\r\n\r\nb" % number, head)
    assert heads.split(b"POST /0\r\n\r\nb") is None
    assert heads.split(b"POST /%d\r\n\r\nb" % MAX_HEADS) == (head, b"b")
    assert not heads.note(b"POST /\r\n\r\nbb", head)
