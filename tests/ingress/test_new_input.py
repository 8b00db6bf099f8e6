"""A new way in, as docs/development.md says it is added: an input, a row of the table, and nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from receiver.core.eviction import Eviction, eviction_id
from receiver.errors import Code, ReceiverError, RequestError
from receiver.ingress import server
from receiver.ingress.http.body import JSON, BodyLimits
from receiver.ingress.http.responses import Policy, refused
from receiver.ingress.inputs import HttpInput, InputJob, Message, Resources, Row, input_table
from tests.api.conftest import DEADLINE_S, TOKEN
from tests.support.clock import NOW, Clock
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.intake import Intake
    from tests.support.op import OP


def left(tenant: Tenant, subject: str, received_at: float, origin: str) -> Eviction:
    """The eviction of a subject who left."""
    return Eviction.for_subject(
        tenant, id=eviction_id(tenant.issuer, f"{origin} {subject}"), iss=tenant.issuer, sub=subject, sid=None,
        logout_at=int(received_at), received_at=received_at, input="ssf", origin=origin, applies_to="tenant",
    )  # fmt: skip


class Bulletin(HttpInput):
    """A made-up protocol: a JSON list of subjects who left; answered with how many were new."""

    name = "bulletin"

    def __init__(self, tenants: TenantDirectory) -> None:
        self._tenants = tenants

    async def read(self, message: Message) -> Sequence[Eviction]:
        """One eviction for each subject."""
        message.tenant = tenant = message.path_tenant or self._tenants.by_name("t1")
        assert tenant is not None
        try:
            subjects = [str(subject) for subject in json.loads(message.body)["left"]]
        except (ValueError, KeyError) as error:
            raise RequestError(Code.MALFORMED, "not a bulletin") from error
        return [left(tenant, subject, message.received_at, self.name) for subject in subjects]

    def accepted(self, accepted: Sequence[Accepted]) -> web.Response:
        """How many were new."""
        return web.json_response({"new": sum(not one.duplicate for one in accepted)}, status=202)

    def refused(self, error: ReceiverError, policy: Policy) -> web.Response:
        """As everywhere, with a member of this protocol."""
        response = refused(error, policy)
        response.headers["Bulletin-Error"] = error.code.value
        return response


@pytest.fixture(params=["public", "api"])
async def bulletin(
    request: pytest.FixtureRequest,
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    clock: Clock,
    op: OP,
) -> AsyncIterator[Caller]:
    """A receiver with one more row, on either listener."""

    def table(resources: Resources) -> tuple[Row, ...]:
        limits = BodyLimits(media_type=JSON, max_bytes=100, timeout_s=5.0)
        row = Row(
            input=Bulletin(resources.tenants), listener=request.param, path="/bulletin", methods=("POST", "PUT"),
            tenant_in_path="optional" if request.param == "public" else "none", body=limits,
        )  # fmt: skip
        return (*input_table(resources), row)

    internal = {"token": TOKEN}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "input_table", table)
        async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], internal=internal) as receiver:
            yield Caller(receiver, request.param)


class Caller:
    """Sends bulletins."""

    def __init__(self, receiver: Receiver, listener: str) -> None:
        self.receiver = receiver
        self.listener = listener

    async def send(self, method: str = "POST", path: str = "/bulletin", **options: Any) -> tuple[int, Any, Any]:
        """Status, headers and JSON body of the answer."""
        base = self.receiver.public if self.listener == "public" else self.receiver.internal + "/v1"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.receiver.http.request(method, base + path, headers=headers, **options) as response:
            return response.status, response.headers, await response.json()


async def test_what_it_orders_reaches_the_stream(bulletin: Caller, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """Each of its evictions is an event with its origin; request and evictions are counted and logged."""
    caplog.set_level(logging.INFO, "receiver.request")
    await bulletin.send(json={"left": ["u1"]})

    status, _, body = await bulletin.send("PUT", json={"left": ["u1", "u2"]})

    assert (202, {"new": 1}) == (status, body)
    events = [event["data"] for event in await bulletin.receiver.events()]
    assert [("u1", "ssf", "bulletin"), ("u2", "ssf", "bulletin")] == [
        (data["sub"], data["input"], data["origin"]) for data in events
    ]
    assert [op.issuer, ["u2"], "user"] == [events[1]["iss"], events[1]["accounts"], events[1]["scope"]]
    lines: list[Any] = [record.fields for record in caplog.records if record.getMessage() == "logout.accepted"]  # type: ignore[attr-defined]
    assert [("bulletin", "ok"), ("bulletin", "duplicate"), ("bulletin", "ok")] == [
        (line["input"], line["outcome"]) for line in lines
    ]
    assert 2 == bulletin.receiver.count(input="bulletin", outcome="ok", code="ok")


async def test_message_that_orders_nothing(bulletin: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """A good message without orders is accepted, counted and logged."""
    caplog.set_level(logging.INFO, "receiver.request")

    assert (202, {"new": 0}) == (await bulletin.send(json={"left": []}))[::2]
    assert [] == await bulletin.receiver.events()
    assert ["logout.none"] == [record.getMessage() for record in caplog.records]
    assert 1 == bulletin.receiver.count(input="bulletin", outcome="ok", code="ok")


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"json": {}}, 400, "malformed"),
        ({"data": {"left": "u1"}}, 400, "media_type"),
        ({"json": {"left": ["u" * 100]}}, 413, "too_large"),
    ],
    ids=["its own rule", "kind of body", "size of body"],
)
async def test_refusals_are_its_own(bulletin: Caller, options: dict[str, Any], status: int, code: str) -> None:
    """What its rules or its row refuse is answered in its own form, and publishes nothing."""
    answered, headers, _ = await bulletin.send(**options)

    assert (status, code) == (answered, headers["Bulletin-Error"])
    assert [] == await bulletin.receiver.events()
    assert 1 == sum(
        bulletin.receiver.count(input="bulletin", outcome="rejected", code=code, tenant=tenant)
        for tenant in ("t1", "unknown")
    )


async def test_other_methods_are_told_its_own(bulletin: Caller) -> None:
    """405 names the methods of its row."""
    status, headers, _ = await bulletin.send("DELETE")

    assert (405, {"POST", "PUT"}) == (status, set(headers["Allow"].replace(" ", "").split(",")))


async def test_path_with_a_tenant(bulletin: Caller) -> None:
    """The path with a tenant's name is answered only where the row says so."""
    status, _, _ = await bulletin.send(path="/bulletin/t1", json={"left": ["u1"]})

    assert (202 if bulletin.listener == "public" else 404) == status


