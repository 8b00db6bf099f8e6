"""Security events pushed to `POST /ssf/{tenant}` (RFC 8935): answers, and what they do."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.ssf.conftest import PATH, SECRET_HEADER
from tests.support.clock import NOW, Clock
from tests.support.keys import rsa_pair
from tests.support.op import ABSENT
from tests.support.receiver import Answer, Receiver, start_receiver, t1
from tests.support.transmitter import DISABLED, UPDATED, VERIFICATION, Transmitter

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.bus.streams import StreamNotes


async def push(receiver: Receiver, compact: str, path: str = PATH, **headers: str) -> Answer:
    """Push one SET."""
    sent = {"Content-Type": "application/secevent+jwt", "Accept": "application/json", **headers}
    return await receiver.send("POST", path, data=compact, headers=sent)


def err(answer: Answer) -> tuple[int, str, str]:
    """Status, `err` and `description` of an answer."""
    body = json.loads(answer.text)
    return answer.status, body["err"], body["description"]


async def test_session_revoked(receiver: Receiver, transmitter: Transmitter) -> None:
    """An accepted SET is answered 202 without a body, and its eviction is in the stream."""
    answer = await push(receiver, transmitter.a_set(jti="e1"))

    assert (202, "", "no-store") == (answer.status, answer.text, answer.headers["Cache-Control"])
    [event] = await receiver.events()
    data = event["data"]
    assert ("u1", None, "user", "tenant") == (data["sub"], data["sid"], data["scope"], data["applies_to"])
    assert ("ssf", "ssf-push", "e1", "session-revoked") == (
        data["input"], data["origin"], data["jti"], data["reason"]
    )  # fmt: skip
    assert (transmitter.issuer, ["u1"]) == (data["iss"], data["accounts"])
    assert 1 == receiver.count(input="ssf-push", outcome="ok", code="ok")


async def test_redelivery(receiver: Receiver, transmitter: Transmitter) -> None:
    """A SET that comes again is answered as the first time, and adds no event."""
    compact = transmitter.a_set()

    assert [202, 202] == [(await push(receiver, compact)).status for _ in range(2)]
    assert 1 == len(await receiver.events())
    assert 1 == receiver.count(input="ssf-push", outcome="duplicate", code="ok")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"key": rsa_pair("forger")}, (400, "invalid_key", "signature")),
        ({"header": {"kid": "strange"}}, (400, "invalid_key", "unknown_kid")),
        ({"iss": "https://other.example"}, (400, "invalid_issuer", "issuer")),
        ({"aud": "c2"}, (400, "invalid_audience", "audience")),
        ({"exp": 1_900_000_000}, (400, "invalid_request", "exp_present")),
        ({"sub": "u1"}, (400, "invalid_request", "sub_present")),
        ({"header": {"typ": "JWT"}}, (400, "invalid_request", "typ")),
        ({"header": {"typ": ABSENT}}, (400, "invalid_request", "typ")),
        ({"events": {DISABLED: {}, VERIFICATION: {}}}, (400, "invalid_request", "events")),
        ({"sub_id": ABSENT}, (400, "invalid_request", "no_subject")),
        ({"uri": VERIFICATION, "event": {"state": "0" * 32}, "sub_id": {"format": "opaque", "id": "stream"}},
         (400, "invalid_state", "state")),
        ({"uri": VERIFICATION, "sub_id": {"format": "opaque", "id": "another"}}, (400, "invalid_request", "stream")),
    ],
    ids=["signature", "key", "issuer", "audience", "exp", "sub", "typ", "no typ", "two events", "no subject", "state",
         "stream"],
)  # fmt: skip
async def test_refusals(
    receiver: Receiver, transmitter: Transmitter, changes: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    """400 with the error code of RFC 8935 or SSF and our own; nothing is published."""
    answer = await push(receiver, transmitter.a_set(**changes))

    assert expected == err(answer)
    assert ("no-store", "en") == (answer.headers["Cache-Control"], answer.headers["Content-Language"])
    assert [] == await receiver.events()
    assert 1 == receiver.count(input="ssf-push", outcome="rejected", code=expected[2])


@pytest.mark.parametrize(
    ("data", "media_type", "expected"),
    [
        ("SET=x", "application/x-www-form-urlencoded", (400, "invalid_request", "media_type")),
        ("", "application/secevent+jwt", (400, "invalid_request", "malformed")),
        ("x", "application/secevent+jwt", (400, "invalid_request", "malformed")),
        ("é.é.é", "application/secevent+jwt", (400, "invalid_request", "malformed")),
    ],
    ids=["form", "empty", "no token", "not ASCII"],
)
async def test_requests_that_are_none(
    receiver: Receiver, data: str, media_type: str, expected: tuple[int, str, str]
) -> None:
    """A body that is no SET is refused in the same form."""
    assert expected == err(
        await receiver.send("POST", PATH, data=data.encode(), headers={"Content-Type": media_type})
    )  # fmt: skip


async def test_logout_token_is_no_security_event(receiver: Receiver, transmitter: Transmitter) -> None:
    """A good logout token is refused here, and a good SET at the address of logout tokens."""
    assert (400, "invalid_request", "typ") == err(await push(receiver, transmitter.token()))
    assert (400, "typ") == ((answer := await receiver.post(transmitter.a_set())).status, answer.code)
    assert [] == await receiver.events()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 400), ({"Authorization": "Bearer other"}, 400), ({"Authorization": SECRET_HEADER}, 202)],
    ids=["none", "wrong", "right"],
)
async def test_authorization(
    receiver: Receiver, transmitter: Transmitter, headers: dict[str, str], status: int
) -> None:
    """A tenant may ask for a header, which is compared before the SET is looked at."""
    answer = await push(receiver, transmitter.a_set(), "/ssf/t2", **headers)

    assert status == answer.status
    assert status == 202 or (400, "authentication_failed", "unauthorized") == err(answer)


@pytest.mark.parametrize("path", ["/ssf", "/ssf/t3", "/ssf/unknown", "/ssf/t1/more"])
async def test_only_tenants_that_take_events_have_an_address(
    receiver: Receiver, transmitter: Transmitter, path: str
) -> None:
    """It is off unless the tenant switches it on, and there is none for all tenants."""
    assert 404 == (await push(receiver, transmitter.a_set(), path)).status


async def test_off_by_default(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, transmitter: Transmitter
) -> None:
    """Without the setting the path does not exist."""
    async with start_receiver(redis_server.url, redis_client, clock, [t1(transmitter)]) as receiver:
        assert 404 == (await push(receiver, transmitter.a_set())).status


async def test_method(receiver: Receiver) -> None:
    """Only POST is answered."""
    answer = await receiver.send("GET", PATH)

    assert (405, "POST") == (answer.status, answer.headers["Allow"])


async def test_verification(receiver: Receiver, transmitter: Transmitter, notes: StreamNotes, clock: Clock) -> None:
    """A verification that was asked for is noted, also when it comes twice; one that was not, too (SSF §8.1.4)."""
    state = await notes.ask("t1")
    about: dict[str, Any] = {"uri": VERIFICATION, "sub_id": {"format": "opaque", "id": "stream"}}

    assert 202 == (await push(receiver, transmitter.a_set(**about))).status
    assert not await notes.is_verified("t1", state)
    for _ in range(2):
        assert 202 == (await push(receiver, transmitter.a_set(event={"state": state}, **about))).status
    assert await notes.is_verified("t1", state)
    assert clock() == (await notes.read("t1")).verified_at
    assert [] == await receiver.events()


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"status": "paused", "reason": "maintenance"}, ("paused", "maintenance")),
        ({"status": {"stream_id": "stream", "status": "disabled", "reason": "x"}}, ("disabled", "x")),
        ({"status": 5, "reason": "a\nb"}, ("", "")),
    ],
    ids=["SSF", "Keycloak", "neither"],
)
async def test_stream_updated(  # noqa: PLR0917  # fixtures
    receiver: Receiver, transmitter: Transmitter, notes: StreamNotes, clock: Clock, event: dict[str, Any],
    expected: tuple[str, str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """What a transmitter says of the stream is noted and logged; a stream that stops is a warning."""
    about: dict[str, Any] = {"uri": UPDATED, "sub_id": {"format": "opaque", "id": "stream"}}

    assert 202 == (await push(receiver, transmitter.a_set(event=event, **about))).status
    note = await notes.read("t1")
    assert (*expected, clock()) == (note.status, note.reason, note.status_at)
    assert [logging.WARNING] == [one.levelno for one in caplog.records if one.message == "ssf.stream_updated"]


async def test_event_that_names_nobody(
    receiver: Receiver, transmitter: Transmitter, caplog: pytest.LogCaptureFixture
) -> None:
    """It is accepted, as SSF wants it, and the operator is told that no user was signed out."""
    subject = {"format": "email", "email": "ann@example.com"}

    assert 202 == (await push(receiver, transmitter.a_set(sub_id=subject))).status
    assert [] == await receiver.events()
    [line] = [one for one in caplog.records if one.message == "ssf.unmapped"]
    assert ("email",) == line.fields["formats"]  # type: ignore[attr-defined]
    assert "ann" not in str(line.fields)  # type: ignore[attr-defined]
    registry = receiver.server.metrics.registry
    labels = {"tenant": "t1", "event": "session-revoked"}
    assert 1 == registry.get_sample_value("logout_unmapped_events_total", labels)


async def test_unknown_event(receiver: Receiver, transmitter: Transmitter) -> None:
    """An event of a kind that is not known is accepted and does nothing."""
    answer = await push(receiver, transmitter.a_set(uri="https://schemas.example/new", sub_id=ABSENT))

    assert (202, []) == (answer.status, await receiver.events())


async def test_key_that_may_be_new(receiver: Receiver, transmitter: Transmitter, clock: Clock) -> None:
    """An unknown key within the cool-down means later (503); once the keys were fetched again it is settled."""
    strange: dict[str, Any] = {"header": {"kid": "k2"}, "key": rsa_pair("k2")}
    assert 400 == (await push(receiver, transmitter.a_set(**strange))).status

    clock.advance(5)
    later = await push(receiver, transmitter.a_set(**strange))
    assert (503, "5") == (later.status, later.headers["Retry-After"])
    transmitter.keys.append(rsa_pair("k2").published())
    clock.advance(60)
    assert 202 == (await push(receiver, transmitter.a_set(**strange))).status


async def test_a_clock_that_is_ahead(receiver: Receiver, transmitter: Transmitter, clock: Clock) -> None:
    """A SET that is not valid yet is asked for again (503), and good once it is; one that is far off is refused."""
    early = transmitter.a_set(iat=NOW + 300)
    assert (503, "5") == ((answer := await push(receiver, early)).status, answer.headers["Retry-After"])
    assert 400 == (await push(receiver, transmitter.a_set(iat=NOW + 301))).status
    assert [] == await receiver.events()

    clock.advance(240)
    assert 202 == (await push(receiver, early)).status
    assert 1 == len(await receiver.events())


async def test_transmitter_without_keys(receiver: Receiver, transmitter: Transmitter) -> None:
    """As long as its keys cannot be had it is asked to come again."""
    transmitter.status = 500

    assert 503 == (await push(receiver, transmitter.a_set())).status
    assert [] == await receiver.events()


async def test_redis_away(receiver: Receiver, transmitter: Transmitter, monkeypatch: pytest.MonkeyPatch) -> None:
    """202 means durable: while Redis takes nothing the answer is 503, and the same SET is accepted later."""
    compact = transmitter.a_set()
    about = transmitter.a_set(uri=VERIFICATION, sub_id={"format": "opaque", "id": "stream"})
    with monkeypatch.context() as patch:

        async def away(*_: object, **__: object) -> None:
            raise ConnectionError("away")

        patch.setattr(type(receiver.server._publisher), "_evalsha", away)
        patch.setattr("receiver.bus.streams.StreamNotes.verify", away)
        assert 503 == (await push(receiver, compact)).status
        assert 503 == (await push(receiver, about)).status
    assert 202 == (await push(receiver, compact)).status
    assert 1 == len(await receiver.events())
