"""`receiver trace`: before, during and after the apps have dropped a user; and who is silent."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events import acks
from receiver.bus.events.event_search import NotFound, find
from receiver.bus.events.trace import LIVE_S, Trace, trace
from receiver.bus.keys import KeyNames
from receiver.consumer import Subscriber
from receiver.diagnosis.trace import to_text
from tests.consumer.listening import eviction, running
from tests.diagnosis.conftest import Command, write_config
from tests.support.bad_entries import ALL
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.eviction import Eviction
    from tests.support.op import OP

KEYS = KeyNames()
DAY_S = 86_400


class Scene:
    """One published eviction, and instances that speak when told."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.entry_id = ""

    async def publish(self, event: Eviction) -> None:
        """Put it into the stream."""
        published = await publisher_to(self.client).publish(event)
        self.entry_id = published.entry_id

    async def speaks(self, app: str, instance: str, *events: str, listens_s: float = 60, group: bool = False) -> None:
        """A sign of life, with acknowledgements of these events."""
        listener = acks.AckSource(app, instance, instance if group else None, -listens_s)
        said = [acks.Ack(name, self.entry_id or "1-0", time.time() - 1, 0.0) for name in events]
        await acks.acknowledge(self.client, KEYS, listener, said, now=0.0)

    async def silent_for(self, member: str, seconds: float) -> None:
        """It was last heard of so long ago."""
        await self.client.zadd(KEYS.instances, {member: (time.time() - seconds) * 1000})
        await self.client.zadd(KEYS.instances_since, {member: (time.time() - seconds - 60) * 1000})

    async def trace(self, name: str = "e1", *declared: str, seen_within_s: float = DAY_S) -> Trace:
        """What is known."""
        found = await find(self.client, KEYS, name, ())
        assert not isinstance(found, NotFound)
        return await trace(self.client, KEYS, found, now_s=time.time(), declared=declared, seen_within_s=seen_within_s)


async def found_id(client: redis.asyncio.Redis, text: str) -> str | None:
    """The id of the event that is found."""
    found = await find(client, KEYS, text, ())
    return None if isinstance(found, NotFound) else found[0].eviction.id


@pytest.fixture
async def scene(redis_client: redis.asyncio.Redis) -> Scene:
    """Nothing published yet, nobody heard of."""
    return Scene(redis_client)


async def test_before_and_after(scene: Scene) -> None:
    """Open while an instance has not answered, complete with the time of the slowest when all have."""
    await scene.speaks("portal", "p1")
    await scene.speaks("portal", "p2")
    await scene.speaks("orders", "shared", group=True)
    await scene.publish(eviction("e1", time.time() - 1))

    before = await scene.trace()
    assert (False, None) == (before.complete, before.after_ms)
    assert [("orders", ("@shared",)), ("portal", ("p1", "p2"))] == [(app.app, app.missing) for app in before.apps]

    await scene.speaks("portal", "p1", "e1")
    await scene.speaks("orders", "shared", "e1", group=True)
    half = await scene.trace()
    assert [True, False] == [app.done for app in half.apps]
    assert ("p2",) == half.apps[1].missing

    await scene.speaks("portal", "p2", "e1")
    after = await scene.trace()
    assert after.complete
    assert after.after_ms is not None
    assert 1000 <= after.after_ms < 6000
    assert after.after_ms == max(app.after_ms or 0 for app in after.apps)


async def test_who_is_asked(scene: Scene) -> None:
    """Not who began later or said goodbye; who vanished before the event is named as lost, not waited for."""
    await scene.speaks("portal", "p1")
    await scene.speaks("portal", "leaves")
    await scene.silent_for("portal/vanished", LIVE_S * 2)
    await scene.silent_for("stopped/s1", 2 * DAY_S)
    await scene.publish(eviction("e1", time.time()))
    await scene.speaks("portal", "p1", "e1")
    await scene.speaks("portal", "later", listens_s=-1)
    await scene.speaks("another", "later", listens_s=-1)
    await acks.leave(scene.client, KEYS, acks.AckSource("portal", "leaves", None, 0.0))

    found = await scene.trace()

    [portal] = found.apps
    assert ("portal", (), ("vanished",), {"p1"}) == (portal.app, portal.missing, portal.lost, set(portal.acked_ms))
    assert found.complete


async def test_a_silent_app_is_open(scene: Scene) -> None:
    """An app that was heard of within the time, and one that is declared and never was, keep the trace open."""
    await scene.silent_for("portal/p1", 600)
    await scene.publish(eviction("e1", time.time()))
    await scene.speaks("orders", "o1", "e1", listens_s=60)

    found = await scene.trace("e1", "declared", "orders")

    assert {"declared": False, "orders": True, "portal": False} == {app.app: app.done for app in found.apps}
    assert [True, True, False] == [app.declared for app in found.apps]
    assert found.apps[0].last_seen is None
    assert (await scene.trace("e1", "orders", seen_within_s=300)).complete


async def test_without_any_app_nothing_is_proven(scene: Scene) -> None:
    """Nobody listens: not complete. An unknown event: nothing."""
    await scene.publish(eviction("e1"))

    assert not (await scene.trace()).complete
    assert isinstance(await find(scene.client, KEYS, "e2", ()), NotFound)


