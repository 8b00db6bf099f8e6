"""Sees that Redis has come back without its data, and writes the epoch that tells every app so, now and later."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from receiver.bus.link.connection import Failure
from receiver.bus.sign_ins.epoch import begin_if_lost
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import redis.asyncio

    from receiver.bus.keys import Keys

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
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: Keys, in_use: Iterable[str], *, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._keys = keys
        self._in_use = list(in_use)[:MAX_ASKED]
        self._clock = clock

    async def check(self) -> None:
        """Look now. Outages are waited out by the next look."""
        try:
            epoch = await begin_if_lost(self._client, self._keys, now_s=self._clock(), in_use=self._in_use)
        except Failure:
            return
        # Only the first look can find an installation in use: afterwards the epoch is there, or all is lost.
        self._in_use = []
        if epoch:
            emit(
                log, logging.WARNING, "epoch.begun", at=epoch,
                action="Redis holds no logouts, so apps end the sessions that began before; right at the first start, "
                "else give Redis a disk",
            )  # fmt: skip

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.check()
