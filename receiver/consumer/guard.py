"""Stop a signed-out session at the next request: a local copy of recent marks, and Redis where it may not know.

A process hears every eviction, so a session it has asked Redis about once needs no network afterwards. It
asks again while its copy may be stale, that is while it cannot hear, and now and then where a logout may be
marked without an event (`knowledge.ASK_AGAIN_AFTER_S`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from redis.exceptions import NoPermissionError

from receiver.bus.keys import DEFAULT_PREFIX
from receiver.bus.link import connection
from receiver.consumer.background import BackgroundLoop, off_loop
from receiver.consumer.clearing import RefusingSubscriber
from receiver.consumer.knowledge import Knowledge, Status
from receiver.consumer.sessions import DEFAULT_LIFETIME_S, Look, Registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from typing import Self

    from receiver.bus.link.connection import Options as RedisOptions
    from receiver.consumer.health import Health
    from receiver.core.eviction import Eviction
    from receiver.core.sign_in import SignIn

log = logging.getLogger("receiver.consumer")


class Guard:
    """For async apps: knows whether a session is signed out. Start it once per process, or use `async with`.

    Args:
        redis_url: The Redis the receiver publishes to.
        app: The app's name.
        on_eviction: Also called for every eviction, to drop cached tokens and sessions; for some of them side by side,
            after requests are refused already, and for 30 s at most where it is async.
        on_reset: Also called when evictions were missed; drop every token whose owner cannot be asked about. The guard
            itself asks Redis again about each session.
        refuse_when_unknown: What `is_signed_out` answers when neither the local copy nor Redis can tell:
            False lets the request through, True treats the session as signed out.
        prefix: Key prefix the receiver uses.
        lifetime_s: Seconds a registration is kept.
        client_id: The app's own at the OP: tells which client is meant where an ID token names several.
        redis_options: User, password, TLS files: see `receiver.bus.link.connection.Options`.

    Raises:
        ConfigurationError: the URL or an option cannot be used.
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
        client_id: str | None = None,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        self._knowledge = Knowledge()
        self._refuse = refuse_when_unknown
        self._subscriber = RefusingSubscriber(
            redis_url, note=self._knowledge.note, forget=self._knowledge.forget, on_eviction=on_eviction,
            on_reset=on_reset, app=app, prefix=prefix, **redis_options,
        )  # fmt: skip
        # One pool for listening and for asking.
        self._registry = Registry(
            lambda: self._subscriber.client, prefix=prefix, lifetime_s=lifetime_s, client_id=client_id
        )
        self._question_failed: str | None = None
        self._told_of_rights = False
        self._prefix = prefix

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self.stop()

    async def start(self) -> None:
        """Begin to listen; returns at once, whether or not Redis can be reached yet."""
        await self._subscriber.__aenter__()

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        await self._subscriber.__aexit__()
        await self._registry.aclose()
        await self._subscriber.client.aclose()

    def health(self) -> Health:
        """Whether it hears, since when, and what went wrong last, in reading or in asking; from any thread."""
        health = self._subscriber.health()
        return replace(health, last_error=health.last_error or self._question_failed)

    async def caught_up(self) -> None:
        """As `Subscriber.caught_up`: from then on a request is refused at once for every logout there was."""
        await self._subscriber.caught_up()

    def sign_in_from(
        self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> SignIn:
        """As `Registry.sign_in_from`: what the other calls take in place of claims, so that they are read once."""
        return self._registry.sign_in_from(claims, home_account_id=home_account_id, keys=keys)

    async def register(
        self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """As `Registry.register`; False means the session is signed out already and must not begin."""
        return await self._registry.register(claims, home_account_id=home_account_id, keys=keys)

    async def sign_in(
        self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> Status:
        """Register a session; `live` when that is done, `unknown` when Redis did not answer. Never raises for Redis.

        Raises:
            ValueError: the claims have no `iss`, `sub` or `aud`.
        """
        sign_in = self.sign_in_from(claims, home_account_id=home_account_id, keys=keys)
        if self.cached_status(sign_in) == "ended":
            return "ended"
        return await self._ask(sign_in, self._register)

    def cached_status(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> Status:
        """What can be told without the network, from any thread; ValueError as for `sign_in`."""
        sign_in = self.sign_in_from(claims, home_account_id=home_account_id)
        return self._knowledge.status(sign_in, last_read_s=self._subscriber.last_read_s)

    async def status(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> Status:
        """Whether the session these ID token claims are of was signed out; ValueError as for `sign_in`."""
        sign_in = self.sign_in_from(claims, home_account_id=home_account_id)
        answer = self.cached_status(sign_in)
        return answer if answer != "unknown" else await self._ask(sign_in, self._registry.look)

    async def is_signed_out(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> bool:
        """As `status`, with the app's choice for what cannot be told."""
        return self._signed_out(await self.status(claims, home_account_id=home_account_id))

    async def _ask(self, sign_in: SignIn, question: Callable[[SignIn], Awaitable[Look]]) -> Status:
        if self._knowledge.redis_is_away:
            return "unknown"
        asked_at = time.monotonic()
        try:
            ended, has_epoch = await question(sign_in)
        except connection.Failure as error:
            self._question_failed = connection.describe(error)
            self._tell(error)
            self._knowledge.redis_failed()
            return "unknown"
        self._question_failed = None
        if ended:
            self._knowledge.learn_over(sign_in)
            return "ended"
        self._knowledge.learn(sign_in, asked_at=asked_at, has_epoch=has_epoch)
        return "live"

    async def _register(self, sign_in: SignIn) -> Look:
        # Whether there is an epoch it does not say; until that is known, each question goes to Redis.
        return Look(ended=not await self._registry.register(sign_in), has_epoch=False)

    def _tell(self, error: BaseException) -> None:
        if not isinstance(error, NoPermissionError):
            log.warning("cannot ask Redis about a session: %s", self._question_failed)
        elif not self._told_of_rights:
            self._told_of_rights = True
            log.warning(
                "the Redis user may not read what ends sessions, so only logouts heard from now on count; give it "
                "the rights of `listener` and `sessions` in docs/events.md, to read at least: "
                "ACL SETUSER <user> ~%s:mark:* +mget (%s)", self._prefix, self._question_failed,
            )  # fmt: skip

    def _signed_out(self, status: Status) -> bool:
        return self._refuse if status == "unknown" else status == "ended"


class ThreadGuard:
    """A `Guard` for apps without an event loop: it runs on the loop of a daemon thread, and the calls block.

    Takes the same arguments; the handlers are called in other threads, for some evictions side by side. Start it once
    per process, after a fork, or use `with`; `PerProcess` does it by itself.
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
        client_id: str | None = None,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        self._guard = Guard(
            redis_url, app=app, on_eviction=on_eviction and off_loop(on_eviction),
            on_reset=on_reset and off_loop(on_reset),
            refuse_when_unknown=refuse_when_unknown, prefix=prefix, lifetime_s=lifetime_s, client_id=client_id,
            **redis_options,
        )  # fmt: skip
        self._loop = BackgroundLoop(name=f"evictions-{app}")

    def __enter__(self) -> Self:
        """Begin to listen."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self.stop()

    def start(self) -> None:
        """As `Guard.start`."""
        self._loop.run(self._guard.start())

    def stop(self) -> None:
        """Stop listening, close the connections and wait for the handler call in progress."""
        self._loop.run(self._guard.stop())
        self._loop.close()

    def health(self) -> Health:
        """As `Guard.health`."""
        return self._guard.health()

    def caught_up(self, timeout_s: float) -> None:
        """As `Guard.caught_up`, for so many seconds; then TimeoutError."""

        async def wait() -> None:
            async with asyncio.timeout(timeout_s):
                await self._guard.caught_up()

        self._loop.run(wait())

    def sign_in_from(
        self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> SignIn:
        """As `Guard.sign_in_from`."""
        return self._guard.sign_in_from(claims, home_account_id=home_account_id, keys=keys)

    def register(
        self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """As `Guard.register`."""
        return self._loop.run(self._guard.register(claims, home_account_id=home_account_id, keys=keys))

    def sign_in(
        self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> Status:
        """As `Guard.sign_in`."""
        return self._loop.run(self._guard.sign_in(claims, home_account_id=home_account_id, keys=keys))

    def cached_status(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> Status:
        """As `Guard.cached_status`."""
        return self._guard.cached_status(claims, home_account_id=home_account_id)

    def status(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> Status:
        """As `Guard.status`."""
        sign_in = self.sign_in_from(claims, home_account_id=home_account_id)
        # Nearly always answered here, without a change of threads.
        answer = self.cached_status(sign_in)
        return answer if answer != "unknown" else self._loop.run(self._guard.status(sign_in))

    def is_signed_out(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> bool:
        """As `Guard.is_signed_out`."""
        return self._guard._signed_out(self.status(claims, home_account_id=home_account_id))  # noqa: SLF001
