"""docs/events.md, its schemas and its access rights, tried on what the receiver really publishes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import redis.asyncio
import redis.exceptions
import yaml

from receiver.bus.events.event_search import NotFound, find
from receiver.bus.events.publish import Retention
from receiver.bus.events.trace import trace
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.shared_keys import SharedKeySets, StoredKeys
from receiver.bus.streams import StreamNotes
from receiver.consumer import Eviction, GroupSubscriber, Sessions, Subscriber
from receiver.core.eviction import SessionKeys, eviction_id
from receiver.ingress.ack_watch import AckWatch
from receiver.ops.metrics import Metrics
from receiver.tasks import cancel
from tests.docs.pages import DOCS, blocks, names, read, rows, section
from tests.support.receiver import start_receiver, t1
from tests.support.transmitter import CLIENT, SECRET, UPDATED, VERIFICATION, Transmitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.clock import Clock
    from tests.support.op import OP

PAGE = read("events.md")
SCHEMA = json.loads((DOCS / "schemas" / "eviction-v1.schema.json").read_text(encoding="utf-8"))
DEADLINE_S = 60.0

SESSION = Eviction(
    id=eviction_id("https://op.example", "j1"), tenant="main", iss="https://op.example", client_id="portal", sub="u1",
    sid="s1", jti="j1", scope="session", logout_at=1_795_176_000, received_at=1_795_176_000.25, reason="x",
    accounts=("u1",), sessions=(SessionKeys("orders", ("k1",)),),
)  # fmt: skip
KINDS = {
    "both": SESSION,
    "one client": replace(SESSION, applies_to="client", sessions=()),
    "sid only": replace(SESSION, sub=None, accounts=()),
    "sub only": replace(SESSION, sid=None, scope="user", reason=None),
    "admin": replace(SESSION, sid=None, jti=None, client_id=None, scope="user", input="admin"),
    "origin": replace(SESSION, input="ssf", origin="ssf-push"),
}


def validate(event: object) -> None:
    """Check an event against the published schema, formats included."""
    jsonschema.Draft202012Validator(
        SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(event)  # fmt: skip


def test_schema_is_a_schema() -> None:
    """The schema itself is valid JSON Schema 2020-12."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("eviction", KINDS.values(), ids=KINDS.keys())
def test_events_follow_the_schema(eviction: Eviction) -> None:
    """Whatever kind of eviction is published, the schema holds, and describes every member."""
    event = json.loads(eviction.to_json())

    validate(event)
    assert set(event) <= set(SCHEMA["properties"])
    assert set(event["data"]) <= set(SCHEMA["properties"]["data"]["properties"])


@pytest.mark.parametrize(
    "change",
    [
        {"type": "logout-receiver.eviction.v2"},
        {"data": {**json.loads(SESSION.to_json())["data"], "sid": None}},
        {"data": {**json.loads(SESSION.to_json())["data"], "logout_at": "now"}},
        {"data": {**json.loads(SESSION.to_json())["data"], "scope": "everything"}},
    ],
    ids=["another type", "session without sid", "time as text", "unknown scope"],
)
def test_schema_refuses_what_readers_refuse(change: dict[str, Any]) -> None:
    """The schema is no rubber stamp."""
    with pytest.raises(jsonschema.ValidationError):
        validate(json.loads(SESSION.to_json()) | change)


def test_example_is_an_event() -> None:
    """The example follows the schema, and is exactly what this version would write for it."""
    [text, *_] = blocks(PAGE, "json")
    example = json.loads(text)

    validate(example)
    assert json.dumps(example, separators=(",", ":")) == Eviction.from_json(text).to_json()
    assert example["id"] == eviction_id(example["data"]["iss"], example["data"]["jti"])


def test_every_member_is_described() -> None:
    """The table has a row for each member of the data, and for each envelope member that varies."""
    event = json.loads(KINDS["origin"].to_json())
    described = {names(row[0])[0] for row in rows(section(PAGE, "The entry"))}

    assert {f"data.{member}" for member in event["data"]} <= described
    assert {"type", "id", "source", "time"} <= described


def test_every_key_is_described() -> None:
    """The table of keys names every key the code can make."""
    described = {names(row[0])[0] for row in rows(section(PAGE, "Keys"))}
    kinds = {name for name in vars(KeyNames) if not name.startswith("_") and name != "prefix"}
    keys = KeyNames()

    assert len(kinds) == len(described)
    assert described == {
        keys.events, keys.of_canary.events, keys.sequence, keys.jti("<event id>"), keys.logout("<digest>"),
        keys.further("<event id>"),
        keys.jwks("<tenant>"), keys.mark("<digest>"), keys.anew("<digest>"), keys.epoch, keys.full_buckets,
        keys.stream("<tenant>"), keys.stream_state("<tenant>", "<state>"), keys.poller("<name>"),
            keys.callbacks, keys.callback_endpoints, keys.watch("<name>"), keys.watch_off("<name>"),
        keys.user("<digest>"), keys.session_bucket("xx0").replace("xx0", "<bucket>"),
        keys.account_bucket("xx0").replace("xx0", "<bucket>"),
        keys.index_bucket("xx0").replace("xx0", "<bucket>"), keys.places_bucket("xx0").replace("xx0", "<bucket>"),
        keys.name("<digest>"), keys.removal("<digest>"), keys.watched("<cache>"),
        keys.rechecks, keys.recheck("<event id>"), keys.watcher,
        keys.acks, keys.acks_of("<event id>"), keys.instances, keys.instances_since,
        keys.group("<group>"), keys.dead_letters("<group>"),
    }  # fmt: skip


