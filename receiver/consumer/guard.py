"""Stop a signed-out session at the next request: a local copy of recent marks, and Redis where it may not know.

A process hears every eviction, so a session it has asked Redis about once needs no network afterwards. It
asks again while its copy may be stale, that is while it cannot hear.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from typing import TYPE_CHECKING, Any, Unpack

from receiver.bus import connection
from receiver.bus.keys import DEFAULT_PREFIX
from receiver.consumer.knowledge import Knowledge, Standing
from receiver.consumer.sessions import DEFAULT_LIFETIME_S, Sessions, SyncSessions
from receiver.consumer.subscriber import Subscriber, ThreadSubscriber
from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from receiver.bus.connection import Options as RedisOptions
    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.consumer")


class Guard:
    """For async apps: knows whether a session is signed out. Start it once per process.

    Args:
        redis_url: The Redis the receiver publishes to.
        app: The app's name.
        on_eviction: Also called for every eviction, to drop cached tokens and sessions.
        on_reset: Also called when evictions were missed; drop every cached token and session.
        refuse_when_unknown: What `is_signed_out` answers when neither the local copy nor Redis can tell:
            False lets the request through, True treats the session as signed out.
        prefix: Key prefix the receiver uses.
        lifetime_s: Seconds a registration is kept.
        redis_options: User, password, TLS files: see `receiver.bus.connection.Options`.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        app: str,
        on_eviction: Callable[[Eviction], Awaitable[None] | None] | None = None,
        on_reset: Callable[[], Awaitable[None] | None] | None = None,
        refuse_when_unknown: bool = False,
        prefix: str = DEFAULT_PREFIX,
        lifetime_s: int = DEFAULT_LIFETIME_S,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        self._knowledge = Knowledge()
        self._on_eviction = on_eviction
        self._on_reset = on_reset
        self._refuse = refuse_when_unknown
        self._sessions = Sessions(redis_url, prefix=prefix, lifetime_s=lifetime_s, **redis_options)
        self._subscriber = Subscriber(
            redis_url, self._hear, app=app, on_reset=self._reset, prefix=prefix, **redis_options
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen; returns at once, whether or not Redis can be reached yet."""
        self._task = asyncio.create_task(self._subscriber.run(), name="evictions")

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        if self._task is not None:
            await cancel(self._task)
        await self._sessions.aclose()

    async def register(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """As `Sessions.register`; False means the session is signed out already and must not begin."""
        return await self._sessions.register(claims, home_account_id=home_account_id, keys=keys)

    async def admit(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> Standing:
        """Register a session; `live` when that is done, `unknown` when Redis did not answer. Never raises for Redis.

        Raises:
            ValueError: the claims have no `iss`, `sub` or `aud`.
        """
        if self.known(claims, home_account_id=home_account_id) == "ended":
            return "ended"
        if self._knowledge.redis_is_away:
            return "unknown"
        try:
            live = await self._sessions.register(claims, home_account_id=home_account_id, keys=keys)
        except connection.Failure as error:
            return _failed(self._knowledge, error)
        return _learnt(self._knowledge, claims, live=live)

    def known(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> Standing:
        """What can be told without the network; ValueError as for `admit`."""
        return self._knowledge.judge(claims, home_account_id, last_read_s=self._subscriber.last_read_s)

    async def standing(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> Standing:
        """Whether the session these ID token claims are of was signed out; ValueError as for `admit`."""
        answer = self.known(claims, home_account_id=home_account_id)
        if answer != "unknown" or self._knowledge.redis_is_away:
            return answer
        try:
            signed_out = await self._sessions.is_signed_out(claims, home_account_id=home_account_id)
        except connection.Failure as error:
            return _failed(self._knowledge, error)
        return _learnt(self._knowledge, claims, live=not signed_out)

    async def is_signed_out(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> bool:
        """As `standing`, with the app's choice for what nobody can tell."""
        answer = await self.standing(claims, home_account_id=home_account_id)
        return self._refuse if answer == "unknown" else answer == "ended"

    async def _hear(self, eviction: Eviction) -> None:
        self._knowledge.note(eviction)
        await _call(self._on_eviction, eviction)

    async def _reset(self) -> None:
        self._knowledge.forget()
        await _call(self._on_reset)


class ThreadGuard:
    """The same for apps without an event loop; listens in a daemon thread, the calls block.

    Start it once per process, after a fork; `PerProcess` does.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        app: str,
        on_eviction: Callable[[Eviction], None] | None = None,
        on_reset: Callable[[], None] | None = None,
        refuse_when_unknown: bool = False,
        prefix: str = DEFAULT_PREFIX,
        lifetime_s: int = DEFAULT_LIFETIME_S,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        self._knowledge = Knowledge()
        self._on_eviction = on_eviction
        self._on_reset = on_reset
        self._refuse = refuse_when_unknown
        self._sessions = SyncSessions(redis_url, prefix=prefix, lifetime_s=lifetime_s, **redis_options)
        self._thread = ThreadSubscriber(
            redis_url, self._hear, app=app, on_reset=self._reset, prefix=prefix, **redis_options
        )

    def start(self) -> None:
        """Begin to listen; returns at once, whether or not Redis can be reached yet."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close the connections."""
        self._thread.stop()
        self._sessions.close()

    def register(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """As `Guard.register`."""
        return self._sessions.register(claims, home_account_id=home_account_id, keys=keys)

    def admit(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> Standing:
        """As `Guard.admit`."""
        if self.known(claims, home_account_id=home_account_id) == "ended":
            return "ended"
        if self._knowledge.redis_is_away:
            return "unknown"
        try:
            live = self._sessions.register(claims, home_account_id=home_account_id, keys=keys)
        except connection.Failure as error:
            return _failed(self._knowledge, error)
        return _learnt(self._knowledge, claims, live=live)

    def known(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> Standing:
        """As `Guard.known`."""
        return self._knowledge.judge(claims, home_account_id, last_read_s=self._thread.last_read_s)

    def standing(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> Standing:
        """As `Guard.standing`."""
        answer = self.known(claims, home_account_id=home_account_id)
        if answer != "unknown" or self._knowledge.redis_is_away:
            return answer
        try:
            signed_out = self._sessions.is_signed_out(claims, home_account_id=home_account_id)
        except connection.Failure as error:
            return _failed(self._knowledge, error)
        return _learnt(self._knowledge, claims, live=not signed_out)

    def is_signed_out(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> bool:
        """As `Guard.is_signed_out`."""
        answer = self.standing(claims, home_account_id=home_account_id)
        return self._refuse if answer == "unknown" else answer == "ended"

    def _hear(self, eviction: Eviction) -> None:
        self._knowledge.note(eviction)
        if self._on_eviction is not None:
            self._on_eviction(eviction)

    def _reset(self) -> None:
        self._knowledge.forget()
        if self._on_reset is not None:
            self._on_reset()


class PerProcess:
    """A `ThreadGuard` in every process that asks for one: threads do not survive a fork.

    Args:
        make: Makes a guard, not started.
    """

    def __init__(self, make: Callable[[], ThreadGuard]) -> None:
        self._make = make
        # By process id, so that no lock is needed that another thread might hold while forking.
        self._guards: dict[int, ThreadGuard] = {}

    def get(self) -> ThreadGuard:
        """This process's guard, started on the first call."""
        pid = os.getpid()
        guard = self._guards.get(pid)
        if guard is None:
            candidate = self._make()
            guard = self._guards.setdefault(pid, candidate)
            if guard is candidate:
                guard.start()
        return guard

    def stop(self) -> None:
        """Stop this process's guard, if it has one; `get` starts another."""
        guard = self._guards.pop(os.getpid(), None)
        if guard is not None:
            guard.stop()


def _failed(knowledge: Knowledge, error: BaseException) -> Standing:
    log.warning("cannot ask Redis about a session: %s", connection.describe(error))
    knowledge.redis_failed()
    return "unknown"


def _learnt(knowledge: Knowledge, claims: Mapping[str, Any], *, live: bool) -> Standing:
    if live:
        knowledge.learn(claims)
    return "live" if live else "ended"


async def _call(function: Callable[..., Awaitable[None] | None] | None, *arguments: object) -> None:
    result = function(*arguments) if function is not None else None
    if inspect.isawaitable(result):
        await result
