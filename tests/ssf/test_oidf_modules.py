"""The receiver's test modules of the OpenID Foundation's conformance suite, each played by push and by poll.

The first seven are those of the plans `openid-ssf-receiver-test-plan` and `openid-ssf-receiver-caep-test-plan`; the
others are named after what the suite's negative modules send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.streams import StreamNotes
from receiver.diagnosis import streams
from receiver.ingress import server
from receiver.ingress.inputs import input_jobs
from receiver.ops.settings import Settings
from tests.support.keys import rsa_pair
from tests.support.receiver import Receiver, start_receiver, t1
from tests.support.transmitter import CLIENT, CREDENTIAL_CHANGE, REVOKED, SECRET, UPDATED, VERIFICATION, Transmitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

ACCEPTED = "accepted"


class Suite:
    """The suite's side: a transmitter with a stream, and what becomes of each SET.

    Attributes:
        transmitter: The suite.
        receiver: What is tested.
        settings: Of the operator's commands.
        notes: What the receivers know of the stream.
    """

    def __init__(
        self, transmitter: Transmitter, receiver: Receiver, settings: Settings, notes: StreamNotes, job: Any
    ) -> None:
        self.transmitter = transmitter
        self.receiver = receiver
        self.settings = settings
        self.notes = notes
        self._job = job

    async def deliver(self, compact: str, jti: str = "j1") -> str:
        """Deliver one SET; `accepted`, or the error code it is refused with."""
        if self._job is None:
            url = f"{self.receiver.public}/ssf/t1"
            status, answer = await self.transmitter.push(self.receiver.http, url, compact)
            assert (status, answer is None) in {(202, True), (400, False)}
            return ACCEPTED if answer is None else str(answer["err"])
        self.transmitter.queue(compact, jti)
        return (await self.fetched())[jti]

    async def fetched(self) -> dict[str, str]:
        """Have what waits fetched; jti to what became of it."""
        self.transmitter.acknowledged.clear()
        self.transmitter.errors.clear()
        if self._job is None:
            waiting, self.transmitter.waiting = self.transmitter.waiting, {}
            url = f"{self.receiver.public}/ssf/t1"
            ends = {
                jti: (await self.transmitter.push(self.receiver.http, url, compact))[1]
                for jti, compact in waiting.items()
            }
            return {jti: ACCEPTED if end is None else str(end["err"]) for jti, end in ends.items()}
        for _ in range(3):
            await self._job.turn()
        assert {} == self.transmitter.waiting
        return {
            **dict.fromkeys(self.transmitter.acknowledged, ACCEPTED),
            **{jti: error["err"] for jti, error in self.transmitter.errors.items()},
        }

    async def subjects(self) -> list[str]:
        """Who was signed out, in order."""
        return [event["data"]["sub"] for event in await self.receiver.events()]


@pytest.fixture(params=["push", "poll"])
async def suite(
    request: pytest.FixtureRequest, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock,
    transmitter: Transmitter,
) -> AsyncIterator[Suite]:  # fmt: skip
    """A receiver of this delivery, with a stream."""
    ssf = {
        "delivery": request.param, "access": {"client_id": CLIENT, "client_secret": SECRET}, "stream_id": "the-stream"
    }  # fmt: skip
    made: list[Any] = []

    def jobs(resources: Any) -> tuple[()]:
        made.extend(input_jobs(resources))
        return ()

    tenants = [t1(transmitter, ssf=ssf)]
    settings = Settings(
        public={"url": "https://logout.example"}, redis={"url": redis_server.url},
        tenants=[t1(transmitter, ssf={**ssf, "stream_id": None})],
    )  # fmt: skip
    transmitter.new_stream_id = "the-stream"
    await streams.create(settings, "t1", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "input_jobs", jobs)
        async with start_receiver(redis_server.url, redis_client, clock, tenants) as receiver:
            notes = StreamNotes(redis_client, KeyNames())
            yield Suite(transmitter, receiver, settings, notes, made[0] if made else None)


def about_stream(suite: Suite, uri: str, event: dict[str, Any], **changes: Any) -> str:
    """A SET about the stream."""
    return suite.transmitter.a_set(**suite.transmitter.stream_event(uri, event, **changes))


async def happypath(suite: Suite) -> None:
    """A stream is made, read, proved and used; the user of the event is signed out; the stream is ended."""
    await stream_verification(suite)
    assert ACCEPTED == await suite.deliver(suite.transmitter.a_set())
    assert ["u1"] == await suite.subjects()
    await streams.delete(suite.settings, "t1")
    assert suite.transmitter.stream is None


async def stream_create_delete(suite: Suite) -> None:
    """A stream is ended and made anew."""
    await streams.delete(suite.settings, "t1")
    assert suite.transmitter.stream is None
    assert (await streams.create(suite.settings, "t1", None))["created"]
    assert suite.transmitter.stream is not None


async def stream_status_update(suite: Suite) -> None:
    """The receiver pauses and enables the stream, and takes the transmitter's word on its status."""
    for status in ("paused", "enabled"):
        assert status == (await streams.status(suite.settings, "t1", status))["status"]
    assert ACCEPTED == await suite.deliver(about_stream(suite, UPDATED, {"status": "enabled", "reason": "x"}))
    note = await suite.notes.read("t1")
    assert ("enabled", "x") == (note.status, note.reason)


