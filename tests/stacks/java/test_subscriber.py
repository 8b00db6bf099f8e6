"""The example's subscriber: what it hears, what it notices, what it waits out."""

from __future__ import annotations

import functools
import itertools
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from receiver.bus.link.embedded import EmbeddedRedis
from tests.stacks.java.clients import Client, Listener
from tests.stacks.java.maven import EXAMPLE, HERE
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stacks.java.driver import Driver
    from tests.stacks.java.world import World

pytestmark = [pytest.mark.java, pytest.mark.timeout(450)]

STREAM = "{logout}:events"
ISS = "https://op.example"
NOW = int(time.time())


class Stream:
    """A Redis of its own, and what a receiver appends."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = redis.Redis.from_url(url)

    def append(self, number: int, *, at_ms: int | None = None, **data: Any) -> None:
        """One event, by the form docs/events.md gives it."""
        eviction: dict[str, Any] = {
            "tenant": "t",
            "iss": ISS,
            "client_id": "portal",
            "sub": None,
            "sid": None,
            "scope": "session",
        }
        eviction |= {"applies_to": "tenant", "logout_at": NOW, "accounts": [], "sessions": [], **data}
        event = {"specversion": "1.0", "type": "logout-receiver.eviction.v1", "id": str(number), "data": eviction}
        self.client.xadd(STREAM, {"event": json.dumps(event), "n": number}, id=f"{at_ms}-0" if at_ms else "*")


@pytest.fixture
def stream() -> Iterator[Stream]:
    """A Redis of the test's own."""
    with EmbeddedRedis() as server:
        events = Stream(server.url)
        yield events
        events.client.close()


@pytest.fixture
def spring_listener(spring: Driver, stream: Stream) -> Iterator[Listener]:
    """The example's `Evictions`, listening to it."""
    with Listener(spring, stream.url) as listening:
        yield listening


def test_sessions_are_over_by_their_names(stream: Stream, spring_listener: Listener) -> None:
    """By `sid`, by `sub` or by account; a later authentication and another issuer's session live."""
    stream.append(1, sid="s1", sub="u1")
    stream.append(2, sub="u2", scope="user")
    stream.append(3, sub="u3", scope="user", accounts=["a3"], applies_to="client")
    claims: dict[str, Any] = {"iss": ISS, "aud": "portal", "auth_time": NOW - 9, "iat": NOW - 9}
    over = spring_listener.is_over
    eventually(lambda: over(**claims, sub="u3"))

    assert over(**claims, sub="u1", sid="s1")
    assert not over(**claims | {"auth_time": NOW + 1}, sub="u1", sid="s1")
    assert not over(**claims, sub="u1", sid="s2")
    assert not over(**claims | {"iss": "https://other.example"}, sub="u1", sid="s1")
    assert over(**claims, sub="u2", sid="any")
    assert over(iss=ISS, aud="portal", sub="u2", iat=NOW - 9)
    assert over(iss=ISS, aud="portal", sub="u2")
    assert not over(iss=ISS, aud="portal", sub="u2", iat=NOW + 1)
    assert over(**claims, sub="pairwise", home_account_id="a3")
    assert over(spring=True, **claims, sub="u1", sid="s1")
    assert not over(spring=True, **claims | {"auth_time": NOW + 1}, sub="u1", sid="s1")
    assert not over(**claims | {"aud": ["orders"]}, sub="u3")


def test_what_happened_shortly_before_the_start_is_heard(stream: Stream, spring: Driver) -> None:
    """A process reads 60 seconds back; what is older is not read."""
    stream.append(1, at_ms=int(time.time() * 1000) - 90_000, sid="old")
    stream.append(2, at_ms=int(time.time() * 1000) - 30_000, sid="recent")
    with Listener(spring, stream.url) as listener:
        eventually(lambda: listener.is_over(iss=ISS, aud="portal", sub="u", sid="recent"))

        assert not listener.is_over(iss=ISS, aud="portal", sub="u", sid="old")
        assert listener.resets == 0


def test_a_gap_is_a_reset(stream: Stream, spring_listener: Listener) -> None:
    """When a number is missing, everybody who signed in before is dropped, and whoever signs in later lives."""
    stream.append(1, sid="s1")
    stream.append(3, sid="s3")

    eventually(lambda: spring_listener.resets == 1)
    assert spring_listener.is_over(iss=ISS, aud="portal", sub="anybody", sid="s9", iat=NOW - 60)
    assert not spring_listener.is_over(iss=ISS, aud="portal", sub="anybody", sid="s9", iat=int(time.time()) + 1)