async def test_found_by_jti_and_after_the_jti_is_forgotten(scene: Scene) -> None:
    """By id, by jti, and by looking through the stream when the quick ways are gone."""
    for number in range(3):
        await scene.publish(eviction(f"e{number}"))
    await scene.client.delete(KEYS.jti("e1"))

    assert "e1" == await found_id(scene.client, "jti-e1")
    assert "e1" == await found_id(scene.client, "e1")
    assert isinstance(await find(scene.client, KEYS, "jti", ()), NotFound)
    assert "e1" == (await scene.trace("e1")).eviction.id


async def test_shape_of_the_json(scene: Scene) -> None:
    """The documented members, and no `sub` or `sid`."""
    await scene.publish(eviction("e1", time.time()))
    await scene.speaks("portal", "p1", "e1")

    shown: Any = json.loads(json.dumps((await scene.trace()).to_json()))

    assert {
        "id", "entry_id", "tenant", "iss", "client_id", "jti", "input", "scope", "logout_at", "received_at",
        "published_at", "complete", "after_ms", "apps",
    } == set(shown)  # fmt: skip
    assert {"app", "declared", "done", "after_ms", "last_seen", "acked_ms", "missing", "lost"} == set(shown["apps"][0])


async def test_text(scene: Scene) -> None:
    """One line for each app, then the answer; names that apps gave themselves cannot harm a terminal."""
    await scene.speaks("evil\x1b[2J", "p1")
    await scene.speaks("portal", "p1")
    await scene.speaks("portal", "p2")
    await scene.publish(eviction("e1", time.time()))
    await scene.speaks("portal", "p1", "e1")
    open_text = to_text(await scene.trace("e1", "reports"), colours=False)
    lines = open_text.splitlines()

    assert ["✗ evil\\u001b[2J", "✗ portal", "✗ reports"] == [" ".join(line.split()[:2]) for line in lines[1:4]]
    assert "1/2" in lines[2]
    assert "no answer from p2" in lines[2]
    assert "never heard of" in lines[3]
    assert lines[4].startswith("The user is not out everywhere")
    await scene.speaks("portal", "p2", "e1")
    await scene.speaks("evil\x1b[2J", "p1", "e1")
    assert to_text(await scene.trace(), colours=False).splitlines()[-1].startswith("The user is out everywhere, ")


async def test_command(
    command: Command, op: OP, tmp_path: Path, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """Exit 1 until everybody has answered, then 0; with a real consumer."""
    config = str(write_config(tmp_path, op, redis_url=redis_server.url))
    go, begun = asyncio.Event(), asyncio.Event()

    async def handler(_: object) -> None:
        begun.set()
        await go.wait()

    async with running(Subscriber(redis_server.url, handler, app="portal")):

        async def listening() -> bool:
            return bool(await acks.instances(redis_client, KEYS))

        await until(listening)
        await publisher_to(redis_client).publish(eviction("e1", time.time()))
        await begun.wait()
        waiting = await command("trace", "jti-e1", "--config", config)
        go.set()

        async def answered() -> bool:
            return bool(await redis_client.exists(KEYS.acks_of("e1")))

        await until(answered)
        done = await command("trace", "e1", "--config", config, "--json")

    assert 1 == waiting.code
    assert "not out everywhere: no full answer from portal" in waiting.out
    assert (0, True) == (done.code, done.json["complete"])


async def test_command_that_cannot_tell(command: Command, config: Path, op: OP, redis_server: EmbeddedRedis) -> None:
    """An unknown event, a Redis that does not answer, no Redis at all: one line each on stderr, and not 0."""
    away = await command("trace", "e1", "--config", str(config))
    unknown = await command(
        "trace", "nobody", "--config", str(write_config(config.parent, op, redis_url=redis_server.url))
    )
    embedded = await command("trace", "e1")

    assert [1, 1, 2] == [away.code, unknown.code, embedded.code]
    assert "cannot read the event stream" in away.err
    assert "no such eviction" in unknown.err
    assert "redis.url is embedded" in embedded.err


async def test_what_others_wrote_hides_no_proof(redis_client: redis.asyncio.Redis) -> None:
    """Bad entries, a bad place and bad acknowledgements are passed over; the event is found and its proof shown."""
    scene = Scene(redis_client)
    await scene.publish(eviction("e1", time.time()))
    await scene.speaks("portal", "w1", "e1")
    for bad in ALL:
        await bad.add(redis_client)
    await redis_client.set(KEYS.jti("e1"), "abc")
    await redis_client.hset(KEYS.acks_of("e1"), mapping={"bad/w2": "abc", b"\xff/w3": "1e400", "bad/w4": "-1", "x": ""})
    await redis_client.zadd(KEYS.instances, {b"\xff/w5": float("inf")})

    found = await scene.trace("e1", "portal")
    assert "e1" == await found_id(redis_client, "jti-e1")
    assert {"portal": ["w1"]} == {app.app: list(app.acked_ms) for app in found.apps if app.acked_ms}
    assert json.dumps(found.to_json(), allow_nan=False)
    assert to_text(found, colours=False)
