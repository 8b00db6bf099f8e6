"""The sessions registry and the marks: who signed in with which account, and who is signed out already.

No token is ever stored. What stands here is what an app chose to name: an account id, cache keys, session
keys. Keys hold digests of `sub` and `sid`, never the claims.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from receiver.bus.lua import Script
from receiver.core.marks import CLOCK_SKEW_S, awaited_name, read_mark, registers_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.bus.keys import KeyNames
    from receiver.core.sign_in import SignIn

REGISTER = Script.read("register", "date", "lines")


SIGNED_OUT, LIVE, NEWER = 0, 1, 2
"""What register.lua answers: not registered; registered; registered, and noted as newer than its marks."""


class Look(NamedTuple):
    """What Redis says of a session.

    Attributes:
        ended: Whether a logout, or the loss of all logouts, has ended it.
        newer: Whether it is noted as newer than marks that would end it by its dates.
        has_epoch: Whether a receiver has looked after this Redis since it was empty; False where that was not asked.
        user_at: NumericDate seconds of the user's latest logout that it is not noted as newer than; None for none, and
            where that was not asked.
    """

    ended: bool
    newer: bool
    has_epoch: bool
    user_at: float | None = None


def register_calls(
    keys: KeyNames, sign_in: SignIn, *, now_s: float, lifetime_s: int, skew_s: float = CLOCK_SKEW_S, anew: bool = False
) -> list[tuple[Sequence[str], Sequence[str | int]]]:
    """Keys and arguments of register.lua, once for each client the sign-in may be of.

    One `SIGNED_OUT` among the script's answers means that.

    Args:
        keys: Key names.
        sign_in: To be registered.
        now_s: NumericDate seconds.
        lifetime_s: Seconds to keep it.
        skew_s: Seconds the clocks of OP and receiver may differ.
        anew: Whether the user has just authenticated at the OP because the app asked for it: newer than every mark.
    """
    user, session, account = sign_in.digests
    names = (keys.user(user), keys.session_bucket(session or "---"), keys.account_bucket(account or "---"))
    marks = mark_keys(keys, sign_in)
    # Without an account the subject is taken for it.
    places = dict.fromkeys(filter(None, (sign_in.home_account_id or sign_in.sub, *sign_in.keys)))
    awaited = [keys.anew(awaited_name(place)) for place in places]
    registers = keys.anew(registers_name(sign_in.iss))
    before = (
        user,
        session,
        account,
        int(now_s),
        lifetime_s,
        _seconds(sign_in.auth_time),
        _seconds(sign_in.latest_beginning),
    )
    after = (
        json.dumps(sign_in.home_account_id) if sign_in.home_account_id else "",
        ",".join(json.dumps(key) for key in sign_in.keys),
        len(sign_in.marks.of_user),
        _seconds(sign_in.given_at),
        f"{skew_s:.0f}",
        "anew" if anew else "",
        len(awaited),
    )
    return [
        (
            (*names, *map(keys.anew, sign_in.anew_names(client_id)), *marks, *awaited, registers),
            (*before, json.dumps(client_id), *after),
        )
        for client_id in sign_in.client_ids
    ]


def mark_keys(keys: KeyNames, sign_in: SignIn) -> list[str]:
    """Every mark that could end this session, and the epoch, in the order of `SignIn.is_ended_by`."""
    return [*(keys.mark(*name) for names in sign_in.marks for name in names), keys.epoch]


class StatusQuestion:
    """Whether a session is over: what is to be read, and what the answer says.

    Args:
        keys: Key names.
        sign_in: The session's sign-in.
        skew_s: Seconds the clocks of OP and receiver may differ.

    Attributes:
        keys: To be read with one MGET.
    """

    def __init__(self, keys: KeyNames, sign_in: SignIn, *, skew_s: float) -> None:
        self._sign_in, self._skew_s = sign_in, skew_s
        as_noted = 1 if sign_in.cached else 0
        self._anew = [keys.anew(sign_in.anew_names(client_id)[as_noted]) for client_id in sign_in.client_ids]
        self.keys = [*self._anew, *mark_keys(keys, sign_in)]

    def answer(self, found: Sequence[bytes | str | None]) -> Look:
        """What the values say."""
        split = len(self._anew)
        noted = [mark.value for mark in map(read_mark, found[:split]) if mark is not None]
        newer_than = max(noted, default=None)
        ended = self._sign_in.is_ended_by(found[split:], skew_s=self._skew_s, newer_than=newer_than)
        of_user = map(read_mark, found[split : split + len(self._sign_in.marks.of_user)])
        dates = [mark.at for mark in of_user if mark is not None and (newer_than is None or mark.value > newer_than)]
        return Look(ended, newer_than is not None, found[-1] is not None, max(dates, default=None))


def _seconds(instant: float | None) -> str:
    return "" if instant is None else f"{instant:.0f}"
