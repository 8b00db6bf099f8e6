"""Everything that runs, each in a process of its own: Redis, receivers, consumers of three apps, evictors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Self

import aiohttp

from receiver.bus.link.embedded import free_port
from receiver.ingress.outbox import IN_OUTBOX
from tests.chaos.children import Child, RedisChild
from tests.chaos.notes import Read
from tests.chaos.proxy import Proxy
from tests.chaos.sender import WallClock
from tests.chaos.tokens import PREFIX, Tokens
from tests.outbox.small_disk import SmallDisk, small_disk
from tests.support.keys import ec_pair
from tests.support.op import OP

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

RECEIVERS = (1, 2)

MARGIN_S = 2.0
"""Seconds a consumer reads again, for safety, when it starts anew."""

STEP_S = 600
"""Seconds Redis's clock is fast or slow."""

DISK_BYTES = 8 * 1024 * 1024
"""Of each receiver's disk, where that may be full; their own logs are elsewhere."""

START_S = 60.0
"""Seconds a process has to come up, on a busy machine."""

PUBLISH_S = 0.5
"""Seconds a receiver tries Redis before it takes the outbox; less than the default, so that both get their share."""

LOOKS_AGAIN_S = [0.5, 2.0, 5.0]
"""When evictors look again after an eviction, seconds; by default 2, 10 and 60."""

TAKE_OVER_S = 3.0
"""Seconds after which a killed evictor's work is taken over; in earnest it is a minute."""

CONSUMERS = {
    "listener": (("portal", "async"), ("orders", "thread")),
    "group worker": (("cache", "group"), ("cache", "thread-group")),
}
"""Kind of process to the app and the kind of consumer in it."""


