"""Redis answers with an error in the middle of a receiver's work: it recovers by itself and loses nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from tests.support.asked_often import asked_often
from tests.support.receiver import Receiver, start_receiver, t1
from tests.support.refusing import ERRORS, Refusing
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """Asked often whether it takes events."""
    with asked_often(monkeypatch) as running:
        yield running


async def published(receiver: Receiver) -> list[str]:
    """The `jti` of each event."""
    return [event["data"]["jti"] for event in await receiver.events()]


@pytest.mark.parametrize("has_outbox", [False, True], ids=["without an outbox", "with an outbox"])
async def test_nothing_is_lost(  # noqa: PLR0917  # fixtures
    server: EmbeddedRedis, clock: Clock, op: OP, tmp_path: Path, caplog: pytest.LogCaptureFixture, has_outbox: bool
) -> None:
    """Whichever error it is: 200 at once or when sent again, each event is there once, and one line says the outage."""
    caplog.set_level(logging.INFO)
    sections: dict[str, Any] = {"outbox": {"path": str(tmp_path / "outbox.db")}} if has_outbox else {}
    sent = []
    async with (
        redis.asyncio.Redis.from_url(server.url) as client,
        Refusing(server.port) as relay,
        start_receiver(relay.url, client, clock, [t1(op)], redis={"publish_timeout_s": 0.1}, **sections) as receiver,
    ):
        for name, error in ERRORS.items():
            caplog.clear()
            token = op.token(jti=name)
            sent.append(name)
            relay.refuse(error)
            assert (200 if has_outbox else 503) == (await receiver.post(token)).status
            await until(lambda: "redis.down" in {record.getMessage() for record in caplog.records})
            relay.take()

            async def is_taken(token: str = token) -> bool:
                return (await receiver.post(token)).status == 200

            await until(is_taken)
            await until(lambda: "redis.up" in {record.getMessage() for record in caplog.records})
            said = [record.getMessage() for record in caplog.records]
            assert (1, 1) == (said.count("redis.down"), said.count("redis.up"))

        async def are_published() -> bool:
            return len(await published(receiver)) >= len(sent)

        await until(are_published)
        assert sent == sorted(await published(receiver), key=sent.index)
