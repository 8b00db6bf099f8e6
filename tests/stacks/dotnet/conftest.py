"""Fixtures: a receiver that believes it is a few minutes after the recordings, and an evictor beside it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.cli import _parser
from tests.stacks.dotnet.recorded import LOGOUT_AT
from tests.stacks.dotnet.rig import LOOKS_AGAIN_S, TOKEN, Rig, tenants
from tests.stacks.python.programs import Program
from tests.support.clock import Clock
from tests.support.op import OP
from tests.support.receiver import start_receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.embedded import EmbeddedRedis


@pytest.fixture
async def rig(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, tmp_path: Path) -> AsyncIterator[Rig]:
    """Empty; `start` runs the evictor."""
    if "\n    evict" not in _parser().format_help():
        pytest.skip("there is no evictor yet")
    clock = Clock(LOGOUT_AT)
    async with OP(clock) as op:
        sections: dict[str, Any] = {"internal": {"token": TOKEN}}
        with contextlib.ExitStack() as evictors:

            async def evict(caches: list[dict[str, Any]]) -> None:
                config = tmp_path / "receiver.json"
                config.write_text(
                    json.dumps(
                        {
                            "internal": {"host": "127.0.0.1", "port": 0},
                            "redis": {"url": redis_server.url},
                            "tenants": tenants(op),
                            "caches": caches,
                            "evictor": {"recheck_s": LOOKS_AGAIN_S},
                        }
                    )
                )
                command = ["-m", "receiver", "evict", "--config", str(config)]
                running = evictors.enter_context(Program(command, tmp_path / "evict.log", directory=tmp_path))
                running.wait_for_line("startup")

            async with start_receiver(redis_server.url, redis_client, clock, tenants(op), **sections) as receiver:
                yield Rig(redis_client, receiver, op, evict)
