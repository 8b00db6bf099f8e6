"""The sessions registry and the marks: who signed in with which account, and who is signed out already.

No token is ever stored. What stands here is what an app chose to name: an account id, cache keys, session
keys. Keys hold digests of `sub` and `sid`, never the claims.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.lua import Script
from receiver.core.marks import client_suffix, digest, is_ended

if TYPE_CHECKING:
    from collections.abc import Iterable

    from receiver.bus.keys import Keys

REGISTER = Script.read("register")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """One app's session of one user.

    Attributes:
        iss: Issuer of the ID token.
        client_id: The app.
        sub: Subject of the ID token.
        sid: Session at the OP; None when the OP issues none.
        auth_time: NumericDate seconds on the OP's clock when the user authenticated; None when unknown.
        home_account_id: MSAL's key of the account; None for apps without MSAL.
        keys: Names of the app's cache entries and sessions, given back in the eviction.
    """

    iss: str
    client_id: str
    sub: str
    sid: str | None = None
    auth_time: float | None = None
    home_account_id: str | None = None
    keys: tuple[str, ...] = ()


def register_command(keys: Keys, sign_in: SignIn, *, now_s: float, lifetime_s: int) -> tuple[str | int | float, ...]:
    """Key count, keys and arguments of register.lua; it answers 1 for registered, 0 for signed out already."""
    user = digest("sub", sign_in.iss, sign_in.sub)
    session = digest("sid", sign_in.iss, sign_in.sid) if sign_in.sid else ""
    pairwise = sign_in.home_account_id is not None and sign_in.home_account_id != sign_in.sub
    account = digest("account", sign_in.iss, sign_in.home_account_id or "") if pairwise else ""
    names = (
        keys.user(user),
        keys.session_bucket(session or "--"),
        keys.account(account or "-"),
        *mark_keys(keys, sign_in.iss, sign_in.client_id, sign_in.sub, sign_in.sid),
    )
    return (
        len(names),
        *names,
        user,
        session,
        account,
        int(now_s),
        lifetime_s,
        "" if sign_in.auth_time is None else f"{sign_in.auth_time:.0f}",
        json.dumps(sign_in.client_id),
        json.dumps(sign_in.home_account_id) if sign_in.home_account_id else "",
        ",".join(json.dumps(key) for key in sign_in.keys),
    )


def mark_keys(keys: Keys, iss: str, client_id: str, sub: str | None, sid: str | None) -> list[str]:
    """Every mark that could end this session: of its subject and its session, tenant-wide and for its client."""
    suffix = client_suffix(client_id)
    digests = [digest(kind, iss, value) for kind, value in (("sub", sub), ("sid", sid)) if value]
    return [keys.mark(name, end) for name in digests for end in ("", suffix)]


def any_mark_ends(marks: Iterable[bytes | str | None], auth_time: float | None) -> bool:
    """Whether one of the marks read by MGET ends a session that authenticated at `auth_time`."""
    return any(is_ended(float(mark), auth_time) for mark in marks if mark is not None)
