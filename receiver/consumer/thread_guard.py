"""A guard for apps without an event loop: it runs on the loop of a daemon thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, Unpack

from receiver.consumer.background import BackgroundLoop, off_loop
from receiver.consumer.guard import Guard, GuardOptions
from receiver.core.sign_in import SignIn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.consumer.health import Health
    from receiver.consumer.knowledge import Status
    from receiver.consumer.sessions import Named


class ThreadGuard:
    """A `Guard` for apps without an event loop: it runs on the loop of a daemon thread, and the calls block.

    Takes the same arguments; the handlers are called in other threads, for some evictions side by side. Start it once
    per process, after a fork, or use `with`; `PerProcess` does it by itself.

    Attributes:
        knowledge: As of `Guard`.
    """

    def __init__(self, redis_url: str, **options: Unpack[GuardOptions]) -> None:
        on_eviction, on_reset = options.get("on_eviction"), options.get("on_reset")
        options["on_eviction"] = on_eviction and off_loop(on_eviction)
        options["on_reset"] = on_reset and off_loop(on_reset)
        self._guard = Guard(redis_url, **options)
        self.knowledge = self._guard.knowledge
        self._loop = BackgroundLoop(name=f"evictions-{options['app']}")

    def __enter__(self) -> Self:
        """Begin to listen."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self.stop()

    def start(self) -> None:
        """As `Guard.start`; it is stopped when the interpreter of this process ends."""
        self._loop.run(self._guard.start())
        self._loop.leave_with_process(self._guard.stop)

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

    def sign_in_from(self, claims: Mapping[str, Any] | SignIn, **named: Unpack[Named]) -> SignIn:
        """As `Guard.sign_in_from`."""
        return self._guard.sign_in_from(claims, **named)

    def register(self, claims: Mapping[str, Any] | SignIn, *, anew: bool = False, **named: Unpack[Named]) -> bool:
        """As `Guard.register`."""
        return self._loop.run(self._guard.register(claims, anew=anew, **named))

    def sign_in(self, claims: Mapping[str, Any] | SignIn, *, anew: bool = False, **named: Unpack[Named]) -> Status:
        """As `Guard.sign_in`."""
        return self._loop.run(self._guard.sign_in(claims, anew=anew, **named))

    def cached_status(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> Status:
        """As `Guard.cached_status`."""
        return self._guard.cached_status(claims, home_account_id=home_account_id)

    @property
    def known(self) -> Callable[[SignIn], Status]:
        """As `Guard.known`."""
        return self.knowledge.known

    def status(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> Status:
        """As `Guard.status`."""
        sign_in = claims
        if not isinstance(sign_in, SignIn):
            sign_in = self.sign_in_from(sign_in, home_account_id=home_account_id)
        # Nearly always answered here, without a change of threads.
        answer = self._guard.cached_status(sign_in)
        return answer if answer != "unknown" else self._loop.run(self._guard.status(sign_in))

    def token_status(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, cached_at: float | None = None
    ) -> Status:
        """As `Guard.token_status`."""
        asked = self._guard.token_status(claims, home_account_id=home_account_id, cached_at=cached_at)
        return self._loop.run(asked)

    def is_signed_out(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> bool:
        """As `Guard.is_signed_out`."""
        return self._guard._signed_out(self.status(claims, home_account_id=home_account_id))  # noqa: SLF001
