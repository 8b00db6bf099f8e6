"""Wrong set-ups, each as an operator makes it: the first line of `receiver doctor` names the cause and the cure."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from tests.diagnosis.setups import METADATA, SETUPS, DatedOP, Line, World
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.diagnosis.conftest import Command


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[EmbeddedRedis, EmbeddedRedis]]:
    """A master with an append-only file, and its replica."""
    durable = ("--appendonly", "yes")
    with (
        EmbeddedRedis(arguments=durable) as master,
        EmbeddedRedis(arguments=(*durable, "--replicaof", f"127.0.0.1 {master.port}")) as replica,
    ):
        yield master, replica


@pytest.fixture
async def world(servers: tuple[EmbeddedRedis, EmbeddedRedis], clock: Any, tmp_path: Path) -> AsyncIterator[World]:
    """A set-up that is right; what a test changes at the master is put back."""
    master, replica = servers
    connected = redis.asyncio.Redis.from_url(master.url, decode_responses=True)
    with ExitStack() as stack:
        async with connected as admin, DatedOP(clock) as op:
            op.metadata = dict(METADATA)
            await admin.flushall()

            async def has_replica() -> bool:
                return int((await admin.info("replication"))["connected_slaves"]) == 1

            await until(has_replica)
            kept: Any = await admin.config_get("maxmemory", "maxmemory-policy", "appendonly")
            world = World(master, replica, admin, op, tmp_path, stack)
            world.redis(master.url)
            world.tenant()
            yield world
            await admin.config_set(*[part for setting in kept.items() for part in setting])


async def said_first(command: Command, world: World) -> tuple[int, Line, str]:
    """The exit code, the first check, and its whole text."""
    config = world.folder / "receiver.yaml"
    config.write_text(json.dumps(world.settings))
    ran = await command("doctor", "--config", str(config), "--json")
    if ran.code == 2:  # exit code of settings that cannot be used
        return ran.code, Line("settings", "", "refused", ()), ran.err.splitlines()[0]
    [first, *_] = ran.json["checks"]
    line = Line(first["area"], first["check"], first["outcome"], ())
    return ran.code, line, f"{first['text']}. {first['fix']}"


async def test_a_good_set_up(command: Command, world: World) -> None:
    """Nothing is wrong with the one that the tests break."""
    code, first, _ = await said_first(command, world)
    assert (0, "ok") == (code, first.outcome)


@pytest.mark.parametrize("name", SETUPS)
async def test_the_first_line(command: Command, world: World, name: str) -> None:
    """It is about what is wrong, and says what to change."""
    breaks, code, expected = SETUPS[name]
    if (broken := breaks(world)) is not None:
        await broken

    exited, first, text = await said_first(command, world)

    assert (code, expected.area, expected.check, expected.outcome) == (
        exited,
        first.area,
        first.check,
        first.outcome,
    ), text
    assert all(part in text for part in expected.names), text
