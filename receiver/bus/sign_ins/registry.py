"""The sessions registry and the marks: who signed in with which account, and who is signed out already.

No token is ever stored. What stands here is what an app chose to name: an account id, cache keys, session
keys. Keys hold digests of `sub` and `sid`, never the claims.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from receiver.bus.lua import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.bus.keys import Keys
    from receiver.core.sign_in import SignIn

REGISTER = Script.read("register")


def register_calls(
    keys: Keys, sign_in: SignIn, *, now_s: float, lifetime_s: int
) -> list[tuple[Sequence[str], Sequence[str | int]]]:
    """Keys and arguments of register.lua, once for each client the sign-in may be of.

    The script answers 1 for registered, 0 for signed out already; one 0 among the answers means signed out.
    """
    user, session, account = sign_in.digests
    names = (
        keys.user(user),
        keys.session_bucket(session or "---"),
        keys.account_bucket(account or "---"),
        *mark_keys(keys, sign_in),
    )
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
    )
    return [(names, (*before, json.dumps(client_id), *after)) for client_id in sign_in.client_ids]


def mark_keys(keys: Keys, sign_in: SignIn) -> list[str]:
    """Every mark that could end this session, and the epoch, in the order of `SignIn.is_ended_by`."""
    return [*(keys.mark(*name) for names in sign_in.marks for name in names), keys.epoch]


def _seconds(instant: float | None) -> str:
    return "" if instant is None else f"{instant:.0f}"
