"""Sees that Redis has come back without its data, or with older data, and has every app told so.

Without data: the epoch says it, now and later. With older data a consumer that was running sees by itself that it is
further than the stream. One that starts afterwards cannot; so a number is left out, and every reader takes the gap for
what it is.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from receiver.bus.events.stream import is_still_there
from receiver.bus.link.connection import Failure
from receiver.bus.sign_ins.epoch import begin_if_lost
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import redis.asyncio

    from receiver.bus.keys import KeyNames

log = logging.getLogger("receiver.redis")

MAX_ASKED = 1000
"""Keys asked for as a sign of use; with very many tenants the first will do."""

INTERVAL_S = 2.0
"""Seconds between two looks; in between the next logout that is published sees it, too."""


class EpochWatch:
    """Looks once at the start, and then for as long as `watch` runs.

    Args:
        client: Owned by the caller.
        keys: Key names.
        in_use: Keys that show, where there is no epoch, that this Redis was in use and has lost nothing.
        clock: NumericDate seconds.
        newest: Id of the entry that this receiver has published last; None before the first.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: KeyNames, in_use: Iterable[str], *, clock: Callable[[], float],
        newest: Callable[[], str | None] = lambda: None,
    ) -> None:  # fmt: skip
        self._client = client
        self._keys = keys
        self._in_use = list(in_use)[:MAX_ASKED]
        self._clock = clock
        self._newest = newest
        self._told: str | None = None

    async def check(self) -> None:
        """Look now. Outages are waited out by the next look."""
        try:
            epoch = await begin_if_lost(self._client, self._keys, now_s=self._clock(), in_use=self._in_use)
            await self._look_for(self._newest())
        except Failure:
            return
        # Only the first look can find an installation in use: afterwards the epoch is there, or all is lost.
        self._in_use = []
        if epoch:
            emit(
                log, logging.WARNING, "epoch.begun", at=epoch,
                action="Redis holds no logouts, so apps end all sessions that began before now. This is right at the "
                "first start; later it says that Redis has lost its data: have it keep them on disk",
            )  # fmt: skip

    async def _look_for(self, newest: str | None) -> None:
        if newest is None or newest == self._told or await is_still_there(self._client, self._keys, newest):
            return
        self._told = newest
        await self._client.incr(self._keys.sequence)
        emit(
            log, logging.ERROR, "stream.went_back", entry_id=newest,
            action="Redis came back with older data and has forgotten logouts that were answered 200; every app is "
            "told to drop all sign-ins. See what a 200 means in docs/guarantees.md",
        )  # fmt: skip

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.check()
