"""A listener that was stopped answers at once, and does not wait for Redis, which it no longer asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.listeners.run import play
from tests.listeners.situations import Situation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.listeners.kit import Kit

QUESTIONS = 30
"""Each would wait two seconds."""

WITHIN_S = 30.0
"""Seconds for all of them on a busy machine; they usually take less than a millisecond."""


async def stopped(kit: Kit) -> None:
    """A session it was not asked about before."""
    await kit.start()
    await kit.listens()
    await kit.listener.call("stop")
    claims = kit.world.session("new")
    await kit.listener.call("loop", claims=claims, times=QUESTIONS, within_s=WITHIN_S)
    await kit.expect(claims, "unknown", "a session it was not asked about before it was stopped")


async def test_it_says_unknown_at_once(listener: Path) -> None:
    """A request that comes while an app stops is not held up."""
    row = await play(Situation("stopped", "U2", stopped), str(listener), logouts=1)
    assert "ok" == row.outcome, (row.said, row.log)
