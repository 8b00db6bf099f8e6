"""What occupies the event loop shows."""

from __future__ import annotations

import asyncio
import time

from receiver.ops.process_metrics import ProcessMetrics
from receiver.runtime.event_loop import INTERVAL_S, LoopLag


async def test_a_call_that_blocks_the_loop_is_measured() -> None:
    """What blocks the loop for 0.3 s beyond a measurement's end makes that one 0.3 s late at least."""
    metrics = ProcessMetrics()
    measured = asyncio.create_task(LoopLag(metrics).measure())
    await asyncio.sleep(0)

    time.sleep(INTERVAL_S + 0.3)  # noqa: ASYNC251  # blocking is what this is about

    await measured
    assert 1 == metrics.registry.get_sample_value("logout_event_loop_lag_seconds_count")
    assert 0 == metrics.registry.get_sample_value("logout_event_loop_lag_seconds_bucket", {"le": "0.25"})
