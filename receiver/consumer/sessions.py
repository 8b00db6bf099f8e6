"""Register sign-ins, and ask whether a session is signed out: for async apps and for sync ones."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, cast

from receiver.bus.keys import DEFAULT_PREFIX, KeyNames
from receiver.bus.link import connection
from receiver.bus.link.connection import RedisOptions
from receiver.bus.sign_ins.names import NameKind, name_digest, note
from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.consumer.background import BackgroundLoop, PerProcess
from receiver.consumer.questions import TIMEOUT_S, Questions
from receiver.core.marks import CLOCK_SKEW_S
from receiver.core.sign_in import SignIn, from_claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import redis.asyncio

    from receiver.bus.sign_ins.registry import Look

DEFAULT_LIFETIME_S = 14 * 86_400
"""Seconds a registration is kept; at least as long as the app's longest session."""


class Named(TypedDict, total=False):
    """What an app knows of a sign-in beside the claims.

    Attributes:
        home_account_id: MSAL's account key; None takes the `sub`.
        keys: Names of the app's own cache entries and sessions.
    """

    home_account_id: str | None
    keys: Iterable[str]


class RegistryOptions(TypedDict, total=False):
    """How an app registers.

    Attributes:
        prefix: Key prefix the receiver uses. Default `{logout}`.
        lifetime_s: Seconds a registration is kept. Default 14 days.
        client_id: The app's own at the OP: tells which client is meant where an ID token names several.
        clock_skew_s: Seconds the clocks of OP and receiver may differ. Default 60. So long before an operator's order a
            sign-in may have authenticated and register after it; so long after it one that does not register is ended.
    """

    prefix: str
    lifetime_s: int
    client_id: str | None
    clock_skew_s: float


class SessionsOptions(RegistryOptions, RedisOptions, total=False):
    """What `Sessions` takes beside the URL: user, password, TLS files as well."""


class Registry:
    """The registry on a client of another owner.

    Args:
        client: Gives the client; its owner may put another one in its place.
        options: How to register.
    """

    def __init__(self, client: Callable[[], redis.asyncio.Redis], **options: Unpack[RegistryOptions]) -> None:
        self._client = client
        self._questions = Questions(client)
        self._keys = KeyNames(options.get("prefix", DEFAULT_PREFIX))
        self._sign_ins = SignIns(client, self._keys, clock=time.time, mget=self._questions.mget)
        self._lifetime_s = options.get("lifetime_s", DEFAULT_LIFETIME_S)
        self._client_id = options.get("client_id")
        self._skew_s = options.get("clock_skew_s", CLOCK_SKEW_S)

    def sign_in_from(self, claims: Mapping[str, Any] | SignIn, **named: Unpack[Named]) -> SignIn:
        """What the claims say, to be asked about several times; arguments and ValueError as for `sign_in.from_claims`.

        Args:
            claims: A `SignIn` is taken as it is.
            named: What else is known of it.
        """
        if isinstance(claims, SignIn):
            return claims
        return from_claims(claims, client_id=self._client_id, **named)

    async def enter(self, sign_in: SignIn, *, anew: bool = False) -> Look:
        """As `register`, for what was read already, and with what Redis said in full."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._sign_ins.register(sign_in, lifetime_s=self._lifetime_s, skew_s=self._skew_s, anew=anew)

    async def look(self, sign_in: SignIn) -> Look:
        """As `is_signed_out`, for what was read already, and with what Redis said in full.

        Questions of one moment share a round trip.
        """
        async with asyncio.timeout(TIMEOUT_S):
            return await self._sign_ins.ask(sign_in, skew_s=self._skew_s)

    async def register(self, claims: Mapping[str, Any] | SignIn, *, anew: bool = False, **named: Unpack[Named]) -> bool:
        """Register a sign-in, unless it is signed out already; both in one atomic step.

        Args:
            claims: As for `sign_in_from`, ValueError too.
            anew: The user has just authenticated at the OP because the app asked for it (`prompt=login` or `max_age=0`
                in the very request that this answers): newer than every logout so far.
            named: As for `sign_in_from`.

        Returns:
            False when the session was signed out before it was registered: end it.

        Raises:
            redis.RedisError: Redis did not answer; nothing is known.
        """
        return not (await self.enter(self.sign_in_from(claims, **named), anew=anew)).ended

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

    async def aclose(self) -> None:
        """End the questions under way; the client is its owner's to close."""
        await self._questions.aclose()


class Sessions(Registry):
    """The registry, for async apps. May be used as `async with Sessions(...) as sessions`.

    Args:
        redis_url: The Redis the receiver publishes to.
        options: See `SessionsOptions`.

    Raises:
        ConfigurationError: the URL or an option cannot be used.
    """

    def __init__(self, redis_url: str, **options: Unpack[SessionsOptions]) -> None:
        how, where = split(options)
        prefix = how.get("prefix", DEFAULT_PREFIX)
        client = connection.connect(redis_url, timeout_s=TIMEOUT_S, prefix=prefix, **where)
        super().__init__(lambda: client, **how)

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

    def __init__(self, redis_url: str, **options: Unpack[SessionsOptions]) -> None:
        def make() -> _Background:
            return _Background(Sessions(redis_url, **options))

        make()  # refuses a URL now and not at the first question
        self._processes = PerProcess(make)

    def __enter__(self) -> Self:
        """Nothing is done before the first question."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def register(self, claims: Mapping[str, Any] | SignIn, *, anew: bool = False, **named: Unpack[Named]) -> bool:
        """As `Sessions.register`."""
        here = self._processes.get()
        return here.loop.run(here.sessions.register(claims, anew=anew, **named))

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


def split(options: SessionsOptions) -> tuple[RegistryOptions, RedisOptions]:
    """How to register, and how to reach Redis; TypeError for what is neither."""
    how = {name: value for name, value in options.items() if name in RegistryOptions.__annotations__}
    where = {name: value for name, value in options.items() if name not in how}
    unknown = where.keys() - RedisOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"no such argument: {', '.join(sorted(unknown))}")
    return cast("RegistryOptions", how), cast("RedisOptions", where)


SyncSessions = ThreadSessions
"""The old name."""
