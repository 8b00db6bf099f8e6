"""What the apps' acknowledgements say, as metrics: how long each app took, who has gone silent, which group lags."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from receiver.bus.events import acks, groups
from receiver.errors import RedisUnavailableError
from receiver.ingress.group_watch import GroupWatch
from receiver.ops.logs import emit
from receiver.ops.metrics import Labels, Metrics

if TYPE_CHECKING:
    from collections.abc import Collection

    import redis.asyncio

    from receiver.bus.events.publish import Retention
    from receiver.bus.keys import KeyNames

log = logging.getLogger("receiver.acks")

TAKE_EVERY_S = 1.0
"""Seconds between two looks for acknowledgements; only bounds how late the metric shows them."""

SAMPLE_EVERY_S = 15.0
"""Seconds between two looks at who is listening and how far the groups are; a usual scrape interval."""

TAKE_AT_ONCE = 100
"""Acknowledgements taken in one round trip. What is done with more of them holds the event loop, and Redis, for so long
that logouts wait; fewer take more round trips."""

SILENT_AFTER_S = 60.0
"""Seconds without a sign of life after which an app is called silent: six heartbeats."""

MAX_APPS = 100
"""Apps with a label of their own, declared ones aside; further ones are counted as `other`. Apps name themselves."""


class AckWatch:
    """Counts each acknowledgement once over all receivers, and samples what every receiver may sample.

    Args:
        client: Owned by the caller.
        keys: Key names.
        metrics: Where to.
        declared: Apps that should answer; they are silent until heard of.
        seen_s: Seconds an app that is not declared is expected to go on answering.
        retention: How much the stream keeps.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: KeyNames, metrics: Metrics, *, declared: Collection[str],
        seen_s: float, retention: Retention,
    ) -> None:  # fmt: skip
        self._client = client
        self._keys = keys
        self._metrics = metrics
        self._declared = tuple(declared)
        self._seen_s = seen_s
        self._labels = Labels(MAX_APPS + len(self._declared), declared)
        self._silent: dict[str, bool] = {}
        self._heard_of: set[str] = set()
        self._groups = GroupWatch(metrics, retention)
        self._failing = False
        self._overflowed = False

    async def watch(self) -> None:
        """Look until cancelled. Outages of Redis are waited out."""
        since_sample_s = SAMPLE_EVERY_S
        while True:
            try:
                await self.take()
                if since_sample_s >= SAMPLE_EVERY_S:
                    await self.sample()
                    since_sample_s = 0.0
                self._failing = False
            except RedisUnavailableError as error:
                if not self._failing:
                    emit(log, logging.WARNING, "acks.unavailable", reason=error.message)
                self._failing = True
            await asyncio.sleep(TAKE_EVERY_S)
            since_sample_s += TAKE_EVERY_S

    async def take(self) -> None:
        """Count what was acknowledged since a receiver last looked.

        Raises:
            RedisUnavailableError: Redis cannot be read.
        """
        self._overflowed = self._overflowed or await acks.overflowed(self._client, self._keys)
        while True:
            taken = await acks.take(self._client, self._keys, count=TAKE_AT_ONCE)
            for ack in taken:
                if ack.after_s is not None:
                    self._metrics.evicted_seconds.labels(self._labels.of(ack.app)).observe(ack.after_s)
            if len(taken) < TAKE_AT_ONCE:
                return

    async def sample(self) -> None:
        """See who is listening and how far the groups are, and after an overflow give every event's hash a lifetime.

        Raises:
            RedisUnavailableError: Redis cannot be read.
        """
        if self._overflowed:
            await acks.expire_all(self._client, self._keys)
            self._overflowed = False
        heard = await acks.last_heard(self._client, self._keys, forget_after_s=max(acks.KEEP_S, self._seen_s))
        self._show_apps(heard)
        found = await groups.progress(self._client, self._keys)
        self._groups.show(found[:MAX_APPS], now_s=time.monotonic())

    def _show_apps(self, heard: acks.LastHeard) -> None:
        metrics = self._metrics
        lately = {app: at for app, at in heard.at.items() if at >= heard.now_s - self._seen_s}
        last_seen: dict[str, float] = {}
        for app, at in lately.items():
            label = self._labels.of(app)
            last_seen[label] = max(at, last_seen.get(label, 0.0))
        for gone in self._heard_of - last_seen.keys():
            metrics.app_last_seen.remove(gone)
        for gone in self._silent.keys() - last_seen.keys() - set(self._declared):
            metrics.app_silent.remove(gone)
            del self._silent[gone]
        self._heard_of = set(last_seen)
        for app in {*self._declared, *last_seen}:
            at = last_seen.get(app, 0.0)
            silent = at < heard.now_s - SILENT_AFTER_S
            if app in last_seen:
                metrics.app_last_seen.labels(app).set(at)
            metrics.app_silent.labels(app).set(silent)
            if silent is not self._silent.get(app, False):
                self._tell(app, silent=silent, away_s=round(heard.now_s - at) if at else None)
            self._silent[app] = silent

    def _tell(self, app: str, *, silent: bool, away_s: int | None) -> None:
        if silent:
            emit(
                log, logging.WARNING, "app.silent", app=app, away_s=away_s,
                action="users who sign out stay signed in there; see that the app runs and reaches Redis",
            )  # fmt: skip
        else:
            emit(log, logging.INFO, "app.heard", app=app)
