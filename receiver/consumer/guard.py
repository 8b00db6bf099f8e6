"""Stop a signed-out session at the next request: a local copy of recent marks, and Redis where it may not know.

A process hears every eviction, so a session it has asked Redis about once needs no network afterwards. It
asks again while its copy may be stale, that is while it cannot hear.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from receiver.bus import connection
from receiver.bus.keys import DEFAULT_PREFIX
from receiver.consumer.sessions import DEFAULT_LIFETIME_S, Sessions, SyncSessions, sign_in_from
from receiver.consumer.subscriber import BLOCK_S, Subscriber, ThreadSubscriber
from receiver.core.local_marks import LocalMarks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.consumer")

STALE_AFTER_S = BLOCK_S * 2
"""Seconds without hearing from Redis after which the local copy is not believed alone."""

MAX_KNOWN = 100_000
"""Sessions remembered as asked about; the one asked longest ago gives way and is asked about again."""

_Identity = tuple[str, str, str, str | None, float | None]


class _Knowledge:
    """What one process knows; used by both guards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks = LocalMarks()
        self._asked: OrderedDict[_Identity, None] = OrderedDict()

    def note(self, eviction: Eviction) -> None:
        with self._lock:
            self._marks.note(eviction)

    def forget(self) -> None:
        """Entries were missed: nothing asked before can be believed."""
        with self._lock:
            self._asked.clear()

    def judge(self, claims: Mapping[str, Any], home_account_id: str | None, *, fresh: bool) -> bool | None:
        """True or False when this process knows, None when Redis has to be asked."""
        sign_in = sign_in_from(claims, home_account_id=home_account_id)
        with self._lock:
            answer = self._marks.judge(
                iss=sign_in.iss,
                client_id=sign_in.client_id,
                sub=sign_in.sub,
                sid=sign_in.sid,
                account=sign_in.home_account_id,
                auth_time=sign_in.auth_time,
                began_at=sign_in.latest_beginning,
            )
            if answer == "ended":
                return True
            known = answer == "unknown" and fresh and self._identity(claims) in self._asked
        return False if known else None

    def learn(self, claims: Mapping[str, Any]) -> None:
        """Redis said just now that this session is not signed out."""
        with self._lock:
            self._asked[self._identity(claims)] = None
            if len(self._asked) > MAX_KNOWN:
                self._asked.popitem(last=False)

    @staticmethod
    def _identity(claims: Mapping[str, Any]) -> _Identity:
        sign_in = sign_in_from(claims)
        return sign_in.iss, sign_in.client_id, sign_in.sub, sign_in.sid, sign_in.latest_beginning


class Guard:
    """For async apps: knows whether a session is signed out. Start it once per process.

    Args:
        redis_url: The Redis the receiver publishes to.
        app: The app's name.
        on_eviction: Also called for every eviction, to drop cached tokens and sessions.
        on_reset: Also called when evictions were missed; drop every cached token and session.
        refuse_when_unknown: What a request is answered when neither the local copy nor Redis can tell: False
            lets it through, True treats the session as signed out.
        prefix: Key prefix the receiver uses.
        lifetime_s: Seconds a registration is kept.
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
    ) -> None:
        self._knowledge = _Knowledge()
        self._on_eviction = on_eviction
        self._on_reset = on_reset
        self._refuse = refuse_when_unknown
        self._sessions = Sessions(redis_url, prefix=prefix, lifetime_s=lifetime_s)
        self._subscriber = Subscriber(redis_url, self._hear, app=app, on_reset=self._reset, prefix=prefix)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen; returns at once, whether or not Redis can be reached yet."""
        self._task = asyncio.create_task(self._subscriber.run(), name="evictions")

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.2)
        await self._sessions.aclose()

    async def register(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """As `Sessions.register`; False means the session is signed out already and must not begin."""
        return await self._sessions.register(claims, home_account_id=home_account_id, keys=keys)

    async def is_signed_out(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> bool:
        """Whether the session these ID token claims are of was signed out. Never raises for Redis.

        Raises:
            ValueError: the claims have no `iss`, `sub` or `aud`.
        """
        answer = self._knowledge.judge(claims, home_account_id, fresh=_is_fresh(self._subscriber.last_read_s))
        if answer is not None:
            return answer
        try:
            signed_out = await self._sessions.is_signed_out(claims)
        except connection.Failure as error:
            log.warning("cannot ask Redis about a session: %s", connection.describe(error))
            return self._refuse
        if not signed_out:
            self._knowledge.learn(claims)
        return signed_out

    async def _hear(self, eviction: Eviction) -> None:
        self._knowledge.note(eviction)
        await _call(self._on_eviction, eviction)

    async def _reset(self) -> None:
        self._knowledge.forget()
        await _call(self._on_reset)


class ThreadGuard:
    """The same for apps without an event loop; listens in a daemon thread, the calls block.

    Start it once per process, after a fork.
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
    ) -> None:
        self._knowledge = _Knowledge()
        self._on_eviction = on_eviction
        self._on_reset = on_reset
        self._refuse = refuse_when_unknown
        self._sessions = SyncSessions(redis_url, prefix=prefix, lifetime_s=lifetime_s)
        self._thread = ThreadSubscriber(redis_url, self._hear, app=app, on_reset=self._reset, prefix=prefix)

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

    def is_signed_out(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> bool:
        """As `Guard.is_signed_out`."""
        answer = self._knowledge.judge(claims, home_account_id, fresh=_is_fresh(self._thread.last_read_s))
        if answer is not None:
            return answer
        try:
            signed_out = self._sessions.is_signed_out(claims)
        except connection.Failure as error:
            log.warning("cannot ask Redis about a session: %s", connection.describe(error))
            return self._refuse
        if not signed_out:
            self._knowledge.learn(claims)
        return signed_out

    def _hear(self, eviction: Eviction) -> None:
        self._knowledge.note(eviction)
        if self._on_eviction is not None:
            self._on_eviction(eviction)

    def _reset(self) -> None:
        self._knowledge.forget()
        if self._on_reset is not None:
            self._on_reset()


def _is_fresh(last_read_s: float | None) -> bool:
    return last_read_s is not None and time.monotonic() - last_read_s < STALE_AFTER_S


async def _call(function: Callable[..., Awaitable[None] | None] | None, *arguments: object) -> None:
    result = function(*arguments) if function is not None else None
    if inspect.isawaitable(result):
        await result
