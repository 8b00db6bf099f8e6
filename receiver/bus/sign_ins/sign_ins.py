"""The sessions registry as the receiver itself asks it, for apps that register over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.bus.link.connection import Failure, describe
from receiver.bus.sign_ins.registry import REGISTER, mark_keys, register_calls
from receiver.errors import Code, DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis.asyncio

    from receiver.bus.keys import Keys
    from receiver.core.sign_in import SignIn


class SignIns:
    """Registers sign-ins and knows which are signed out; raises DependencyError `redis` when Redis does not answer.

    Args:
        client: Owned by the caller.
        keys: Key names.
        clock: NumericDate seconds.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock

    async def register(self, sign_in: SignIn, *, lifetime_s: int) -> bool:
        """Register a sign-in for `lifetime_s` seconds; False when it is signed out already. One atomic step."""
        calls = register_calls(self._keys, sign_in, now_s=self._clock(), lifetime_s=lifetime_s)
        try:
            return all([await REGISTER.run_loaded(self._client, *call) for call in calls])
        except Failure as error:
            raise DependencyError(Code.REDIS, f"Redis did not answer: {describe(error)}") from error

    async def is_signed_out(self, sign_in: SignIn) -> bool:
        """Whether a logout has ended this session."""
        try:
            marks = await self._client.mget(mark_keys(self._keys, sign_in))
        except Failure as error:
            raise DependencyError(Code.REDIS, f"Redis did not answer: {describe(error)}") from error
        return sign_in.is_ended_by(marks)
