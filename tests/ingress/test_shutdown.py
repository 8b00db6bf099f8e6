"""`receiver serve` as a process told to stop under load: every request that reached it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from receiver.runtime.listener import IDLE_S
from tests.support.receiver import FORM

if TYPE_CHECKING:
    from pathlib import Path

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

DEADLINE_S = 50.0
CLIENTS = 24
ANSWERS_EACH = 5
"""Answers every client has on its connection before the process is told to stop."""


@dataclass
class Count:
    """What the clients saw."""

    answers: list[int] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of the next answer, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return int(head.split()[1]), b"\r\nconnection: close\r\n" in head


async def keeps_asking(port: int, request: bytes, count: Count, warm: asyncio.Event) -> None:
    """One keep-alive client that sends as fast as it is answered, until the port is closed.

    On a busy machine that may be slow: a connection that was idle for as long as the service waits may be cut.
    """
    for_this_client = 0
    while True:
        asked = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        try:
            closes = False
            while not closes:
                before, asked = asked, time.monotonic()
                writer.write(request)
                try:
                    status, closes = await answer(reader)
                except (asyncio.IncompleteReadError, ConnectionError) as error:
                    if asked - before < IDLE_S:
                        count.unanswered.append(f"{type(error).__name__} after {for_this_client} answers")
                    return
                count.answers.append(status)
                for_this_client += 1
                if for_this_client == ANSWERS_EACH:
                    warm.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize("round_number", range(4))
async def test_nothing_is_left_unanswered(
    tmp_path: Path, redis_server: EmbeddedRedis, redis_client: object, op: OP, round_number: int
) -> None:
    """Clients with connections in use, told that each answer is the last one, lose no request; the exit code is 0."""
    del redis_client
    config = tmp_path / "config.json"
    settings: dict[str, Any] = {
        "public": {"host": "127.0.0.1", "port": 0},
        "internal": {"port": 0},
        "redis": {"url": redis_server.url},
        # As a balancer that is slow to notice, and as one that is not there.
        "shutdown": {"delay_s": 0.3 * (round_number % 2), "drain_s": 20},
        "tenants": [{"name": "t1", "issuer": op.issuer, "client_ids": ["c1"], "max_age_s": 1e9}],
        "events": {"dedupe_s": 2_000_000_000},
    }
    config.write_text(json.dumps(settings))
    body = urlencode({"logout_token": op.token(exp=4_000_000_000)}).encode()
    fields = f"Host: a\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}\r\n\r\n"
    head = f"POST /backchannel-logout HTTP/1.1\r\n{fields}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "receiver", "serve", "--config", str(config), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    count = Count()
    try:
        async with asyncio.timeout(DEADLINE_S):
            line: dict[str, Any] = {"event": ""}
            while line["event"] != "startup":
                line = json.loads(await process.stdout.readline())
            port = int(line["public"].rpartition(":")[2])
            reading = asyncio.create_task(process.stdout.read())
            warm = [asyncio.Event() for _ in range(CLIENTS)]
            clients = [asyncio.create_task(keeps_asking(port, head.encode() + body, count, event)) for event in warm]
            await asyncio.gather(*(event.wait() for event in warm))
            process.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)
            await reading
            assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert [] == count.unanswered
    assert {200} == set(count.answers)
    assert len(count.answers) > CLIENTS * ANSWERS_EACH
