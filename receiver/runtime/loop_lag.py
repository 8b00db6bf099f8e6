"""How long the event loop lets ready work wait: one thread does everything, so what occupies it delays every logout."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receiver.ops.process_metrics import ProcessMetrics

INTERVAL_S = 0.25
"""Seconds between two measurements. What occupies the loop for less may fall between two; many short ones do not."""


class LoopLag:
    """Measures the event loop's lag.

    Args:
        metrics: `loop_lag`, one observation each `INTERVAL_S`.
    """

    def __init__(self, metrics: ProcessMetrics) -> None:
        self._metrics = metrics

    async def run(self) -> None:
        """Never returns."""
        while True:
            await self.measure()

    async def measure(self) -> None:
        """Wait for the interval, and observe how much longer it took."""
        loop = asyncio.get_running_loop()
        due = loop.time() + INTERVAL_S
        await asyncio.sleep(INTERVAL_S)
        self._metrics.loop_lag.observe(max(0.0, loop.time() - due))
