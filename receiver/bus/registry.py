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
    from collections.abc import Sequence

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
        began_at: NumericDate seconds by which the session had begun, for a user's logout where `auth_time` is
            unknown: the `iat` of the ID token received at sign-in. None takes `auth_time`.
        home_account_id: MSAL's key of the account; None for apps without MSAL.
        keys: Names of the app's cache entries and sessions, given back in the eviction.
    """

    iss: str
    client_id: str
    sub: str
    sid: str | None = None
    auth_time: float | None = None
    began_at: float | None = None
    home_account_id: str | None = None
    keys: tuple[str, ...] = ()

    @property
    def latest_beginning(self) -> float | None:
        """When the session had begun at the latest."""
        return self.began_at if self.auth_time is None else self.auth_time


def register_call(
    keys: Keys, sign_in: SignIn, *, now_s: float, lifetime_s: int
) -> tuple[Sequence[str], Sequence[str | int]]:
    """Keys and arguments of register.lua; it answers 1 for registered, 0 for signed out already."""
    user, session, account = _digests(sign_in)
    of_user, of_session = _mark_keys(keys, sign_in)
    names = (
        keys.user(user),
        keys.session_bucket(session or "---"),
        keys.account_bucket(account or "---"),
        *of_user,
        *of_session,
    )
    return names, (
        user,
        session,
        account,
        int(now_s),
        lifetime_s,
        _seconds(sign_in.auth_time),
        _seconds(sign_in.latest_beginning),
        json.dumps(sign_in.client_id),
        json.dumps(sign_in.home_account_id) if sign_in.home_account_id else "",
        ",".join(json.dumps(key) for key in sign_in.keys),
        len(of_user),
    )


def mark_keys(keys: Keys, sign_in: SignIn) -> list[str]:
    """Every mark that could end this session: of its subject and account, then of its session if it has an id."""
    of_user, of_session = _mark_keys(keys, sign_in)
    return of_user + of_session


def any_mark_ends(marks: Sequence[bytes | str | None], sign_in: SignIn) -> bool:
    """Whether one of the marks, as MGET of `mark_keys` answers, ends this session."""
    of_user = 4 if _digests(sign_in)[2] else 2
    return any(
        is_ended(float(mark), sign_in.latest_beginning if index < of_user else sign_in.auth_time)
        for index, mark in enumerate(marks)
        if mark is not None
    )


def _mark_keys(keys: Keys, sign_in: SignIn) -> tuple[list[str], list[str]]:
    """Marks of the user and of the session, for every client of the tenant and for this client only."""
    user, session, account = _digests(sign_in)
    ends = ("", client_suffix(sign_in.client_id))
    of_user = [keys.mark(name, end) for name in (user, account) if name for end in ends]
    # A session, and a session under one subject: see publish.lua.
    of_session = [keys.mark(name, end) for name in (session, f"{session}+{user}") if session for end in ends]
    return of_user, of_session


def _digests(sign_in: SignIn) -> tuple[str, str, str]:
    """Of the subject, of the session or empty, of the account or empty where it is the subject."""
    iss, account = sign_in.iss, sign_in.home_account_id
    return (
        digest("sub", iss, sign_in.sub),
        digest("sid", iss, sign_in.sid) if sign_in.sid else "",
        digest("account", iss, account) if account and account != sign_in.sub else "",
    )


def _seconds(instant: float | None) -> str:
    return "" if instant is None else f"{instant:.0f}"
