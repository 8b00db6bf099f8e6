"""Fixtures: a clock, a real Redis, an OP, a receiver."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis.asyncio
from hypothesis import HealthCheck, settings

from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.ops.logs import JsonFormatter
from tests import deep
from tests.support.clock import Clock
from tests.support.needed import LackingError
from tests.support.op import OP
from tests.support.pace import quicken
from tests.support.read_once import read_once
from tests.support.receiver import Receiver, start_receiver, t1

# How long an example takes is a matter of the machine.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

read_once()

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

MAX_ID = 80
"""Characters of a parameter that may be part of a test's name."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """What may be random is not in a test's name: processes that run tests side by side must agree on the names."""
    return argname if isinstance(val, bytes) or (isinstance(val, str) and len(val) > MAX_ID) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Before `-m` chooses among them."""
    deep.mark(item, Path(__file__).parent)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """A fixture may find that the machine lacks something."""
    with _lacking():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """So may a test."""
    with _lacking():
        return (yield)


@contextlib.contextmanager
def _lacking() -> Iterator[None]:
    try:
        yield
    except LackingError as lacking:
        if os.environ.get("CI"):
            pytest.fail(str(lacking))
        pytest.skip(str(lacking))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> deep.ByDirectory | None:
    """With `--dist loadgroup` a directory of tests is run by one process."""
    return deep.ByDirectory(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RECEIVER_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that a test runs in this process sends the log to a stream that is closed when the test is over."""
    loggers = {logger: logger.level for logger in (logging.getLogger(), logging.getLogger("receiver"))}
    yield
    for logger, level in loggers.items():
        logger.setLevel(level)
        for handler in logger.handlers[:]:
            if isinstance(handler.formatter, JsonFormatter):
                logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def _garbage_as_before() -> Iterator[None]:
    """What such a command sets aside from the garbage collector is not among the objects that others look through."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _jobs_look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
async def redis_client(redis_server: EmbeddedRedis) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the suite's Redis, emptied for each test, but in use: it is not one that has lost its logouts."""
    client = redis.asyncio.Redis.from_url(redis_server.url)
    await client.flushall()
    await client.set(KeyNames().epoch, 0)
    yield client
    await client.aclose()


@pytest.fixture
async def op(clock: Clock) -> AsyncIterator[OP]:
    async with OP(clock) as running_op:
        yield running_op


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Receiver]:
    """A receiver for tenant t1, client c1, strict defaults."""
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as running_receiver:
        yield running_receiver
