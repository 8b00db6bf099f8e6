"""The .NET examples' reader of the event stream, compiled with Mono, on a real Redis with a real receiver."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.listeners.signs import MAX_BATCH, acknowledgements_in
from tests.stacks.dotnet.mono_build import build
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

TOKEN = "internal-token-of-the-tests"
DEADLINE_S = 30.0
"""Seconds a line may take on a busy machine; it usually takes a quarter."""


class Listener:
    """`Listen.exe`, running: its lines in order."""

    def __init__(self, program: Path, end_point: str) -> None:
        self._command = ["mono", str(program), end_point]
        self._lines: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.leave()
        finally:
            self._process.kill()
            self._process.wait()
            self._thread.join(DEADLINE_S)
            if self._process.stdout is not None:
                self._process.stdout.close()

    def next(self) -> str:
        """The next line it prints."""
        return self._lines.get(timeout=DEADLINE_S)

    def leave(self) -> None:
        """Stop it as an app is stopped, and wait until it has said goodbye."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.wait(DEADLINE_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled once."""
    return build(tmp_path_factory.mktemp("listen"), "Listen")


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Receiver]:
    """A receiver whose API may be called."""
    sections: dict[str, Any] = {"internal": {"token": TOKEN}}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], **sections) as running:
        yield running


@pytest.fixture
def end_point(redis_server: EmbeddedRedis) -> str:
    """As StackExchange.Redis writes it."""
    return redis_server.url.removeprefix("redis://").partition("/")[0]


async def order(receiver: Receiver, user: str) -> str:
    """Sign a user out; the id of the event."""
    url, headers = f"{receiver.internal}/v1/evictions", {"Authorization": f"Bearer {TOKEN}"}
    async with receiver.http.post(url, json={"tenant": "t1", "sub": user}, headers=headers) as answer:
        assert answer.status == 202
        return str((await answer.json())["id"])


async def apps(receiver: Receiver, event_id: str) -> dict[str, Any]:
    """What the trace says of each app."""
    url, headers = f"{receiver.internal}/v1/evictions/{event_id}", {"Authorization": f"Bearer {TOKEN}"}
    async with receiver.http.get(url, headers=headers) as answer:
        return {app["app"]: app for app in (await answer.json())["apps"]}


async def test_it_hears_what_was_published_before_and_after_its_start(
    receiver: Receiver, program: Path, end_point: str
) -> None:
    """From 60 seconds before its start on, in order, with the accounts."""
    await order(receiver, "before")
    with Listener(program, end_point) as listener:
        assert {listener.next(), listener.next()} == {"forget before before", "caught-up"}
        for user in ("alice", "bob"):
            await order(receiver, user)
        assert [listener.next(), listener.next()] == ["forget alice alice", "forget bob bob"]


async def test_older_events_are_only_remembered(
    receiver: Receiver, redis_client: redis.asyncio.Redis, program: Path, end_point: str
) -> None:
    """A sign-out long before the start refuses cookies and clears nothing."""
    await order(receiver, "old")
    entries: Any = await redis_client.xrange("{logout}:events")
    [(_, fields)] = entries
    await redis_client.delete("{logout}:events")
    await redis_client.xadd("{logout}:events", fields, id=f"{int(time.time() - 3600) * 1000}-0")
    with Listener(program, end_point) as listener:
        assert {listener.next(), listener.next()} == {"recall old", "caught-up"}


async def test_missed_events_are_noticed(
    receiver: Receiver, redis_client: redis.asyncio.Redis, program: Path, end_point: str
) -> None:
    """A gap in the numbers, and a Redis that lost its data, both end in a reset; later events are heard."""
    with Listener(program, end_point) as listener:
        assert listener.next() == "caught-up"
        await order(receiver, "alice")
        assert listener.next() == "forget alice alice"
        await redis_client.incr("{logout}:sequence")
        await order(receiver, "bob")
        assert [listener.next(), listener.next()] == ["reset", "forget bob bob"]
        await redis_client.flushall()
        assert listener.next() == "reset"
        await order(receiver, "carol")
        assert listener.next() == "forget carol carol"


@pytest.mark.parametrize("number", [b"abc", b"9" * 300, b"-1", b"\xff", None])
async def test_an_entry_without_a_number_stops_nothing(
    receiver: Receiver, redis_client: redis.asyncio.Redis, program: Path, end_point: str, number: bytes | None
) -> None:
    """Its event is handled, and the next one follows without a reset, after a restart too."""
    await order(receiver, "alice")
    entries: Any = await redis_client.xrange("{logout}:events")
    [(_, fields)] = entries
    del fields[b"n"]
    await redis_client.xadd("{logout}:events", fields if number is None else {**fields, b"n": number})
    await order(receiver, "bob")
    for _ in range(2):
        with Listener(program, end_point) as listener:
            heard = sorted(listener.next() for _ in range(4))
            assert ["caught-up", "forget alice alice", "forget alice alice", "forget bob bob"] == heard


async def test_the_trace_shows_it(
    receiver: Receiver, redis_client: redis.asyncio.Redis, program: Path, end_point: str
) -> None:
    """What it has handled is acknowledged, what its handler refused is not, and it says goodbye when it stops."""
    with Listener(program, end_point) as listener:
        assert listener.next() == "caught-up"
        refused = await order(receiver, "refused")
        handled = await order(receiver, "alice")
        assert listener.next() == "forget alice alice"
        deadline = time.monotonic() + DEADLINE_S
        while not (await apps(receiver, handled))["dotnet-app"]["done"]:
            assert time.monotonic() < deadline
        assert not (await apps(receiver, refused))["dotnet-app"]["done"]
        listener.leave()
    assert await redis_client.zcard("{logout}:instances") == 0


async def test_many_acknowledgements_go_in_several_calls(
    receiver: Receiver, redis_client: redis.asyncio.Redis, program: Path, end_point: str
) -> None:
    """Redis does nothing else while it runs one."""
    await order(receiver, "alice")
    entries: Any = await redis_client.xrange("{logout}:events")
    event = json.loads(entries[0][1][b"event"])
    names = [f"e{number}" for number in range(2, 2 * MAX_BATCH)]
    for number, name in enumerate(names, start=2):
        await redis_client.xadd("{logout}:events", {"event": json.dumps({**event, "id": name}), "n": number})
    await redis_client.config_set("slowlog-max-len", 1_000)
    await redis_client.config_set("slowlog-log-slower-than", 0)
    with Listener(program, end_point):
        deadline = time.monotonic() + DEADLINE_S
        while await redis_client.exists(*(f"{{logout}}:acks:{name}" for name in names)) < len(names):
            assert time.monotonic() < deadline
    assert MAX_BATCH == max(map(acknowledgements_in, await redis_client.slowlog_get(1_000)))
