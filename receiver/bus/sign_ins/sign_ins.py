"""The registry of sign-ins, asked and told: by the apps themselves, and by the receiver for apps that use HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.bus.sign_ins.registry import NEWER, REGISTER, SIGNED_OUT, Look, StatusQuestion, register_calls
from receiver.core.marks import CLOCK_SKEW_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import redis.asyncio

    from receiver.bus.keys import KeyNames
    from receiver.core.sign_in import SignIn


class SignIns:
    """Registers sign-ins and knows which are signed out. Every method may raise what `connection.Failure` names.

    Args:
        client: Gives the client; its owner may put another one in its place.
        keys: Key names.
        clock: NumericDate seconds.
        loads_scripts: Whether the Redis user may `SCRIPT LOAD`, as the receiver's; apps may `EVAL`.
        mget: Reads keys, in place of the client.
    """

    def __init__(
        self,
        client: Callable[[], redis.asyncio.Redis],
        keys: KeyNames,
        *,
        clock: Callable[[], float],
        loads_scripts: bool = False,
        mget: Callable[[Sequence[str]], Awaitable[list[bytes | None]]] | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._mget = mget
        self._run = REGISTER.run_loaded if loads_scripts else REGISTER.run

    async def register(
        self, sign_in: SignIn, *, lifetime_s: int, skew_s: float = CLOCK_SKEW_S, anew: bool = False
    ) -> Look:
        """Register a sign-in, unless it is signed out already; one atomic step for each client it may be of.

        Args:
            sign_in: What the app was told.
            lifetime_s: Seconds to keep it.
            skew_s: Seconds the clocks of OP and receiver may differ.
            anew: Whether the user has just authenticated at the OP because the app asked for it.
        """
        calls = register_calls(
            self._keys, sign_in, now_s=self._clock(), lifetime_s=lifetime_s, skew_s=skew_s, anew=anew
        )
        answers = [await self._run(self._client(), *call) for call in calls]
        return Look(SIGNED_OUT in answers, NEWER in answers, has_epoch=False)

    async def ask(self, sign_in: SignIn, *, skew_s: float) -> Look:
        """Whether a logout has ended this session, by what is noted; `skew_s` as for `register`."""
        question = StatusQuestion(self._keys, sign_in, skew_s=skew_s)
        found = await (self._client().mget(question.keys) if self._mget is None else self._mget(question.keys))
        return question.answer(found)
