"""What a listener lives with: a real Redis behind a network that can be broken, a real receiver, an OP that signs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import struct
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import redis.asyncio

from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.core.eviction import Eviction
from receiver.errors import PublishError
from tests.chaos.children import stepping_clock
from tests.chaos.proxy import Proxy
from tests.listeners.wrong import MissingError, WrongError
from tests.support.clock import Clock
from tests.support.keys import ec_pair
from tests.support.needed import LackingError
from tests.support.op import ABSENT, OP
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEYS = KeyNames()
CLIENT = "c1"

TOKEN = "a-token-of-the-kit"
"""For the receiver's API."""

AT_ONCE = 256
"""Evictions published in one round trip."""

TRIES = 30
"""How often one is published where Redis does not take it in time."""


class WallClock(Clock):
    """The real time."""

    def __call__(self) -> float:
        """NumericDate seconds."""
        return time.time()


class World:
    """All of it, in one directory. Use it with `async with`; nothing is left running.

    Args:
        directory: For Redis's files.
        steps: Whether Redis's clock can be stepped; needs a C compiler.
        receives: Whether a receiver is started at once.

    Attributes:
        redis: A client past the network, for looking and for planting.
        network: Between the listener and Redis.
        op: The OP of tenant t1; its client is `c1`.
    """

    def __init__(self, directory: Path, *, steps: bool = False, receives: bool = True) -> None:
        self._directory = directory
        self._offset = directory / "clock"
        self._offset.write_bytes(struct.pack("l", 0))
        try:
            environment = stepping_clock(self._offset) if steps else None
        except LackingError as lacking:
            raise MissingError(str(lacking)) from None
        self._server = EmbeddedRedis(directory=directory, environment=environment)
        self._receives = receives
        self._stack = contextlib.AsyncExitStack()
        self._receiver: Receiver | None = None
        self._stopped = False
        self.op = OP(WallClock(), signing_key=ec_pair("kit"))

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._server.start)
        self._stack.callback(self._server.stop)
        self._stack.callback(self.go_on)
        self.redis: Any = redis.asyncio.Redis.from_url(self._server.url)
        self._stack.push_async_callback(self.redis.aclose)
        self.network = await self._stack.enter_async_context(Proxy(self._server.port))
        await self._stack.enter_async_context(self.op)
        if self._receives:
            await self.start_receiver()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start_receiver(self) -> None:
        """As `receiver serve`."""
        tenant = t1(self.op, algorithms=["ES256"])
        running = start_receiver(self._server.url, self.redis, self.op.clock, [tenant], internal={"token": TOKEN})
        self._receiver = await self._stack.enter_async_context(running)

    def url(self, user: str = "") -> str:
        """Where the listener finds Redis; with the password `secret` for a user."""
        access = f"{quote(user)}:secret@" if user else ""
        return f"redis://{access}127.0.0.1:{self.network.port}/0"

    async def logout(self, sub: str | None, sid: str | None = None, **claims: Any) -> Eviction:
        """The OP signs out a user, or a session: a signed token, and the receiver's 200."""
        assert self._receiver is not None
        named: dict[str, Any] = {"sub": sub or ABSENT, "sid": sid or ABSENT}
        answer = await self._receiver.post(self.op.token(header={"alg": "ES256"}, **named, **claims))
        assert 200 == answer.status, answer.text
        [(_, entry)] = await self.redis.xrevrange(KEYS.events, count=1)
        return Eviction.from_json(entry[b"event"])

    async def order(self, sub: str, *, reauthenticate: bool = True) -> None:
        """An operator ends a user's sessions, by the receiver's API; the session at the OP goes on."""
        body = {"tenant": "t1", "sub": sub, "reauthenticate": reauthenticate}
        status = await self._ask_api("POST", "/v1/evictions", body)
        assert 202 == status, status

    async def register(self, claims: dict[str, Any], *, anew: bool = False) -> bool:
        """Register a sign-in by the receiver's API, as an app does; False: its session is over."""
        body: dict[str, Any] = {"client_id": CLIENT, "anew": anew}
        body |= {name: claims[name] for name in ("iss", "sub", "sid", "auth_time", "iat") if name in claims}
        status = await self._ask_api("PUT", "/v1/sessions", body)
        assert status in {200, 409}, status
        return status == 200

    async def _ask_api(self, method: str, path: str, body: dict[str, Any]) -> int:
        assert self._receiver is not None
        headers = {"Authorization": f"Bearer {TOKEN}"}
        where = self._receiver.internal + path
        async with self._receiver.http.request(method, where, json=body, headers=headers) as answer:
            return answer.status

    async def publish(self, evictions: Iterable[Eviction]) -> None:
        """Published as the receiver does, past its HTTP."""
        publisher = EvictionPublisher(self.redis, KEYS, Retention(max_events=1_000_000))
        waiting = iter(evictions)
        while some := list(itertools.islice(waiting, AT_ONCE)):
            await asyncio.gather(*(_published(publisher, eviction) for eviction in some))

    def eviction(self, name: str, **changes: Any) -> Eviction:
        """A logout of a user of tenant t1, now."""
        fields: dict[str, Any] = {
            "id": f"kit-{name}", "tenant": "t1", "iss": self.op.issuer, "client_id": CLIENT, "scope": "user",
            "logout_at": int(time.time()), "received_at": time.time(), "accounts": (), **changes,
        }  # fmt: skip
        return Eviction(**fields)

    async def lose_data(self) -> None:
        """Redis is killed, and is back with what was saved last, or with nothing."""
        self._server.kill()
        await self.network.cut()
        await asyncio.to_thread(self._server.start)
        await self.redis.connection_pool.disconnect()

    async def demote(self) -> int:
        """Another server takes over, and is `redis` from now on; the old one answers, and is told of nothing.

        A name may lead to the old one for a while, so that the listener reads there again: no read says what it is.

        Returns:
            The port of the new one; the listener's address still leads to the old one.
        """
        directory = self._directory / "successor"
        directory.mkdir()
        successor = EmbeddedRedis(directory=directory)
        await asyncio.to_thread(successor.start)
        self._stack.callback(successor.stop)
        old, self.redis = self.redis, redis.asyncio.Redis.from_url(successor.url)
        self._stack.push_async_callback(self.redis.aclose)
        await old.config_set("repl-diskless-sync-delay", 0)
        await self.redis.replicaof("127.0.0.1", self._server.port)
        while (await self.redis.info("replication"))["master_link_status"] != "up":
            await asyncio.sleep(0.01)
        await self.redis.replicaof("NO", "ONE")
        # Where nothing listens: such a replica hears of nothing more.
        await old.replicaof("127.0.0.1", 1)
        await self.network.cut()
        before = await _reads(old)
        while await _reads(old) == before:
            await asyncio.sleep(0.01)
        return successor.port

    async def data(self) -> dict[bytes, bytes]:
        """All that Redis has, to be put back; but for what expires meanwhile."""
        dumped = {key: await self.redis.dump(key) for key in await self.redis.keys("*")}
        return {key: value for key, value in dumped.items() if value is not None}

    async def put_back(self, data: dict[bytes, bytes], beside: dict[str, str]) -> None:
        """Redis has this, the values beside it and nothing else, all at once; no connection breaks."""
        async with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.flushall()
            for key, dumped in data.items():
                pipeline.restore(key, 0, dumped)
            pipeline.mset(beside)
            await pipeline.execute()

    def hang(self) -> None:
        """Redis takes connections and answers nothing."""
        os.kill(self._server.pid, signal.SIGSTOP)
        self._stopped = True

    def go_on(self) -> None:
        """It answers again."""
        if self._stopped:
            os.kill(self._server.pid, signal.SIGCONT)
            self._stopped = False

    def step_clock(self, seconds: int) -> None:
        """Set Redis's clock so much fast."""
        with self._offset.open("r+b") as file:
            file.write(struct.pack("l", seconds))

    async def commands(self) -> int:
        """How many commands Redis has taken so far."""
        info: dict[str, Any] = await self.redis.info("stats")
        return int(info["total_commands_processed"])

    async def instances(self) -> dict[str, float]:
        """Who has given a sign of life: `app/instance` and when, milliseconds."""
        found: Any = await self.redis.zrange(KEYS.instances, 0, -1, withscores=True)
        return {name.decode(): score for name, score in found}

    async def acknowledged(self, eviction: Eviction) -> bool:
        """Whether some process has said that it has acted on this."""
        return bool(await self.redis.exists(KEYS.acks_of(eviction.id)))

    def session(self, sub: str, sid: str | None = None, **changes: Any) -> dict[str, Any]:
        """Claims of an ID token of a user who signed in a minute ago; `...` leaves one out.

        The `iat` is a moment ahead, as Redis was empty until a moment ago.
        """
        now = int(time.time())
        claims = {
            "iss": self.op.issuer, "aud": CLIENT, "sub": sub, "sid": sid or f"sid-{sub}", "auth_time": now - 60,
            "iat": now + 2, **changes,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not ...}


def check(condition: object, problem: str) -> None:
    """Raise WrongError unless it holds."""
    if not condition:
        raise WrongError(problem)


async def _reads(client: redis.asyncio.Redis) -> int:
    """Commands that a listener reads the stream with, or tries first; no receiver sends them."""
    said: dict[str, Any] = await client.info("commandstats")
    of_reading = (said.get(f"cmdstat_{name}", {}) for name in ("xread", "xrevrange", "zrem"))
    return sum(int(stat.get("calls", 0)) + int(stat.get("rejected_calls", 0)) for stat in of_reading)


async def _published(publisher: EvictionPublisher, eviction: Eviction) -> None:
    """On a busy machine Redis may take longer than the publisher waits; then again, as an OP would call again."""
    for tries in range(TRIES):
        try:
            await publisher.publish(eviction)
        except PublishError:
            if tries == TRIES - 1:
                raise
        else:
            return
