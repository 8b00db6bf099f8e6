"""What tests of the outbox ask of a receiver, and how they wait."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.receiver import Receiver


def metric(receiver: Receiver, name: str, **labels: str) -> float:
    """The value of `logout_<name>`."""
    return receiver.server.metrics.registry.get_sample_value(f"logout_{name}", labels) or 0.0


def waiting(receiver: Receiver) -> float:
    """How many evictions are in the outbox."""
    return metric(receiver, "outbox_entries")


async def drained(receiver: Receiver) -> None:
    """Poll until the outbox is empty."""

    async def empty() -> bool:
        return not waiting(receiver)

    await until(empty)


async def readiness(receiver: Receiver) -> tuple[int, dict[str, Any]]:
    """The status of `/readyz` and its checks."""
    async with receiver.http.get(receiver.internal + "/readyz") as response:
        return response.status, json.loads(await response.text())["checks"]


async def noticed(receiver: Receiver, *, up: bool) -> None:
    """Poll until the receiver knows whether Redis answers."""

    async def knows() -> bool:
        return receiver.server.state.redis.up is up

    await until(knows)


def jtis(events: list[dict[str, Any]]) -> list[str]:
    """The tokens behind these events, in their order."""
    return [event["data"]["jti"] for event in events]
