"""Stop a signed-out session at the next request: a local copy of recent marks, and Redis where it may not know.

A process hears every eviction, so a session it has asked Redis about once needs no network afterwards. It
asks again while its copy may be stale, that is while it cannot hear, and now and then where a logout may be
marked without an event (`knowledge.ASK_AGAIN_AFTER_S`). What it heard about a session it has not asked about is not the
last word either: Redis knows which sign-ins are newer than a logout although their ID tokens do not show it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Required, Self, Unpack

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from receiver.bus.keys import DEFAULT_PREFIX
from receiver.bus.link import connection
from receiver.consumer.clearing import RefusingSubscriber
from receiver.consumer.knowledge import Knowledge, Status
from receiver.consumer.sessions import Named, Registry, SessionsOptions, split
from receiver.core.marks import CLOCK_SKEW_S
from receiver.core.sign_in import SignIn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import redis.asyncio

    from receiver.bus.sign_ins.registry import Look
    from receiver.consumer.health import Health
    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.consumer")


class GuardOptions(SessionsOptions, total=False):
    """What a guard takes beside the URL and what `Sessions` takes.

    Attributes:
        app: The app's name. Required.
        on_eviction: Also called for every eviction, to drop cached tokens and sessions; for some of them side by side,
            after requests are refused already, and for 30 s at most where it is async, which only `Guard` takes.
        on_reset: Also called when evictions were missed; drop every token if you cannot ask about its owner. The guard
            itself asks Redis again about each session.
        refuse_when_unknown: What `is_signed_out` answers when neither the local copy nor Redis can tell: False lets
            the request through, True treats the session as signed out. Default False.
    """

    app: Required[str]
    on_eviction: Callable[[Eviction], Any] | None
    on_reset: Callable[[], Any] | None
    refuse_when_unknown: bool


class Guard:
    """For async apps: knows whether a session is signed out. Start it once per process, or use `async with`.

    Args:
        redis_url: The Redis the receiver publishes to.
        options: See `GuardOptions`.

    Attributes:
        knowledge: What this process knows by itself.

    Raises:
        ConfigurationError: the URL or an option cannot be used.
    """

    def __init__(self, redis_url: str, **options: Unpack[GuardOptions]) -> None:
        given: Any = dict(options)
        self._app: str = given.pop("app")
        on_eviction, on_reset = given.pop("on_eviction", None), given.pop("on_reset", None)
        self._refuse = given.pop("refuse_when_unknown", False)
        how, where = split(given)
        self.knowledge = Knowledge(
            skew_s=how.get("clock_skew_s", CLOCK_SKEW_S), last_read=lambda: self._subscriber.last_read_s
        )
        self._prefix = how.get("prefix", DEFAULT_PREFIX)
        self._subscriber = RefusingSubscriber(
            redis_url, note=self.knowledge.note, forget=self.knowledge.forget, on_eviction=on_eviction,
            on_reset=on_reset, app=self._app, prefix=self._prefix, **where,
        )  # fmt: skip
        # One pool for listening and for asking.
        self._registry = Registry(self._client, **how)
        self._is_stopped = False
        self._question_failed: str | None = None
        self._told_of_rights = False

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self.stop()

    async def start(self) -> None:
        """Begin to listen; returns at once, whether or not Redis can be reached yet."""
        self._is_stopped = False
        self._say_choice()
        await self._subscriber.__aenter__()

    async def stop(self) -> None:
        """Stop listening and close the connections. Redis is not asked any more: what is not known is `unknown`."""
        self._is_stopped = True
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

    def sign_in_from(self, claims: Mapping[str, Any] | SignIn, **named: Unpack[Named]) -> SignIn:
        """As `Registry.sign_in_from`: what the other calls take in place of claims, so that they are read once."""
        return self._registry.sign_in_from(claims, **named)

    async def register(self, claims: Mapping[str, Any] | SignIn, *, anew: bool = False, **named: Unpack[Named]) -> bool:
        """As `Registry.register`; False means the session is signed out already and must not begin."""
        return await self._registry.register(claims, anew=anew, **named)

    async def sign_in(
        self, claims: Mapping[str, Any] | SignIn, *, anew: bool = False, **named: Unpack[Named]
    ) -> Status:
        """Register a session; `live` when that is done, `unknown` when Redis did not answer. Never raises for Redis.

        Args:
            claims: As for `Registry.register`.
            anew: As there.
            named: As there.

        Raises:
            ValueError: the claims have no `iss`, `sub` or `aud`.
        """
        sign_in = self.sign_in_from(claims, **named)
        return await self._ask(sign_in, lambda: self._registry.enter(sign_in, anew=anew), anew=anew)

    def cached_status(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> Status:
        """What can be told without the network, from any thread; ValueError as for `sign_in`."""
        sign_in = claims
        if not isinstance(sign_in, SignIn):
            sign_in = self.sign_in_from(sign_in, home_account_id=home_account_id)
        return self.known(sign_in)

    @property
    def known(self) -> Callable[[SignIn], Status]:
        """As `cached_status`, of a sign-in that was read before; a function that may be kept."""
        return self.knowledge.known

    async def status(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> Status:
        """Whether the session these ID token claims are of was signed out; ValueError as for `sign_in`."""
        sign_in = claims
        if not isinstance(sign_in, SignIn):
            sign_in = self.sign_in_from(sign_in, home_account_id=home_account_id)
        answer = self.cached_status(sign_in)
        return answer if answer != "unknown" else await self._ask(sign_in, lambda: self._registry.look(sign_in))

    async def token_status(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, cached_at: float | None = None
    ) -> Status:
        """Whether cached tokens may be used, or stored: where it is `ended`, they may not. ValueError as for `sign_in`.

        For an app that has no claims of the sign-in at hand; with those, `status` tells more.

        Args:
            claims: Of the ID token beside them, which may be a renewed one.
            home_account_id: MSAL's account key; None takes the `sub`.
            cached_at: NumericDate seconds when the oldest of them was cached. Counts where the ID token has no
                `auth_time`: then they count as over up to two minutes after a logout of the user.
        """
        sign_in = replace(self.sign_in_from(claims, home_account_id=home_account_id), cached=True)
        answer = self.known(sign_in)
        # Without `auth_time` it is told by the date of the mark, which only Redis has.
        if answer == "ended" or (answer == "live" and sign_in.auth_time is not None):
            return answer
        return await self._ask(
            sign_in, lambda: self._registry.look(sign_in),
            over=lambda said: sign_in.may_be_refreshed(said.user_at, cached_at=cached_at),
        )  # fmt: skip

    async def is_signed_out(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> bool:
        """As `status`, with the app's choice for what cannot be told."""
        return self._signed_out(await self.status(claims, home_account_id=home_account_id))

    async def _ask(
        self, sign_in: SignIn, question: Callable[[], Awaitable[Look]], *, anew: bool = False,
        over: Callable[[Look], bool] = lambda _: False,
    ) -> Status:  # fmt: skip
        # What was heard holds, also where Redis is away or has lost the mark; unless it knows better.
        looks_ended = not anew and self.knowledge.looks_ended(sign_in)
        if self._is_stopped or self.knowledge.redis_is_away:
            return "ended" if looks_ended else "unknown"
        asked_at = time.monotonic()
        try:
            said = await question()
        except connection.Failure as error:
            self._question_failed = connection.describe(error)
            self._tell(error)
            self.knowledge.redis_failed()
            return "ended" if looks_ended else "unknown"
        self._question_failed = None
        if over(said):
            return "ended"
        if said.ended or (looks_ended and not said.newer):
            self.knowledge.learn_over(sign_in)
            return "ended"
        self.knowledge.learn(sign_in, asked_at=asked_at, has_epoch=said.has_epoch, newer=anew or said.newer)
        return "live"

    def _client(self) -> redis.asyncio.Redis:
        if self._is_stopped:
            # What stops it has closed its connections, and closes none that is opened after that.
            raise RedisConnectionError("this guard was stopped")
        return self._subscriber.client

    def _say_choice(self) -> None:
        log.info("%s: unknown sessions are %s", self._app, "refused" if self._refuse else "served")

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
