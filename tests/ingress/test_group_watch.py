"""The progress of consumer groups in metrics and log, and a warning before the stream drops what they have not read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from receiver.bus.events.groups import GroupMember, Progress, progress
from receiver.bus.events.publish import Retention
from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction
from receiver.ingress.group_watch import MANY, GroupWatch
from receiver.ops.metrics import Metrics
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    import pytest
    import redis.asyncio

KEYS = KeyNames()


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """The fields of these lines, in order."""
    return [record.fields for record in caplog.records if record.getMessage() == event]  # type: ignore[attr-defined]


def test_a_storm(caplog: pytest.LogCaptureFixture) -> None:
    """How many wait, how fast they go, how long it takes: while many wait, and once more when that is over."""
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    watch = GroupWatch(metrics, Retention())
    for second, waiting in ((0.0, MANY * 4), (2.0, MANY * 2), (4.0, 0), (6.0, 0)):
        watch.show([Progress("evictor", waiting, 0, handled=MANY * 4 - waiting)], now_s=second)
        if second == 2.0:
            sample = metrics.registry.get_sample_value
            assert MANY == sample("logout_group_handled_per_second", {"group": "evictor"})
            assert 2.0 == sample("logout_group_left_seconds", {"group": "evictor"})
    assert [(MANY * 4, None), (MANY * 2, 2), (0, 0)] == [
        (fields["waiting"], fields["left_s"]) for fields in said(caplog, "group.progress")
    ]


def test_what_is_not_read_is_about_to_be_trimmed(caplog: pytest.LogCaptureFixture) -> None:
    """Half of the stream's room is used, by number or by age: one warning, and another one when it happens again."""
    watch = GroupWatch(Metrics(), Retention(max_events=100, max_age_s=1000))
    few, many, old = Progress("a", 10, 0), Progress("a", 50, 0), Progress("a", 1, 0, waits_s=600.0)
    for second, group in enumerate((few, many, many, few, old)):
        watch.show([group], now_s=float(second))
    assert [0.5, 0.6] == [fields["used"] for fields in said(caplog, "group.overrun")]


def test_a_group_that_is_gone() -> None:
    """It leaves no series."""
    metrics = Metrics()
    watch = GroupWatch(metrics, Retention())
    watch.show([Progress("a", 1, 0)], now_s=0.0)
    watch.show([], now_s=1.0)
    assert [] == [sample for gauge in metrics.of_group for metric in gauge.collect() for sample in metric.samples]


async def test_what_was_trimmed_unread_waits_no_longer(redis_client: redis.asyncio.Redis) -> None:
    """Once the group has read on: some versions of Redis count it for ever, as if the group were that far behind."""
    publisher = publisher_to(redis_client)
    member = GroupMember(redis_client, KEYS, group="g", worker="w", lookback_s=3600.0, reset_lease_s=60.0)

    async def read(count: int) -> None:
        await member.done([entry.entry_id for entry in (await member.read(count)).entries])

    for number in range(20):
        name = f"e{number}"
        await publisher.publish(
            Eviction(id=name, tenant="t1", iss="https://op", sub="u", scope="user", logout_at=1, received_at=1.0)
        )
        if number == 4:
            await read(5)
    assert [15] == [group.lag for group in await progress(redis_client, KEYS)]
    await redis_client.xtrim(KEYS.events, maxlen=3, approximate=False)
    await read(20)
    assert [(0, 20)] == [(group.lag, group.handled) for group in await progress(redis_client, KEYS)]
