"""Register sign-ins, and ask whether a session is signed out: for async apps and for sync ones."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self, Unpack

from receiver.bus.keys import DEFAULT_PREFIX, Keys
from receiver.bus.link import connection
from receiver.bus.sign_ins.names import name_digest, note
from receiver.bus.sign_ins.registry import REGISTER, mark_keys, register_calls
from receiver.consumer.background import BackgroundLoop, PerProcess
from receiver.consumer.questions import TIMEOUT_S, Questions
from receiver.core.sign_in import SignIn, from_claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import redis.asyncio

    from receiver.bus.link.connection import Options as RedisOptions
    from receiver.bus.sign_ins.names import NameKind

DEFAULT_LIFETIME_S = 14 * 86_400
"""Seconds a registration is kept; at least as long as the app's longest session."""


class Look(NamedTuple):
    """What Redis says of a session.

    Attributes:
        ended: Whether a logout, or the loss of all logouts, has ended it.
        has_epoch: Whether a receiver has looked after this Redis since it was empty.
    """

    ended: bool
    has_epoch: bool


class Registry:
    """The registry on a client of another owner.

    Args:
        client: Gives the client; its owner may put another one in its place.
        prefix: Key prefix the receiver uses.
        lifetime_s: Seconds a registration is kept.
        client_id: The app's own at the OP: tells which client is meant where an ID token names several.
    """

    def __init__(
        self,
        client: Callable[[], redis.asyncio.Redis],
        *,
        prefix: str = DEFAULT_PREFIX,
        lifetime_s: int = DEFAULT_LIFETIME_S,
        client_id: str | None = None,
    ) -> None:
        self._client = client
        self._keys = Keys(prefix)
        self._lifetime_s = lifetime_s
        self._client_id = client_id
        self._questions = Questions(client)

    def sign_in_from(
        self,
        claims: Mapping[str, Any] | SignIn,
        *,
        home_account_id: str | None = None,
        keys: Iterable[str] = (),
    ) -> SignIn:
        """What the claims say, to be asked about several times; arguments and ValueError as for `sign_in.from_claims`.

        Args:
            claims: A `SignIn` is taken as it is.
            home_account_id: MSAL's account key.
            keys: Names of the app's own entries.
        """
        if isinstance(claims, SignIn):
            return claims
        return from_claims(claims, client_id=self._client_id, home_account_id=home_account_id, keys=keys)

    async def register(
        self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """Register a sign-in, unless it is signed out already; both in one atomic step.

        Args and ValueError as for `sign_in_from`.

        Returns:
            False when the session was signed out before it was registered: end it.

        Raises:
            redis.RedisError: Redis did not answer; nothing is known.
        """
        sign_in = self.sign_in_from(claims, home_account_id=home_account_id, keys=keys)
        calls = register_calls(self._keys, sign_in, now_s=time.time(), lifetime_s=self._lifetime_s)
        async with asyncio.timeout(TIMEOUT_S):
            return all([await REGISTER.run(self._client(), *call) for call in calls])

    async def note_names(self, claims: Mapping[str, Any], *, username: str | None = None) -> None:
        """Let the user of these ID token claims be named by mail address and user name in an order or a revocation.

        Args:
            claims: Of the sign-in; `email` is noted only where `email_verified` is true, and `iss` and `sub` have to be
                there.
            username: A name that no other user of the OP can take; None notes none.

        Raises:
            ValueError: `iss` or `sub` is missing.
            redis.RedisError: Redis did not answer; the names may not be noted.
        """
        iss, sub = claims.get("iss"), claims.get("sub")
        if not (isinstance(iss, str) and isinstance(sub, str)):
            raise ValueError("claims need iss and sub; pass the ID token's claims")  # noqa: TRY004  # as for the others
        email = claims.get("email") if claims.get("email_verified") is True else None
        named: tuple[tuple[NameKind, object], ...] = (("email", email), ("username", username))
        async with asyncio.timeout(TIMEOUT_S):
            for kind, value in named:
                if isinstance(value, str) and value:
                    name = name_digest(kind, iss, value)
                    await note(self._client(), self._keys, name, sub, now_s=time.time(), lifetime_s=self._lifetime_s)

    async def is_signed_out(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> bool:
        """Whether a logout has ended the session these ID token claims are of.

        Args and ValueError as for `sign_in_from`; without the account a logout of the same person under
        another, pairwise `sub` may not be seen.

        Raises:
            redis.RedisError: Redis did not answer; nothing is known.
        """
        return (await self.look(self.sign_in_from(claims, home_account_id=home_account_id))).ended

    async def look(self, sign_in: SignIn) -> Look:
        """What Redis says of this session; raises as `is_signed_out`. Questions of one moment share a round trip."""
        async with asyncio.timeout(TIMEOUT_S):
            dates = await self._questions.mget(mark_keys(self._keys, sign_in))
        return Look(sign_in.is_ended_by(dates), dates[-1] is not None)

    async def aclose(self) -> None:
        """End the questions under way; the client is its owner's to close."""
        await self._questions.aclose()


class Sessions(Registry):
    """The registry, for async apps. May be used as `async with Sessions(...) as sessions`.

    Args:
        redis_url: The Redis the receiver publishes to.
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
        prefix: str = DEFAULT_PREFIX,
        lifetime_s: int = DEFAULT_LIFETIME_S,
        client_id: str | None = None,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        client = connection.connect(redis_url, timeout_s=TIMEOUT_S, prefix=prefix, **redis_options)
        super().__init__(lambda: client, prefix=prefix, lifetime_s=lifetime_s, client_id=client_id)

    async def __aenter__(self) -> Self:
        """Nothing is done before the first question."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await super().aclose()
        await self._client().aclose()


class ThreadSessions:
    """The registry, for apps without an event loop; the same arguments and calls, blocking.

    Asks from a thread of its own, started by the first call in each process, so it may be made before a fork. May be
    used as `with ThreadSessions(...) as sessions`.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = DEFAULT_PREFIX,
        lifetime_s: int = DEFAULT_LIFETIME_S,
        client_id: str | None = None,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        def make() -> _Background:
            return _Background(
                Sessions(redis_url, prefix=prefix, lifetime_s=lifetime_s, client_id=client_id, **redis_options)
            )

        make()  # refuses a URL now and not at the first question
        self._processes = PerProcess(make)

    def __enter__(self) -> Self:
        """Nothing is done before the first question."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def register(
        self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """As `Sessions.register`."""
        here = self._processes.get()
        return here.loop.run(here.sessions.register(claims, home_account_id=home_account_id, keys=keys))

    def note_names(self, claims: Mapping[str, Any], *, username: str | None = None) -> None:
        """As `Sessions.note_names`."""
        here = self._processes.get()
        here.loop.run(here.sessions.note_names(claims, username=username))

    def is_signed_out(self, claims: Mapping[str, Any] | SignIn, *, home_account_id: str | None = None) -> bool:
        """As `Sessions.is_signed_out`."""
        here = self._processes.get()
        return here.loop.run(here.sessions.is_signed_out(claims, home_account_id=home_account_id))

    def close(self) -> None:
        """Close this process's connections; another call opens them again."""
        self._processes.stop()


class _Background:
    """One process's connections and the loop they belong to."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.loop = BackgroundLoop(name="sessions")

    def start(self) -> None:
        """The loop begins with its first call."""

    def stop(self) -> None:
        """Close both."""
        self.loop.run(self.sessions.aclose())
        self.loop.close()


SyncSessions = ThreadSessions
"""The old name."""