class World:
    """All of it, made in one directory. Use it with `async with`; nothing is left running.

    Args:
        directory: For everybody's files.
        durable: Whether Redis keeps its data over a kill.
        kinds: What may fail; for a disk of its own the right to mount one is needed, for a clock a C compiler.

    Attributes:
        op: Signs and publishes its keys.
        urls: Where the receivers take logout tokens.
        children: Kind to processes.
        proxies: Side to its network to Redis.
        redis: Redis itself.
        disks: The receivers' disks, where those may be full.
        consumers: App to what its processes have noted.
        tokens: What the evictors clear.
    """

    def __init__(self, directory: Path, *, durable: bool = True, kinds: Collection[str] = ()) -> None:
        self._directory = directory
        self._stack = contextlib.AsyncExitStack()
        self._internal: list[str] = []
        self.op = OP(WallClock(), signing_key=ec_pair("chaos"))
        self.urls: list[str] = []
        self.redis = RedisChild(directory, durable=durable, steps="clock" in kinds)
        self._small = "disk" in kinds
        # By the clock of Redis: one that is fast shortens it.
        self._margin_s = MARGIN_S + (STEP_S if "clock" in kinds else 0)
        self.disks: list[SmallDisk] = []
        self.children: dict[str, list[Child | RedisChild]] = {"redis": [self.redis]}
        self.proxies: dict[str, Proxy] = {}
        self.consumers: dict[str, Read] = {}
        self.tokens = Tokens(self.redis.url, "")

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.op)
            for side in ("receivers", "consumers"):
                self.proxies[side] = await stack.enter_async_context(Proxy(self.redis.port))
            for number in RECEIVERS if self._small else ():
                self.disks.append(stack.enter_context(small_disk(self._disk(number), DISK_BYTES)))
            self._make_receivers()
            self._make_consumers()
            self._make_evictors()
            self.tokens = Tokens(self.redis.url, self.op.issuer)
            stack.push_async_callback(self.tokens.aclose)
            for child in self._all():
                stack.callback(child.end)
            await asyncio.to_thread(self.redis.start)
            for child in self._all():
                if not child.running:
                    child.start()
            await self.until_ready()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def until_ready(self) -> None:
        """Return once every process is up; start those that are not running.

        Raises:
            TimeoutError: one does not come up.
        """
        async with asyncio.timeout(START_S):
            while waiting := [child for child in self._all() if not child.ready]:
                for child in waiting:
                    if not child.running:
                        await asyncio.to_thread(child.start)
                await asyncio.sleep(0.1)

    async def in_outboxes(self) -> int | None:
        """Evictions that wait in the receivers' outboxes; None when one does not say."""
        entries = 0
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as http:
                for url in self._internal:
                    async with http.get(url + "/metrics") as response:
                        text = await response.text()
                    [line] = [line for line in text.splitlines() if line.startswith("logout_outbox_entries ")]
                    entries += int(float(line.split()[1]))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None
        return entries

    def outbox_use(self) -> tuple[int, int]:
        """By the receivers' logs: logouts answered 200 from the outbox, and evictions found in one at a start."""
        kept = found = 0
        for path in self._directory.glob("receiver-*.log"):
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    kept += record.get("entry_id") == IN_OUTBOX
                    found += record.get("entries", 0) if record.get("event") == "outbox.opened" else 0
        return kept, found

    def faults(self) -> int:
        """Tracebacks in anybody's log."""
        logs = [path.read_text(encoding="utf-8", errors="replace") for path in self._directory.glob("*.log")]
        return sum(log.count("Traceback (most recent call last)") for log in logs)

    def unforeseen(self) -> list[str]:
        """Names of processes that ended without having been killed."""
        return [child.name for child in self._all() for _ in range(child.died)]

    def logs(self) -> str:
        """The end of everything that was logged, for a run that failed."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self._directory.glob("*.log")
        )

    def _all(self) -> list[Child | RedisChild]:
        return [child for children in self.children.values() for child in children]

    def _make_receivers(self) -> None:
        self.children["receiver"] = []
        for number in RECEIVERS:
            public, internal = free_port(), free_port()
            config = self._directory / f"receiver-{number}.json"
            settings = {
                "public": {"host": "127.0.0.1", "port": public},
                "internal": {"host": "127.0.0.1", "port": internal},
                "redis": {
                    "url": f"redis://127.0.0.1:{self.proxies['receivers'].port}/0",
                    "publish_timeout_s": PUBLISH_S,
                },
                "outbox": {"path": str((self._disk(number) if self._small else self._directory) / f"{number}.outbox")},
                "tenants": [self._tenant()],
            }
            config.write_text(json.dumps(settings))
            self.urls.append(f"http://127.0.0.1:{public}/backchannel-logout")
            self._internal.append(f"http://127.0.0.1:{internal}")
            log = self._directory / f"receiver-{number}.log"
            self.children["receiver"].append(
                Child(f"receiver {number}", ("receiver", "serve", "--config", str(config)), log)
            )

    def _make_evictors(self) -> None:
        self.children["evictor"] = []
        for number in (1, 2):
            config = self._directory / f"evictor-{number}.json"
            settings = {
                "internal": {"host": "127.0.0.1", "port": free_port()},
                "redis": {"url": f"redis://127.0.0.1:{self.proxies['consumers'].port}/0"},
                "evictor": {"recheck_s": LOOKS_AGAIN_S, "take_over_s": TAKE_OVER_S},
                "caches": [{"name": "tokens", "layout": "msal-python", "prefix": PREFIX}],
                "tenants": [self._tenant()],
            }
            config.write_text(json.dumps(settings))
            log = self._directory / f"evictor-{number}.log"
            self.children["evictor"].append(
                Child(f"evictor {number}", ("receiver", "evict", "--config", str(config)), log)
            )

    def _disk(self, number: int) -> Path:
        return self._directory / f"disk-{number}"

    def _tenant(self) -> dict[str, object]:
        return {
            "name": "t1",
            "issuer": self.op.issuer,
            "client_ids": ["c1"],
            "algorithms": ["ES256"],
            "max_age_s": 7200,
        }

    def _make_consumers(self) -> None:
        url = f"redis://127.0.0.1:{self.proxies['consumers'].port}/0"
        began = time.time()
        notes: dict[str, list[Path]] = {}
        for kind, members in CONSUMERS.items():
            self.children[kind] = []
            for app, how in members:
                name = f"{app}-{how}"
                path = self._directory / f"{name}.notes"
                notes.setdefault(app, []).append(path)
                arguments = (
                    *("tests.chaos.consumer", how, "--app", app, "--url", url),
                    *("--notes", str(path), "--since", str(began), "--margin", str(self._margin_s)),
                )
                self.children[kind].append(Child(name, arguments, self._directory / f"{name}.log"))
        self.consumers = {app: Read(*paths) for app, paths in notes.items()}
