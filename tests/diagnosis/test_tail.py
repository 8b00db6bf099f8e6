"""`receiver tail`: what is printed for each eviction, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events.stream import Entry
from receiver.bus.keys import KeyNames
from receiver.bus.link.connection import Failure
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.core.cursor import Cursor
from receiver.core.eviction import Eviction
from receiver.diagnosis import tail
from receiver.ops.settings import Settings
from tests.support.bad_entries import ALL, Bad
from tests.support.clock import NOW

if TYPE_CHECKING:
    import redis.asyncio

    from tests.diagnosis.conftest import Command

START = Cursor("0-0")
EVENT_ID = "0123456789abcdef0123456789abcdef"


def eviction(**changes: Any) -> Eviction:
    """An eviction of alice's session."""
    fields: dict[str, Any] = {
        "id": EVENT_ID,
        "tenant": "t1",
        "iss": "https://op.example/t1",
        "client_id": "c1",
        "sub": "alice",
        "sid": "s1",
        "jti": "j1",
        "scope": "session",
        "logout_at": NOW,
        "received_at": NOW + 1,
        **changes,
    }
    return Eviction(**fields)


def entry(number: int | None = 1, event: str | None = None, **changes: Any) -> Entry:
    """A stream entry published 1.25 s after the logout."""
    text = eviction(**changes).to_json() if event is None else event
    return Entry(f"{NOW * 1000 + 1250}-0", number, text.encode())


def test_one_line_for_each_eviction() -> None:
    """Time, tenant, input, scope, client, event id and delay, in the columns of the heading."""
    line = tail.to_text(tail.to_line(entry(), START), show_subject=False)

    assert ["2026-11-20T12:00:01.250Z", "t1", "backchannel", "session", "c1", EVENT_ID, "1.2", "s"] == line.split()
    assert len(tail.HEADER) == len(line)
    assert tail.HEADER.index("EVENT ID") == line.index(EVENT_ID)


def test_json_shape() -> None:
    """One object on one line; `sub` and `sid` only on request."""
    line = tail.to_line(entry(client_id=None, input="admin"), START)
    expected = {
        "entry_id": f"{NOW * 1000 + 1250}-0",
        "published_at": NOW + 1.25,
        "missed": 0,
        "readable": True,
        "problem": None,
        "id": EVENT_ID,
        "tenant": "t1",
        "iss": "https://op.example/t1",
        "client_id": None,
        "input": "admin",
        "scope": "session",
        "applies_to": "tenant",
        "logout_at": NOW,
        "delay_s": 1.25,
    }

    assert expected == json.loads(tail.to_json(line, show_subject=False))
    assert {**expected, "sub": "alice", "sid": "s1"} == json.loads(tail.to_json(line, show_subject=True))


def test_subject_on_request() -> None:
    """`--show-subject` appends `sub` and `sid`; control characters in them are escaped."""
    line = tail.to_line(entry(sub="al\x1b[2Jice", sid=None), START)

    assert "alice" not in tail.to_text(line, show_subject=False)
    assert tail.to_text(line, show_subject=True).endswith("sub al\\u001b[2Jice  sid -")


def test_missed_entries_are_said() -> None:
    """A jump in the numbers is a line of its own, before the eviction."""
    line = tail.to_line(entry(number=5), Cursor("1-0", 2))

    assert 2 == line.missed
    assert tail.to_text(line, show_subject=False).startswith("! 2 evictions were trimmed before they could be read\n")


def test_entry_of_another_version() -> None:
    """An entry that is no event of ours is named by its id, with the reason and nothing of its content."""
    bad = entry(event='{"type": "logout-receiver.eviction.v9"}')
    line = tail.to_line(bad, START)

    assert f"! entry {bad.entry_id} is skipped: " in tail.to_text(line, show_subject=False)
    shown = json.loads(tail.to_json(line, show_subject=True))
    assert {"entry_id", "published_at", "missed", "readable", "problem"} == set(shown)
    assert (False, True) == (shown["readable"], bool(shown["problem"]))


def test_entry_without_a_number() -> None:
    """It is noted, its event is printed, and the number after it is no gap."""
    line = tail.to_line(entry(number=None), Cursor("1-0", 4))
    text = tail.to_text(line, show_subject=False)

    assert text.startswith(f"! entry {line.entry.entry_id}: ")
    assert EVENT_ID in text
    assert 0 == tail.to_line(entry(number=6), Cursor("1-0", 4).after("2-0", None)).missed


