"""What decisions are made about: the cases of the vectors."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

ISS = "https://op.example/t1"
CLIENT = "c1"
AT = 1_750_000_000
"""NumericDate seconds of the logout."""

MAX_TEXT = 2_000
"""Characters of the longest event that is written into the file."""

CLAIMS: dict[str, Any] = {"iss": ISS, "aud": CLIENT, "auth_time": AT - 100, "iat": AT - 90}
EVICTION: dict[str, Any] = {
    "id": "e", "tenant": "t1", "iss": ISS, "client_id": CLIENT, "sub": "u", "sid": None, "scope": "user",
    "logout_at": AT, "received_at": AT + 1.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session and the marks there are.

    Attributes:
        name: Of the case.
        claims: Changes to `CLAIMS`; `...` leaves one out.
        own_account: Whether the account is another name than the `sub`.
        marks: Of what to which date; ` for ` and a client after it make it that client's.
    """

    name: str
    claims: dict[str, Any] = field(default_factory=dict)
    own_account: bool = False
    marks: dict[str, int | str] = field(default_factory=dict)


OLD, SAME, NEW = {"auth_time": AT - 1}, {"auth_time": AT}, {"auth_time": AT + 1}
UNDATED = {"auth_time": ..., "iat": ...}

SESSIONS = [
    Session(name="no mark"),
    *(
        Session(name=f"{of} {when}", claims=claims, marks={of: AT}, own_account=of == "account")
        for of in ("sub", "sid", "account", "sid+sub")
        for when, claims in (("before", OLD), ("same second", SAME), ("after", NEW))
    ),
    Session(name="user, no auth_time, iat before", claims={"auth_time": ..., "iat": AT - 1}, marks={"sub": AT}),
    Session(name="user, no auth_time, iat the same second", claims={"auth_time": ..., "iat": AT}, marks={"sub": AT}),
    Session(name="user, no auth_time, iat after", claims={"auth_time": ..., "iat": AT + 1}, marks={"sub": AT}),
    Session(name="user, auth_time before, iat after", claims={**OLD, "iat": AT + 9}, marks={"sub": AT}),
    Session(name="user, neither", claims=UNDATED, marks={"sub": AT}),
    Session(name="session, no auth_time, iat after", claims={"auth_time": ..., "iat": AT + 1}, marks={"sid": AT}),
    Session(name="session, neither", claims=UNDATED, marks={"sid": AT}),
    Session(name="no sid, a mark on one", claims={"sid": ...}, marks={"sid": AT}),
    Session(name="empty sid", claims={"sid": ""}, marks={"sid": AT}),
    Session(name="sid not a string", claims={"sid": 7}, marks={"sid": AT}),
    Session(name="session of another subject", marks={"sid+other": AT}),
    Session(name="another issuer's", marks={"other iss": AT}),
    Session(name="account that is the sub", marks={"account": AT}),
    Session(name="for this client", marks={f"sub for {CLIENT}": AT}),
    Session(name="for another client", marks={"sub for c2": AT}),
    Session(name="sid for this client", marks={f"sid for {CLIENT}": AT}),
    Session(name="sid for another client", marks={"sid for c2": AT}),
    Session(name="account for this client", own_account=True, marks={f"account for {CLIENT}": AT}),
    Session(name="sid+sub for this client", marks={f"sid+sub for {CLIENT}": AT}),
    Session(name="aud of two, own named", claims={"aud": ["c2", CLIENT]}, marks={"sub for c2": AT}),
    Session(name="aud of two, own named and meant", claims={"aud": ["c2", CLIENT]}, marks={f"sub for {CLIENT}": AT}),
    Session(name="aud of two others", claims={"aud": ["c2", "c3"]}, marks={"sub for c3": AT}),
    Session(name="azp says which", claims={"aud": ["c2", CLIENT], "azp": "c2"}, marks={"sub for c2": AT}),
    Session(name="azp says another", claims={"aud": ["c2", CLIENT], "azp": "c2"}, marks={f"sub for {CLIENT}": AT}),
    Session(name="aud of one that is not ours", claims={"aud": "c2"}, marks={"sub for c2": AT}),
    *(
        Session(name=f"auth_time {value!r}", claims={"auth_time": value, "iat": ...}, marks={of: AT})
        for value in (AT * 1000, "tomorrow", str(AT + 1), True, -1, None, AT + 0.5)
        for of in ("sub", "sid")
    ),
    *(Session(name=f"mark {value!r}", marks={"sub": value}) for value in ("", "abc", "nan", "inf", "-1", f"{AT}.5")),
    *(
        Session(
            name=f"order, {of}, {after} s later, {digits}",
            claims={"auth_time": AT + after, "iat": AT + 99},
            marks={of: f"{AT}.{digits}"},
        )
        for of in ("sub", "sid")
        for after in (60, 61)
        for digits in ("0001", "0011")
    ),
    *(
        Session(
            name=f"order on sessions, {of}, given {after} s later",
            claims={**OLD, "iat": AT + after},
            marks={of: f"{AT}.0002"},
        )
        for of in ("sub", "sid")
        for after in (60, 61)
    ),
    Session(name="order on sessions, no iat", claims={"auth_time": AT + 61, "iat": ...}, marks={"sub": f"{AT}.0002"}),
    Session(name="order on sessions, neither", claims=UNDATED, marks={"sub": f"{AT}.0002"}),
    Session(name="counted, same second", claims=SAME, marks={"sub": f"{AT}.0030"}),
    Session(name="counted, after", claims=NEW, marks={"sub": f"{AT}.0030"}),
    Session(name="a source that is none, after", claims=NEW, marks={"sub": f"{AT}.0007"}),
    Session(name="anew, as new as the mark", marks={"sub": f"{AT}.0011", "anew": f"{AT}.0011"}),
    Session(name="anew, older than the mark", marks={"sub": f"{AT}.0011", "anew": f"{AT}.0001"}),
    Session(name="anew, newer than one of two", marks={"sub": AT, "sid": AT + 1, "anew": AT}),
    Session(name="anew, newer than the epoch", marks={"epoch": AT, "anew": AT}),
    Session(name="anew, older than the epoch", marks={"epoch": AT, "anew": AT - 1}),
    Session(name="anew, whole seconds", claims={"auth_time": AT - 9.5, "iat": AT - 5.5}, marks={"sub": AT, "anew": AT}),
    Session(name="anew, no dates, no sid", claims={**UNDATED, "sid": ...}, marks={"sub": AT, "anew": AT}),
    Session(name="epoch after", marks={"epoch": AT - 89}),
    Session(name="epoch the same second", marks={"epoch": AT - 90}),
    Session(name="epoch before", marks={"epoch": AT - 91}),
    Session(name="epoch 0", marks={"epoch": 0}),
    Session(name="epoch, old auth_time, new iat", claims={"auth_time": 1, "iat": AT}, marks={"epoch": AT}),
    Session(name="epoch, no iat", claims={"iat": ...}, marks={"epoch": AT}),
    Session(name="epoch, neither", claims=UNDATED, marks={"epoch": AT}),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An event and a session: what a listener may conclude from this event alone.

    Attributes:
        data: Members of `data` that no receiver writes so.
    """

    name: str
    event: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    account: str | None = None


HEARD = [
    Heard(name="the user", event={}),
    Heard(name="the user, later sign-in", event={}, claims=NEW),
    Heard(name="another user", event={"sub": "v"}),
    Heard(name="another issuer", event={"iss": "https://other.example"}),
    Heard(name="the session", event={"sid": "s", "scope": "session"}),
    Heard(name="the session by sid alone", event={"sub": None, "sid": "s", "scope": "session"}),
    Heard(name="another session of the user", event={"sid": "t", "scope": "session"}),
    Heard(name="the session, another sub", event={"sub": "v", "sid": "s", "scope": "session"}),
    Heard(name="the session, later sign-in", event={"sid": "s", "scope": "session"}, claims=NEW),
    Heard(name="the session, undated", event={"sid": "s", "scope": "session"}, claims=UNDATED),
    Heard(name="user scope names the session too", event={"sub": "v", "sid": "s"}),
    Heard(name="the account", event={"sub": "v", "accounts": ("a",)}, account="a"),
    Heard(name="the account, session scope", event={"sub": "v", "sid": "t", "scope": "session", "accounts": ("a",)},
          account="a"),
    Heard(name="this client", event={"applies_to": "client"}),
    Heard(name="another client", event={"applies_to": "client", "client_id": "c2"}),
    Heard(name="another client named, for the tenant", event={"client_id": "c2"}),
    Heard(name="an order", event={"input": "admin"}, claims={"auth_time": AT + 60}),
    Heard(name="an order, beyond the bound of the clocks", event={"input": "admin"}, claims={"auth_time": AT + 61}),
    Heard(name="an order on sessions", event={"input": "admin", "reauthenticate": False}, claims={"iat": AT + 60}),
    Heard(name="an order on sessions, given later", event={"input": "admin", "reauthenticate": False},
          claims={"iat": AT + 61}),
    *(
        Heard(name=f"an order, {json.dumps(value)} is not false", event={"input": "admin"},
              data={"reauthenticate": value}, claims={"iat": AT + 61})
        for value in (0, "false", "", None)
    ),
    Heard(name="no order that says false", event={"reauthenticate": False}, claims=NEW),
    Heard(name="an order for no client", event={"client_id": None}),
]  # fmt: skip

NUMBERS: list[list[str | None]] = [
    ["1", "2", "3"], ["5", "6"], ["1", "3"], ["2", "1"], ["1", "1"], ["1", "2", "1", "2"], ["1", None, "2", "3"],
    ["1", None, "3"], ["1", None, "4"], ["1", "abc", "1.5", "4"], ["1", "", "-1", "01", "3"],
    ["1", str(2**70), "3"], ["1", " 2", "2"], ["1", "1e3", "9"], [None, "7", "8"],
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value of an MSAL token cache, and when its user and session were signed out."""

    name: str
    value: dict[str, Any]
    marks: dict[str, float] = field(default_factory=dict)


def _jwt(**claims: Any) -> str:
    parts = ({"alg": "none"}, {"iss": ISS, "aud": CLIENT, "sub": "u", **claims})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, "c2ln"))


