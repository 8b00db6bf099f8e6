"""Say what was done: every consumer acknowledges the events it has acted on, and that it is listening at all.

Acknowledgements travel beside the reading and never hold it up; what could not be sent goes with the next batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import secrets
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from receiver.bus.events import acks
from receiver.bus.link import connection

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis.asyncio

    from receiver.bus.events.stream import Entry
    from receiver.bus.keys import KeyNames
    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.consumer")

HEARTBEAT_S = 10.0
"""Seconds between two signs of life of a consumer that hears nothing."""

RETRY_S = 1.0
"""Seconds before acknowledgements that did not arrive are sent again."""

MAX_WAITING = 10_000
"""Acknowledgements kept while Redis is away; beyond it the oldest are dropped, and the trace shows them missing."""

MAX_BATCH = 50
"""Acknowledgements sent in one round trip. To pack more of them holds the app's event loop, and to note them Redis, for
so long that a logout waits; fewer take more round trips."""

GATHER_S = 0.25
"""Seconds after some were sent in which further ones wait for each other. The first after a pause goes at once. A round
trip costs Redis as much as eight acknowledgements in it."""


def worker_name() -> str:
    """`hostname-pid-random`: this process, told apart from one that had its pid before."""
    return f"{socket.gethostname().replace('/', '-')}-{os.getpid()}-{secrets.token_hex(3)}"


class Acknowledger:
    """Collects acknowledgements and sends them.

    Args:
        client: Owned by the caller.
        keys: Key names.
        listener: The app and instance that acknowledge.
        reads: Whether this process still hears from Redis: without that it gives no sign of life.

    Attributes:
        problem: Why the last attempt failed; empty after one that worked.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: KeyNames, listener: acks.AckSource, *, reads: Callable[[], bool]
    ) -> None:
        self._reads = reads
        self._client = client
        self._keys = keys
        self._listener = listener
        self._waiting: deque[acks.Ack] = deque(maxlen=MAX_WAITING)
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self.problem = ""

    def add(self, eviction: Eviction, entry: Entry, *, unknown: str = "") -> None:
        """The handler has returned; the acknowledgement is sent soon. Never waits."""
        self._waiting.append(acks.Ack(eviction.id, entry.entry_id, eviction.received_at, time.monotonic(), unknown))
        self._wake.set()

    async def run(self) -> None:
        """Send what there is, and a sign of life when there is nothing, until cancelled; outages are waited out."""
        while True:
            self._wake.clear()
            had_some = bool(self._waiting)
            try:
                if had_some or self._reads():
                    await self._send(is_due=True)
                self.problem = ""
            except connection.Failure as error:
                if not self.problem:
                    log.warning("%s: cannot acknowledge: %s", self._listener.app, connection.describe(error))
                self.problem = connection.describe(error)
                await asyncio.sleep(RETRY_S)
                continue
            if had_some:
                await asyncio.sleep(GATHER_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._wake.wait()

    async def flush(self) -> None:
        """Send what there is, now, if Redis takes it."""
        with contextlib.suppress(*connection.Failure):
            await self._send()

    async def leave(self) -> None:
        """Send what is left and say goodbye; best effort."""
        with contextlib.suppress(*connection.Failure):
            await self._send()
            await acks.leave(self._client, self._keys, self._listener)

    async def _send(self, *, is_due: bool = False) -> None:
        """Send what there is, and a sign of life where there is nothing and one is due."""
        async with self._sending:
            # What is handled while these are on their way waits for the next time.
            full = True
            while full and (self._waiting or is_due):
                is_due = False
                batch = list(itertools.islice(self._waiting, MAX_BATCH))
                await acks.acknowledge(self._client, self._keys, self._listener, batch, now=time.monotonic())
                sent, full = set(batch), len(batch) == MAX_BATCH
                # By identity and not by number: while they were on their way the oldest may have been dropped.
                while self._waiting and self._waiting[0] in sent:
                    self._waiting.popleft()
            if not self._waiting:
                self._wake.clear()