@pytest.mark.parametrize("milliseconds", [2**64 - 1, 253_402_300_800_000])
def test_entry_id_that_is_no_date(milliseconds: int) -> None:
    """An entry that something else named beyond the year 9999 is printed like any other."""
    far = Entry(f"{milliseconds}-0", 1, eviction().to_json().encode())
    line = tail.to_text(tail.to_line(far, START), show_subject=False)

    assert line.startswith("no date ")
    assert EVENT_ID in line


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name.replace(" ", "_"))
async def test_goes_on_after_any_entry(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, bad: Bad
) -> None:
    """Whatever else stands in the stream, a line says so, and the next eviction is printed."""
    settings = Settings(redis={"url": redis_server.url})
    lines = tail.follow(settings, print)
    started = asyncio.ensure_future(anext(lines))
    await publish_until_seen(redis_client, started)
    await redis_client.set(KeyNames().sequence, 1000)
    await redis_client.xadd(KeyNames().events, {"event": eviction().to_json(), "n": 1000})
    entry_id = await bad.add(redis_client)
    await redis_client.xadd(KeyNames().events, {"event": eviction(id="after").to_json(), "n": 1001 + bad.uses_number})
    async with asyncio.timeout(20):
        while (line := await anext(lines)).entry.entry_id != entry_id:
            pass
        after = await anext(lines)
    await lines.aclose()
    assert line.problem
    assert bad.heard == (line.eviction is not None)
    for shown in (line, after):
        assert json.loads(tail.to_json(shown, show_subject=True))
        assert tail.to_text(shown, show_subject=True)
    assert after.eviction is not None
    assert ("after", 0, "") == (after.eviction.id, after.missed, after.problem)


async def publish_until_seen(client: redis.asyncio.Redis, seen: asyncio.Future[Any]) -> None:
    """Publish evictions until a reader that starts at its own time has seen one."""
    number = 0
    while not seen.done():
        number += 1
        with contextlib.suppress(*Failure):
            await client.xadd(KeyNames().events, {"event": eviction().to_json(), "n": number})
        await asyncio.wait([seen], timeout=0.02)


async def test_only_what_is_published_from_now_on(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """Evictions already in the stream are not printed, later ones are."""
    await redis_client.xadd(KeyNames().events, {"event": eviction(tenant="old").to_json(), "n": 0})
    lines = tail.follow(Settings(redis={"url": redis_server.url}), pytest.fail)

    first = asyncio.ensure_future(anext(lines))
    await publish_until_seen(redis_client, first)

    seen = first.result().eviction
    assert seen is not None
    assert "t1" == seen.tenant
    await lines.aclose()


async def test_outage_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is away one warning is given, and one when it comes back empty; then evictions are printed again."""
    monkeypatch.setattr(tail, "RECONNECT_S", 0.01)
    warned = asyncio.Event()
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        warned.set()

    with EmbeddedRedis() as server:
        client = redis_of(server)
        lines = tail.follow(Settings(redis={"url": server.url}), warn)
        first = asyncio.ensure_future(anext(lines))
        await publish_until_seen(client, first)
        server.kill()
        second = asyncio.ensure_future(anext(lines))
        await warned.wait()
        server.start()
        await publish_until_seen(client, second)
        await lines.aclose()
        await client.aclose()

    away, lost = warnings
    assert "cannot read the event stream" in away
    assert "evictions were missed" in lost


def redis_of(server: EmbeddedRedis) -> redis.asyncio.Redis:
    """A client that gives up at once."""
    import redis.asyncio

    return redis.asyncio.Redis.from_url(server.url, socket_timeout=1)


async def test_embedded_redis_cannot_be_followed(command: Command) -> None:
    """With nothing configured there is no Redis to follow: a usage error that says so."""
    ran = await command("tail")

    assert (2, "") == (ran.code, ran.out)
    assert "redis.url is embedded" in ran.err


def test_interrupt_ends_it_well(redis_server: EmbeddedRedis) -> None:
    """Ctrl-C is how one leaves: exit code 0, nothing on stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "receiver", "tail", "--set", f"redis.url={redis_server.url}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them ignore it, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no thread holds a lock here
    ) as child:
        assert child.stdout is not None
        heading = child.stdout.readline()

        child.send_signal(signal.SIGINT)
        try:
            _, err = child.communicate(timeout=60)
        finally:
            child.kill()

    assert tail.HEADER == heading.rstrip("\n")
    assert (0, "") == (child.returncode, err)