async def stream_verification(suite: Suite) -> None:
    """A verification that was asked for comes with its state and is accepted."""
    await streams.verify(suite.settings, "t1", 0)
    assert [ACCEPTED] == list((await suite.fetched()).values())
    assert (await suite.notes.read("t1")).verified_at is not None


async def unsolicited_stream_verification(suite: Suite) -> None:
    """A verification without state was not asked for, and is accepted."""
    assert ACCEPTED == await suite.deliver(about_stream(suite, VERIFICATION, {}))


async def stream_supported_events(suite: Suite) -> None:
    """What is delivered is what was asked for and is supported; an event of neither kind is accepted."""
    assert suite.transmitter.stream is not None
    assert {REVOKED, CREDENTIAL_CHANGE} == set(suite.transmitter.stream["events_delivered"])
    assert ACCEPTED == await suite.deliver(suite.transmitter.a_set(uri="https://schemas.example/other"))
    assert [] == await suite.subjects()


async def stream_caep_interop(suite: Suite) -> None:
    """Both events of the interoperability profile, with the members and subjects that it names."""
    event = {
        "event_timestamp": int(suite.transmitter.clock()), "initiating_entity": "policy",
        "reason_admin": {"en": "x"}, "reason_user": {"en": "x"},
    }  # fmt: skip
    change = {**event, "credential_type": "password", "change_type": "update"}
    user = {"format": "iss_sub", "iss": suite.transmitter.issuer, "sub": "u2"}
    email = {"format": "email", "email": "u3@example.com"}
    sent: list[dict[str, Any]] = [
        {"event": event},
        {"event": change, "uri": CREDENTIAL_CHANGE, "sub_id": user},
        {"event": event, "sub_id": email},
    ]
    for number, claims in enumerate(sent):
        assert ACCEPTED == await suite.deliver(suite.transmitter.a_set(**claims), f"j{number}")
    assert ["u1", "u2"] == await suite.subjects()


async def bad_signature(suite: Suite) -> None:
    """A SET by another key is refused and signs no user out."""
    assert "invalid_key" == await suite.deliver(suite.transmitter.a_set(key=rsa_pair("forger")))
    assert [] == await suite.subjects()


async def bad_audience(suite: Suite) -> None:
    """A SET for another receiver is refused."""
    assert "invalid_audience" == await suite.deliver(suite.transmitter.a_set(aud="another"))
    assert [] == await suite.subjects()


async def wrong_issuer(suite: Suite) -> None:
    """A SET that says another issuer is refused."""
    assert "invalid_issuer" == await suite.deliver(suite.transmitter.a_set(iss="https://another.example"))


async def wrong_state(suite: Suite) -> None:
    """A verification with a state that was not asked for is refused."""
    await streams.verify(suite.settings, "t1", 0)
    suite.transmitter.waiting.clear()
    assert "invalid_state" == await suite.deliver(about_stream(suite, VERIFICATION, {"state": "another"}))
    assert (await suite.notes.read("t1")).verified_at is None


async def wrong_subject(suite: Suite) -> None:
    """A verification of another stream is refused."""
    another = {"format": "opaque", "id": "another"}
    assert "invalid_request" == await suite.deliver(about_stream(suite, VERIFICATION, {}, sub_id=another))


async def verification_behind_queued_events(suite: Suite) -> None:
    """Events that were waiting come first; the verification is accepted all the same."""
    for number in range(5):
        user = {"format": "iss_sub", "iss": suite.transmitter.issuer, "sub": f"u{number}"}
        suite.transmitter.queue_set(sub_id=user)
    await streams.verify(suite.settings, "t1", 0)
    assert [ACCEPTED] * 6 == list((await suite.fetched()).values())
    assert [f"u{number}" for number in range(5)] == sorted(await suite.subjects())
    assert (await suite.notes.read("t1")).verified_at is not None


async def redelivered_set(suite: Suite) -> None:
    """A SET that comes twice is accepted twice, and is one event."""
    compact = suite.transmitter.a_set()
    assert [ACCEPTED, ACCEPTED] == [await suite.deliver(compact, jti) for jti in ("first", "again")]
    assert ["u1"] == await suite.subjects()


async def expired_access_token(suite: Suite) -> None:
    """A token that the transmitter no longer takes is replaced, by the poller and by the commands."""
    await stream_verification(suite)
    suite.transmitter.tokens.clear()
    await stream_verification(suite)
    assert ACCEPTED == await suite.deliver(suite.transmitter.a_set())


MODULES: dict[str, Callable[[Suite], Awaitable[None]]] = {
    "openid-ssf-receiver-happypath": happypath,
    "openid-ssf-receiver-stream-create-delete": stream_create_delete,
    "openid-ssf-receiver-stream-status-update": stream_status_update,
    "openid-ssf-receiver-stream-verification": stream_verification,
    "openid-ssf-receiver-unsolicited-stream-verification": unsolicited_stream_verification,
    "openid-ssf-receiver-stream-supported-events": stream_supported_events,
    "openid-ssf-receiver-stream-caep-interop": stream_caep_interop,
    "bad signature": bad_signature,
    "bad audience": bad_audience,
    "wrong issuer": wrong_issuer,
    "wrong state": wrong_state,
    "wrong subject": wrong_subject,
    "verification behind queued events": verification_behind_queued_events,
    "redelivered SET": redelivered_set,
    "expired access token": expired_access_token,
}


@pytest.mark.parametrize("module", MODULES)
async def test_module(suite: Suite, module: str) -> None:
    """The module passes."""
    await MODULES[module](suite)