def test_asyncapi_document_holds_together() -> None:
    """Every reference leads somewhere, and the payload is the published schema."""
    document = yaml.safe_load((DOCS / "schemas" / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert str(document["asyncapi"]).startswith("3.")

    def check(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                check(item)
        if isinstance(node, dict):
            for item in node.values():
                check(item)
            file, _, pointer = node.get("$ref", "").partition("#")
            assert not file or (DOCS / "schemas" / file).is_file(), file
            target: Any = document
            for step in pointer.split("/")[1:]:
                target = target[step]

    check(document)
    payload = document["components"]["messages"]["eviction"]["payload"]
    assert payload["schema"]["$ref"] == "./eviction-v1.schema.json"


@pytest.fixture
async def guarded() -> AsyncIterator[EmbeddedRedis]:
    """A Redis with the users of the page, and no rights for anybody without a name."""
    server = EmbeddedRedis()
    await asyncio.to_thread(server.start)
    admin = redis.asyncio.Redis.from_url(server.url)
    [commands] = blocks(PAGE, "redis-acl")
    for command in commands.splitlines():
        await admin.execute_command(*command.split())
    await admin.execute_command("ACL", "SETUSER", "default", "resetpass", "-@all")
    await admin.aclose()
    yield server
    await asyncio.to_thread(server.stop)


def as_user(server: EmbeddedRedis, user: str) -> str:
    """The server's URL with a user of the page."""
    return urlsplit(server.url)._replace(netloc=f"{user}:secret@127.0.0.1:{server.port}").geturl()


async def test_rights_are_enough_for_both_sides(guarded: EmbeddedRedis, clock: Clock, op: OP) -> None:
    """With exactly the rights on the page the receiver publishes and shares keys, and a consumer hears of it."""
    heard: asyncio.Queue[Eviction] = asyncio.Queue()
    # The receiver's times are the test's, the stream's are Redis's: read from the beginning.
    subscriber = Subscriber(as_user(guarded, "listener"), heard.put, app="portal", lookback_s=1e9)
    listening = asyncio.create_task(subscriber.run())
    async with (
        redis.asyncio.Redis.from_url(as_user(guarded, "receiver")) as client,
        start_receiver(as_user(guarded, "receiver"), client, clock, [t1(op)]) as receiver,
    ):
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        assert 200 == (await receiver.post(op.token(jti="j2", sid=None))).status
        await SharedKeySets(client, KeyNames(), keep_s=60).store("t2", StoredKeys(1.0, {"keys": []}))
        assert await SharedKeySets(client, KeyNames(), keep_s=60).load("t2") is not None
        async with asyncio.timeout(DEADLINE_S):
            assert ["j1", "j2"] == [(await heard.get()).jti for _ in range(2)]
    await cancel(listening)


async def test_rights_are_enough_for_security_events(guarded: EmbeddedRedis, clock: Clock) -> None:
    """With the receiver's rights a stream is verified, its status noted, and another one polled under a lease."""
    async with Transmitter(clock) as transmitter:
        access = {"client_id": CLIENT, "client_secret": SECRET}
        polled = {"delivery": "poll", "access": access, "poll_endpoint": f"{transmitter.issuer}/poll"}
        tenants = [t1(transmitter, ssf={}), {**t1(transmitter, ssf=polled), "name": "t2", "client_ids": ["c2"]}]
        tenants[1]["ssf"]["audience"] = ["c2"]
        transmitter.queue_set(aud="c2")
        async with (
            redis.asyncio.Redis.from_url(as_user(guarded, "receiver")) as client,
            start_receiver(as_user(guarded, "receiver"), client, clock, tenants) as receiver,
            asyncio.timeout(DEADLINE_S),
        ):
            state = await StreamNotes(client, KeyNames()).ask("t1")
            for about in ((VERIFICATION, {"state": state}), (UPDATED, {"status": "enabled"})):
                compact = transmitter.a_set(**transmitter.stream_event(*about))
                assert (202, None) == await transmitter.push(receiver.http, f"{receiver.public}/ssf/t1", compact)
            assert await StreamNotes(client, KeyNames()).is_verified("t1", state)
            assert "enabled" == (await StreamNotes(client, KeyNames()).read("t1")).status
            while not transmitter.acknowledged:
                await asyncio.sleep(0.01)


async def test_rights_to_register_are_enough(guarded: EmbeddedRedis, clock: Clock, op: OP) -> None:
    """With the rights on the page an app registers, is told of a logout, and its keys come back in the event."""
    session = {"iss": op.issuer, "aud": "c1", "sub": "u1", "sid": "s1", "auth_time": clock() - 1, "iat": clock()}
    sessions = Sessions(as_user(guarded, "sessions"))
    async with (
        redis.asyncio.Redis.from_url(as_user(guarded, "receiver")) as client,
        redis.asyncio.Redis.from_url(as_user(guarded, "listener")) as listener,
        start_receiver(as_user(guarded, "receiver"), client, clock, [t1(op)]) as receiver,
    ):
        assert await sessions.register(session, home_account_id="uid.utid", keys=["k1"])
        assert await sessions.register({**session, "sid": "s2"}, home_account_id="uid.utid", keys=["k2"])
        assert 200 == (await receiver.post(op.token(sub="u1", sid="s1"))).status
        assert 200 == (await receiver.post(op.token(sub="u1", sid=None))).status
        assert await sessions.is_signed_out(session)
        assert not await sessions.register(session)
        entries = [entry for [_, found] in await read_all(listener) for entry in found]
        events = [Eviction.from_json(fields[b"event"]) for _, fields in entries]
    await sessions.aclose()
    assert [("k1",), ("k2",)] == [event.sessions[0].keys for event in events]
    assert all("uid.utid" in event.accounts for event in events)


async def read_all(client: redis.asyncio.Redis) -> Any:
    """Every entry of the stream, in the shape of RESP2."""
    answer: Any = await client.xread({KeyNames().events: "0"})
    if isinstance(answer, dict):
        return [(name, found[0] if isinstance(found[0], list) else found) for name, found in answer.items()]
    return answer


async def test_group_rights_are_enough(
    guarded: EmbeddedRedis, clock: Clock, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """With the rights on the page a group is made, shares, takes over, sets aside, acknowledges and leaves."""
    heard: asyncio.Queue[str | None] = asyncio.Queue()

    async def handler(event: Eviction) -> None:
        await heard.put(event.jti)
        if event.jti == "bad":
            raise RuntimeError("the app's fault")

    worker = GroupSubscriber(
        as_user(guarded, "worker"), handler, app="portal", max_tries=2, retry_s=0.01, min_idle_s=0.1
    )
    working = asyncio.create_task(worker.run())
    async with (
        redis.asyncio.Redis.from_url(as_user(guarded, "receiver")) as client,
        start_receiver(as_user(guarded, "receiver"), client, clock, [t1(op)]) as receiver,
        asyncio.timeout(DEADLINE_S),
    ):
        for jti in ("good", "bad"):
            assert 200 == (await receiver.post(op.token(jti=jti))).status
        assert ["good", "bad", "bad"] == [await heard.get() for _ in range(3)]
        while not await client.llen(KeyNames().dead_letters("portal")):
            await asyncio.sleep(0.01)
        good = eviction_id(op.issuer, "good")
        place = await find(client, KeyNames(), good, ())
        assert not isinstance(place, NotFound)
        while not (await trace(client, KeyNames(), place, now_s=clock(), declared=(), seen_within_s=60)).complete:
            await asyncio.sleep(0.01)
        watch = AckWatch(client, KeyNames(), Metrics(), declared=(), seen_s=60, retention=Retention())
        await watch.take()
        await watch.sample()
        await cancel(working)
    assert "cannot" not in caplog.text


@pytest.mark.parametrize("user", ["listener", "worker", "sessions"])
@pytest.mark.parametrize(
    "command",
    [
        ("XADD", KeyNames().events, "*", "event", "{}", "n", "1"),
        ("XTRIM", KeyNames().events, "MAXLEN", "0"),
        ("DEL", KeyNames().events),
        ("GET", KeyNames().jwks("t1")),
        ("SET", KeyNames().jwks("t1"), "{}"),
        ("SET", KeyNames().jti("1"), "1"),
        ("FLUSHALL",),
    ],
    ids=lambda command: " ".join(command[:2]),
)
async def test_consumer_can_only_read(guarded: EmbeddedRedis, user: str, command: tuple[str, ...]) -> None:
    """A consumer's user cannot publish, trim, delete or see the OP's keys."""
    async with redis.asyncio.Redis.from_url(as_user(guarded, user)) as client:
        with pytest.raises(redis.exceptions.NoPermissionError):
            await client.execute_command(*command)


async def test_receiver_cannot_leave_its_keys(guarded: EmbeddedRedis) -> None:
    """The receiver's user reads and writes nothing outside its prefix."""
    async with redis.asyncio.Redis.from_url(as_user(guarded, "receiver")) as client:
        for command in (("GET", "token-cache"), ("SET", "token-cache", "x")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                await client.execute_command(*command)