def _cache(*, cached_at: int | None = AT - 100, account: str = "u", **claims: Any) -> dict[str, Any]:
    whose = {"home_account_id": account, "client_id": CLIENT, "environment": "op.example"}
    access: dict[str, Any] = {**whose, "credential_type": "AccessToken", "secret": "at"}
    if cached_at is not None:
        access["cached_at"] = str(cached_at)
    value: dict[str, Any] = {
        "AccessToken": {"at": access},
        "RefreshToken": {"rt": {**whose, "credential_type": "RefreshToken", "secret": "rt"}},
        "Account": {"account": {"home_account_id": account, "environment": "op.example", "local_account_id": "u"}},
    }
    if claims:
        value["IdToken"] = {"id": {**whose, "credential_type": "IdToken", "secret": _jwt(**claims)}}
    return value


VALUES = [
    Value(name="no mark", value=_cache(auth_time=AT - 100, sid="s")),
    Value(name="user, auth_time before", value=_cache(auth_time=AT - 100), marks={"user_at": AT}),
    Value(name="user, auth_time before, token renewed", value=_cache(auth_time=AT - 100, iat=AT + 5, cached_at=AT + 5),
          marks={"user_at": AT}),
    Value(name="user, auth_time after", value=_cache(auth_time=AT + 1), marks={"user_at": AT}),
    Value(name="session, no auth_time", value=_cache(sid="s", cached_at=AT + 5), marks={"session_at": AT}),
    Value(name="session, auth_time after", value=_cache(sid="s", auth_time=AT + 1), marks={"session_at": AT}),
    Value(name="user, undated, token from before", value=_cache(sub="u"), marks={"user_at": AT}),
    Value(name="user, undated, token from after", value=_cache(sub="u", cached_at=AT + 5), marks={"user_at": AT}),
    Value(name="user, undated, no date on the token", value=_cache(sub="u", cached_at=None), marks={"user_at": AT}),
    Value(name="user, no ID token, from before", value=_cache(), marks={"user_at": AT}),
    Value(name="user, no ID token, from after", value=_cache(cached_at=AT + 5), marks={"user_at": AT}),
]  # fmt: skip
