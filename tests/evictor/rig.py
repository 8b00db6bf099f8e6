"""One evictor at work on real caches, with a receiver in front of it and an OP that signs."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from receiver.bus.events import trace
from receiver.bus.events.event_search import FoundEvent
from receiver.bus.events.stream import to_entry
from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.registry import REGISTER, register_calls
from receiver.core.eviction import Eviction
from receiver.core.marks import digest
from receiver.core.sign_in import SignIn
from receiver.evictor.worker import Worker, working
from receiver.ops.settings import Settings
from tests.evictor.written import clients_in, dumped, tokens
from tests.support.evictor import start_evictor
from tests.support.op import ABSENT, OP
from tests.support.published import entries
from tests.support.receiver import Receiver, start_receiver
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock


WEB = {"name": "web", "layout": "microsoft-identity-web", "prefix": "web:"}
NODE = {"name": "node", "layout": "msal-node", "prefix": "node:"}
GROUP = "evictor"
"""The consumer group of all workers."""

FLASK = {"name": "flask", "layout": "flask-session"}


@dataclass
class World:
    """What a test works with.

    Attributes:
        redis: Of the events, and of the caches unless a test says otherwise.
        worker: The evictor.
    """

    redis: redis.asyncio.Redis
    clock: Clock
    op: OP
    receiver: Receiver
    worker: Worker

    @property
    def now(self) -> int:
        """NumericDate seconds."""
        return int(self.clock())

    async def log_out(self, *, waits: bool = True, **claims: Any) -> Eviction:
        """Send a really signed logout token; return when the evictor has acknowledged its event."""
        answer = await self.receiver.post(self.op.token(**claims))
        assert 200 == answer.status, answer.text
        eviction = Eviction.from_json(json.dumps((await self.receiver.events())[-1]))
        if waits:
            await until(lambda: self.is_handled(eviction))
        return eviction

    async def log_out_user(self, sub: str = "u1", **claims: Any) -> Eviction:
        """Of all sessions of a user."""
        return await self.log_out(sub=sub, sid=ABSENT, **claims)

    async def log_out_session(self, sid: str, **claims: Any) -> Eviction:
        """Of one session, without naming the user."""
        return await self.log_out(**{"sub": ABSENT, "sid": sid, **claims})

    async def is_handled(self, eviction: Eviction) -> bool:
        """Whether an evictor has acknowledged it."""
        return bool(await self.redis.exists(f"{{logout}}:acks:{eviction.id}"))

    async def traced(self, eviction: Eviction) -> trace.AppTrace:
        """What the evictor says of an event."""
        found = [to_entry(*pair) for pair in await entries(self.redis)]
        events = [FoundEvent(entry.entry_id, entry.eviction()) for entry in found]
        mine = [one for one in events if one.eviction.id == eviction.id]
        told = await trace.trace(self.redis, KeyNames(), mine, now_s=self.now, declared=["evictor"], seen_within_s=1e9)
        return told.apps[0]

    async def read(self, key: str) -> bytes | None:
        """A value, whether it is a string or ASP.NET Core's hash."""
        raw: Any
        if await self.redis.type(key) == b"hash":
            raw = await self.redis.hget(key, "data")
        else:
            raw = await self.redis.get(key)
        return bytes(raw) if raw is not None else None

    async def keys(self, pattern: str = "*") -> set[str]:
        """Keys that are not this project's own."""
        names: list[Any] = await self.redis.keys(pattern)
        found = {key.decode() for key in names}
        return {key for key in found if not key.startswith("{logout}")}

    async def clients_at(self, key: str, *clients: str) -> bool:
        """Whether just these apps have tokens in the value there."""
        return set(clients) == clients_in(await self.read(key))

    async def gone(self, *keys: str) -> bool:
        """Whether none of them is there."""
        return not await self.redis.exists(*keys)

    async def put_data(self, key: str, data: bytes) -> None:
        """Write as ASP.NET Core's Redis cache does."""
        await self.redis.hset(key, mapping={"absexp": "-1", "sldexp": "-1", "data": data})

    async def is_indexed(self, place: str) -> bool:
        """Whether it is known whose the value of that key is."""
        async for bucket in self.redis.scan_iter("{logout}:places:*"):
            if any(place.encode() in entry for entry in await self.redis.hvals(bucket)):
                return True
        return False

    def sample(self, name: str, **labels: str) -> float:
        """A metric of the worker."""
        return self.worker.metrics.registry.get_sample_value(name, labels) or 0.0

    async def watched(self, prefix: str) -> None:
        """Return when the watcher has judged everything written below this prefix until now.

        What was written last is judged last: a value that is over, seen to go.
        """
        session = digest("sid", self.op.issuer, "sentinel")
        await self.redis.set(f"{{logout}}:mark:{session}", self.now)
        account = f"~{time.monotonic_ns()}"
        sentinel = dumped(tokens(self.op.issuer, sub=account, account=account, sid="sentinel"))
        if prefix == WEB["prefix"]:
            await self.put_data(prefix + account, sentinel)
        else:
            await self.redis.set(prefix + account, sentinel)
        await until(lambda: self.gone(prefix + account))


Work: TypeAlias = "Callable[..., contextlib.AbstractAsyncContextManager[World]]"
"""`at_work` on the suite's Redis: takes the caches, and what `at_work` takes by name."""


def tenant(op: OP, **changes: Any) -> dict[str, Any]:
    """Tenant t1 with the clients c1 and c2."""
    return {"name": "t1", "issuer": op.issuer, "client_ids": ["c1", "c2"], **changes}


@contextlib.asynccontextmanager
async def at_work(
    server: EmbeddedRedis,
    client: redis.asyncio.Redis,
    clock: Clock,
    op: OP,
    *caches: dict[str, Any],
    of: dict[str, Any] | None = None,
    others: Sequence[dict[str, Any]] = (),
    redis_url: str | None = None,
    **evictor: Any,
) -> AsyncIterator[World]:
    """A receiver and an evictor for these caches.

    Args:
        server: Of the events.
        client: Of it.
        clock: The time, for both.
        op: Who signs.
        caches: As in the settings.
        of: What differs in the tenant's settings.
        others: Further tenants.
        redis_url: How the evictor reaches Redis, where it differs.
        evictor: Members of the section `evictor`; nothing is looked at again unless a test says so.
    """
    tenants = [tenant(op, **(of or {})), *others]
    evictor = {"recheck_s": [], **evictor}
    async with (
        start_receiver(server.url, client, clock, tenants) as receiver,
        start_evictor(redis_url or server.url, tenants, list(caches), clock=clock, **evictor) as worker,
    ):
        yield World(client, clock, op, receiver, worker)


@contextlib.asynccontextmanager
async def another_worker(
    server: EmbeddedRedis, world: World, *caches: dict[str, Any], **evictor: Any
) -> AsyncIterator[Worker]:
    """Beside the world's own."""
    settings = Settings(
        internal={"port": 0}, redis={"url": server.url}, tenants=[tenant(world.op)], caches=list(caches),
        evictor={"recheck_s": [], **evictor},
    )  # fmt: skip
    async with working(settings, clock=world.clock) as second:
        yield second


async def register(world: World, *keys: str, sub: str = "u1", **changes: Any) -> None:
    """A sign-in, as an app registers it."""
    sign_in = SignIn(iss=world.op.issuer, client_ids=("c1",), sub=sub, keys=keys, **changes)
    [call] = register_calls(KeyNames(), sign_in, now_s=world.clock(), lifetime_s=3600)
    assert await REGISTER.run(world.redis, *call)
