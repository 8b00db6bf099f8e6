"""A new way in, as docs/development.md says it is added: an input, a row of the table, and nothing else."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from receiver.core.eviction import Eviction, eviction_id
from receiver.errors import Code, MalformedRequestError
from receiver.ingress import server
from receiver.ingress.body import JSON, BodyLimits
from receiver.ingress.inputs import HttpInput, Row, input_table
from receiver.ingress.responses import refused
from tests.api.conftest import TOKEN
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import redis.asyncio

    from receiver.bus.embedded import EmbeddedRedis
    from receiver.core.tenants import TenantDirectory
    from receiver.errors import ReceiverError
    from receiver.ingress.inputs import Message
    from receiver.ingress.intake import Accepted
    from receiver.ingress.responses import Policy
    from tests.support.clock import Clock
    from tests.support.op import OP
    from tests.support.receiver import Receiver


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
            raise MalformedRequestError(Code.MALFORMED, "not a bulletin") from error
        return [
            Eviction.for_subject(
                tenant, id=eviction_id(tenant.issuer, f"bulletin {subject}"), iss=tenant.issuer, sub=subject, sid=None,
                logout_at=int(message.received_at), received_at=message.received_at, input="ssf", origin=self.name,
                applies_to="tenant",
            )
            for subject in subjects
        ]  # fmt: skip

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

    def table(tenants: TenantDirectory, *others: Any) -> tuple[Row, ...]:
        limits = BodyLimits(media_type=JSON, max_bytes=100, timeout_s=5.0)
        row = Row(
            input=Bulletin(tenants), listener=request.param, path="/bulletin", methods=("POST", "PUT"),
            tenant_in_path=request.param == "public", body=limits,
        )  # fmt: skip
        return (*input_table(tenants, *others), row)

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