class Mailbox(InputJob):
    """A made-up source that is polled: batches of subjects, each there until it is confirmed."""

    name = "mailbox"

    def __init__(self, tenants: TenantDirectory, intake: Intake) -> None:
        self._tenants = tenants
        self._intake = intake
        self.batches = [["u1", "u2"], ["u2"], []]
        self.failing = 1
        self.empty = asyncio.Event()

    async def run(self) -> None:
        """Take batches in, confirm each, and wait for more."""
        [tenant] = self._tenants
        while self.batches:
            if self.failing and len(self.batches) == 2:
                self.failing -= 1
                raise ConnectionError("the source went away")
            await self._intake.accept(self.name, [left(tenant, subject, NOW, self.name) for subject in self.batches[0]])
            del self.batches[0]
        self.empty.set()
        await asyncio.Event().wait()


async def test_source_that_is_polled(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """A job's batches go the same way; it is a job of the supervisor, which starts it again after a failure."""
    made: list[Mailbox] = []

    def jobs(resources: Resources) -> tuple[InputJob, ...]:
        made.append(Mailbox(resources.tenants, resources.intake))
        return tuple(made)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "input_jobs", jobs)
        async with start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as receiver:
            async with asyncio.timeout(DEADLINE_S):
                await made[0].empty.wait()
            subjects = [event["data"]["sub"] for event in await receiver.events()]
            assert "ok" == receiver.server.jobs.report()["input:mailbox"]

    assert ["u1", "u2"] == subjects
    assert 1 == receiver.count(input="mailbox", outcome="ok", code="ok")
    assert 1 == receiver.count(input="mailbox", outcome="duplicate", code="ok")
    assert 1 == receiver.count(input="mailbox", tenant="unknown", outcome="ok", code="ok")
