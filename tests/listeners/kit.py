"""What situations are made of: the world, the listener under test, and what is expected of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.listeners.driver import Driver
from tests.listeners.world import CLIENT, World, check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

WAIT_S = 0.5
"""Seconds a listener under test waits for news in one read; 5 in earnest. Its other times follow from this one."""

SOON_S = 3.0
"""Seconds in which what needs no wait has to happen, on a busy machine; it usually takes milliseconds."""

LATE_S = 10 * WAIT_S + SOON_S
"""Seconds in which a listener has to be back after an outage: two waits, starting over, and a pause between tries."""

APP = "kit"

Status = Literal["live", "ended", "unknown"]
Claims = dict[str, Any]


@dataclass
class Kit:
    """One situation's world and listener.

    Attributes:
        world: Redis, receiver, OP.
        listener: The process under test; None before `start` and between `kill` and `start`.
        logouts: How many a storm has.
        notes: Figures for the table.
    """

    world: World
    command: str
    logouts: int
    environment: Mapping[str, str]
    notes: list[str] = field(default_factory=list)
    _listener: Driver | None = None
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def listener(self) -> Driver:
        """The process under test."""
        assert self._listener is not None
        return self._listener

    @property
    def has_listener(self) -> bool:
        """Whether one was started."""
        return self._listener is not None

    async def start(self, *, user: str = "", clear: str = "works", when_unknown: str = "serve") -> None:
        """Start a process of the listener."""
        await self.end()
        self._listener = await self._stack.enter_async_context(Driver(self.command, self.environment))
        await self.listener.call(
            "start", redis=self.world.url(user), prefix="{logout}", app=APP, client_id=CLIENT, wait_s=WAIT_S,
            clear=clear, when_unknown=when_unknown,
        )  # fmt: skip

    async def kill(self) -> None:
        """End it as a crash would."""
        await self.listener.kill()

    async def end(self) -> None:
        """Close its standard input and wait for its end."""
        self._listener = None
        await self._stack.aclose()

    async def listens(self) -> None:
        """Wait until it says that it hears."""

        async def hears() -> bool:
            return bool((await self.health())["hears"])

        await self.until(hears, "it never says that it hears", within_s=LATE_S)

    async def health(self) -> dict[str, Any]:
        """What it says of itself."""
        return await self.listener.call("health")

    async def ask(self, claims: Claims, **given: Any) -> Status:
        """Whether this session goes on, for one request."""
        status: Status = (await self.listener.call("ask", claims=claims, **given))["status"]
        check(status in {"live", "ended", "unknown"}, f"`ask` is answered with the status {status!r}")
        return status

    async def sign_in(self, claims: Claims) -> Status:
        """Begin a session."""
        status: Status = (await self.listener.call("sign_in", claims=claims))["status"]
        return status

    async def expect(self, claims: Claims, status: Status, why: str) -> None:
        """It is so now."""
        answer = await self.ask(claims)
        check(answer == status, f"{why}: expected {status}, got {answer}")

    async def becomes(self, claims: Claims, status: Status, why: str, *, within_s: float = SOON_S) -> float:
        """It is so before long; seconds it took."""
        began = time.monotonic()
        while (answer := await self.ask(claims)) != status:
            passed = time.monotonic() - began
            check(passed < within_s, f"{why}: expected {status} within {within_s:g} s, got {answer}")
            await asyncio.sleep(0.002)
        return time.monotonic() - began

    async def until(self, condition: Callable[[], Awaitable[bool]], problem: str, *, within_s: float = SOON_S) -> None:
        """It comes true before long."""
        end = time.monotonic() + within_s
        while not await condition():
            check(time.monotonic() < end, problem)
            await asyncio.sleep(0.01)

    async def signed_in(self, *names: str, **changes: Any) -> list[Claims]:
        """Sessions of these users, begun and known to be live, by a listener that hears.

        Before its first read it asks Redis about each, and what it does wrong with what it knew does not show.
        """
        await self.listens()
        sessions = [self.world.session(name, **changes) for name in names]
        for session in sessions:
            check(await self.sign_in(session) == "live", "a new session does not begin: `sign_in` is not `live`")
            await self.becomes(session, "live", "a session that nothing has ended")
        return sessions


@contextlib.asynccontextmanager
async def kit_in(
    directory: Path, command: str, *, logouts: int, environment: Mapping[str, str] | None = None, **world: bool
) -> AsyncIterator[Kit]:
    """A world, and a kit in it without a listener yet."""
    async with World(directory, **world) as running:
        kit = Kit(running, command, logouts, environment or {})
        try:
            yield kit
        finally:
            running.go_on()
            await kit.end()
