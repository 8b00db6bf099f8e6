"""What the tests of consumers share: evictions by name, a running consumer, waiting for something to become true."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from receiver.bus.keys import KeyNames
from receiver.consumer import GroupSubscriber
from receiver.core.eviction import Eviction
from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import redis.asyncio

    from receiver.consumer.reader import Reader

DEADLINE_S = 60.0
TOLD_S = 5.0

Made = TypeVar("Made")


def eviction(name: str, received_at: float = 1.0) -> Eviction:
    """An eviction told apart by its id."""
    return Eviction(
        id=name, tenant="t1", iss="https://op", sub="u", jti=f"jti-{name}", scope="user", logout_at=1,
        received_at=received_at,
    )  # fmt: skip


def noting(kind: Callable[..., Made], url: str, heard: list[str], **options: Any) -> Made:
    """A consumer of the app `portal` that notes what it is told: ids of evictions, and `reset`."""
    options = {"app": "portal", "on_reset": lambda: heard.append("reset"), **options}
    return kind(url, lambda e: heard.append(e.id), **options)


@contextlib.asynccontextmanager
async def running(*readers: Reader) -> AsyncIterator[None]:
    """These consumers run for as long as the block."""
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        yield
        await told(*readers)
    finally:
        for task in tasks:
            await cancel(task)


async def told(*readers: Reader) -> None:
    """Wait until Redis knows of what these have handled; one that ends at once has a second for it, and may miss it."""
    with contextlib.suppress(TimeoutError):  # it may have no Redis
        async with asyncio.timeout(TOLD_S):
            while any(owes(reader) for reader in readers):
                await asyncio.sleep(0.01)


def owes(reader: Reader) -> bool:
    """Whether a handler has returned, Redis does not know it yet, and nothing keeps it from being told."""
    handled = reader._done if isinstance(reader, GroupSubscriber) else []
    return bool(handled or (reader._acks and reader._acks._waiting and not reader._acks.problem))


async def pending(client: redis.asyncio.Redis) -> int:
    """Entries given to a worker and not handled yet."""
    summary: Any = await client.xpending(KeyNames().events, "portal")
    return int(summary["pending"])
