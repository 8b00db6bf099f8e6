"""Register sign-ins, and ask whether a session is signed out: for async apps and for sync ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Unpack

from redis.exceptions import NoScriptError

from receiver.bus import connection
from receiver.bus.keys import DEFAULT_PREFIX, Keys
from receiver.bus.registry import REGISTER, SignIn, any_mark_ends, mark_keys, register_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import redis
    import redis.asyncio

    from receiver.bus.connection import Options as RedisOptions

DEFAULT_LIFETIME_S = 14 * 86_400
"""Seconds a registration is kept; at least as long as the app's longest session."""

TIMEOUT_S = 2.0
"""Seconds one question to Redis may take."""


def sign_in_from(claims: Mapping[str, Any], *, home_account_id: str | None = None, keys: Iterable[str] = ()) -> SignIn:
    """The sign-in an ID token describes.

    Args:
        claims: The validated ID token's claims, as MSAL returns them in `id_token_claims`; `iss`, `aud` and
            `sub` must be there, `sid` and `auth_time` should. Where `auth_time` is not, `iat` tells when the
            session had begun, so pass the claims received at sign-in, not those of a later refresh.
        home_account_id: MSAL's account key; None takes the `sub`, right for OPs that send no `client_info`.
        keys: Names of the app's own cache entries and sessions for this sign-in.

    Raises:
        ValueError: a claim is missing or has the wrong type.
    """
    aud = claims.get("aud")
    client_id = claims.get("azp") or (aud[0] if isinstance(aud, list) and aud else aud)
    iss, sub, sid = claims.get("iss"), claims.get("sub"), claims.get("sid")
    if not (isinstance(iss, str) and isinstance(sub, str) and isinstance(client_id, str)):
        raise ValueError("claims need iss, sub and aud; pass the ID token's claims")  # noqa: TRY004
    return SignIn(
        iss=iss,
        client_id=client_id,
        sub=sub,
        sid=sid if isinstance(sid, str) and sid else None,
        auth_time=_seconds(claims.get("auth_time")),
        began_at=_seconds(claims.get("iat")),
        home_account_id=home_account_id or sub,
        keys=tuple(keys),
    )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class Sessions:
    """The registry, for async apps.

    Args:
        redis_url: The Redis the receiver publishes to.
        prefix: Key prefix the receiver uses.
        lifetime_s: Seconds a registration is kept.
        redis_options: User, password, TLS files: see `receiver.bus.connection.Options`.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = DEFAULT_PREFIX,
        lifetime_s: int = DEFAULT_LIFETIME_S,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        self._client: redis.asyncio.Redis = connection.connect(
            redis_url, timeout_s=TIMEOUT_S, prefix=prefix, **redis_options
        )
        self._keys = Keys(prefix)
        self._lifetime_s = lifetime_s

    async def register(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """Register a sign-in, unless it is signed out already; both in one atomic step.

        Args and ValueError as for `sign_in_from`.

        Returns:
            False when the session was signed out before it was registered: end it.

        Raises:
            redis.RedisError: Redis did not answer; nothing is known.
        """
        sign_in = sign_in_from(claims, home_account_id=home_account_id, keys=keys)
        call = register_call(self._keys, sign_in, now_s=time.time(), lifetime_s=self._lifetime_s)
        return bool(await REGISTER.run(self._client, *call))

    async def is_signed_out(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> bool:
        """Whether a logout has ended the session these ID token claims are of.

        Args and ValueError as for `sign_in_from`; without the account a logout of the same person under
        another, pairwise `sub` may not be seen.

        Raises:
            redis.RedisError: Redis did not answer; nothing is known.
        """
        sign_in = sign_in_from(claims, home_account_id=home_account_id)
        return any_mark_ends(await self._client.mget(mark_keys(self._keys, sign_in)), sign_in)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class SyncSessions:
    """The registry, for apps without an event loop; the same calls, blocking."""

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = DEFAULT_PREFIX,
        lifetime_s: int = DEFAULT_LIFETIME_S,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        self._client: redis.Redis = connection.connect_sync(
            redis_url, timeout_s=TIMEOUT_S, prefix=prefix, **redis_options
        )
        self._keys = Keys(prefix)
        self._lifetime_s = lifetime_s

    def register(
        self, claims: Mapping[str, Any], *, home_account_id: str | None = None, keys: Iterable[str] = ()
    ) -> bool:
        """As `Sessions.register`."""
        sign_in = sign_in_from(claims, home_account_id=home_account_id, keys=keys)
        names, arguments = register_call(self._keys, sign_in, now_s=time.time(), lifetime_s=self._lifetime_s)
        command = (len(names), *names, *arguments)
        try:
            return bool(self._client.evalsha(REGISTER.sha, *command))  # type: ignore[arg-type]
        except NoScriptError:
            return bool(self._client.eval(REGISTER.text, *command))  # type: ignore[arg-type]

    def is_signed_out(self, claims: Mapping[str, Any], *, home_account_id: str | None = None) -> bool:
        """As `Sessions.is_signed_out`."""
        sign_in = sign_in_from(claims, home_account_id=home_account_id)
        return any_mark_ends(self._client.mget(mark_keys(self._keys, sign_in)), sign_in)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