def test_a_reset_empties_the_clients_attached(
    stream: Stream, spring: Driver, quiet_world: World, names: tuple[str, str]
) -> None:
    """Their memory and, through their cache aspect, the stored value; here in another Redis than the events."""
    alice, _ = names
    with Listener(spring, stream.url) as listener:
        op = quiet_world.ops["entra"]
        client = Client(spring, quiet_world, op, f"reset:{alice}", kind="entra", listener=listener, long=True)
        token = client.sign_in(alice)
        assert client.silent(alice) == token
        stream.append(1, sid="s1")
        stream.append(3, sid="s3")

        eventually(lambda: token not in client.memory())
        eventually(lambda: client.stored_secrets() == set())
        assert client.silent(alice) is None


def test_a_redis_that_lost_its_data_is_a_reset(stream: Stream, spring_listener: Listener) -> None:
    """Also when its ids begin before the position; what it publishes from then on is heard."""
    stream.append(1, sid="s1")
    eventually(lambda: spring_listener.is_over(iss=ISS, aud="portal", sub="u", sid="s1"))

    stream.client.flushall()
    stream.append(1, at_ms=1_000, sid="s2")

    eventually(lambda: spring_listener.resets == 1)
    eventually(lambda: spring_listener.is_over(iss=ISS, aud="portal", sub="u", sid="s2"))


def test_the_rights_of_a_listener_are_enough(stream: Stream, spring: Driver) -> None:
    """Those that docs/events.md gives a user who hears everything and acknowledges."""
    page = (HERE.parents[2] / "docs" / "events.md").read_text()
    (rights,) = re.findall(r"^ACL SETUSER listener on >secret (.*)$", page, re.MULTILINE)
    stream.client.execute_command("ACL", "SETUSER", "listener", "on", ">secret", *rights.split())
    with Listener(spring, stream.url.replace("redis://", "redis://listener:secret@")) as listener:
        stream.append(1, sid="s1")

        eventually(lambda: listener.is_over(iss=ISS, aud="portal", sub="u", sid="s1"))
        eventually(lambda: stream.client.exists("{logout}:acks:1"))


def test_what_is_no_event_is_passed_over(stream: Stream, spring_listener: Listener) -> None:
    """An entry that cannot be read does not stop the next one."""
    numbers = itertools.count(1)
    for event in (b"", b"[]", b'{"type": "other"}', b'{"a":' * 200):
        stream.client.xadd(STREAM, {"event": event, "n": next(numbers)})
    stream.append(next(numbers), sid="after")

    eventually(lambda: spring_listener.is_over(iss=ISS, aud="portal", sub="u", sid="after"))
    assert spring_listener.resets == 0


@pytest.mark.usefixtures("spring_listener")
def test_what_was_acted_on_is_acknowledged(stream: Stream) -> None:
    """In the app's name, and that it listens too."""
    instances: Any = eventually(lambda: stream.client.zrange("{logout}:instances", 0, -1))
    assert instances[0].startswith(b"driver/")

    stream.append(1, sid="s1")

    acknowledged: Any = eventually(lambda: stream.client.hgetall("{logout}:acks:1"))
    assert [name.split(b"/")[0] for name in acknowledged] == [b"driver"]
    answers: Any = stream.client.lrange("{logout}:acks", 0, -1)
    assert answers[0].startswith(b"1 ")


def test_a_process_that_ends_says_goodbye(stream: Stream, spring: Driver) -> None:
    """Nobody waits for its acknowledgements any more."""
    with Listener(spring, stream.url):
        eventually(lambda: stream.client.zcard("{logout}:instances"))

    eventually(lambda: not stream.client.exists("{logout}:instances", "{logout}:instances:since"))


def test_the_script_of_acknowledgements_is_the_projects() -> None:
    """Line by line, comments aside."""
    java = (EXAMPLE / "src/main/java/com/example/signout/Acknowledgements.java").read_text()
    script = java.partition('"""')[2].partition('"""')[0]
    theirs = (HERE.parents[2] / "receiver/bus/lua/acknowledge.lua").read_text()

    def code(text: str) -> list[str]:
        lines = (line.strip() for line in text.splitlines())
        return [line for line in lines if line and not line.startswith("--")]

    assert code(script) == code(theirs)


def test_outages_are_waited_out(spring: Driver, tmp_path: Path) -> None:
    """It starts without Redis, and hears what is published once there is one, and after a restart of it."""
    with EmbeddedRedis(directory=tmp_path, arguments=("--appendonly", "yes")) as server:
        url, port = server.url, int(server.url.rpartition(":")[2].partition("/")[0])
    listener = Listener(spring, url)
    spring.do("msal.listen", listener=listener.name, redis=url)
    try:
        for number in (1, 2):
            with EmbeddedRedis(port=port, directory=tmp_path, arguments=("--appendonly", "yes")) as server:
                stream = Stream(server.url)
                stream.append(number, sid=f"s{number}")
                heard = functools.partial(listener.is_over, iss=ISS, aud="portal", sub="u", sid=f"s{number}")
                eventually(heard)
                stream.client.close()
            eventually(lambda: not listener.is_listening)
        assert listener.resets == 0
    finally:
        spring.do("msal.deaf", listener=listener.name)
