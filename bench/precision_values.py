"""A Redis full of mixed keys: users' values in every layout, as libraries write them, and other programs' data."""

from __future__ import annotations

import json
import pickle
import random
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from cachelib.serializers import RedisSerializer
from django.core.cache.backends.redis import RedisSerializer as DjangoSerializer

from bench.cache_values import ISS, OTHER_WEB, WEB, account, claims, msal, sid

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHES: list[dict[str, Any]] = [
    {"name": "web", "layout": "microsoft-identity-web", "prefix": "webapps:"},
    {"name": "node", "layout": "msal-node", "prefix": "node:"},
    {"name": "py", "layout": "msal-python", "prefix": "py:"},
    {"name": "java", "layout": "msal4j", "prefix": "java:"},
    {"name": "flask", "layout": "flask-session"},
    {"name": "django", "layout": "django-session"},
    {"name": "express", "layout": "express-session"},
    {"name": "spring", "layout": "spring-session"},
]
ELSEWHERE = "https://elsewhere.example"
"""An issuer of no configured tenant, some of whose subjects are called like ours."""

SPRING = "spring:session:sessions:"


@dataclass(frozen=True)
class Part:
    """What one key holds of one sign-in.

    Attributes:
        user: Number of the user; None where it belongs to no user.
        session: Number of that user's session at the OP; None where the value is of all of them.
        client: The app.
    """

    user: int | None
    session: int | None = None
    client: str = WEB


@dataclass
class Key:
    """One key.

    Attributes:
        value: As it is in Redis: a string, fields of a hash, or members of a set.
        parts: Whose it is.
        accounts: Whether single users' entries are taken out of it; else it goes as a whole.
        shell: How the cache is wrapped, where it is.
    """

    value: bytes | dict[str, bytes] | set[bytes]
    parts: list[Part] = field(default_factory=list)
    accounts: bool = False
    shell: str = ""


def session_id(user: int, session: int) -> str:
    """As the OP names it; MSAL's ID tokens are of the first one."""
    return sid(user) if session == 0 else f"{user:08x}-{session:04x}-4fff-8000-111111111111"


def session_claims(user: int, session: int, client: str) -> dict[str, Any]:
    """Of an ID token of that session."""
    return {**claims(user, client), "sid": session_id(user, session)}


def keys(users: int, foreign: int, seed: int) -> dict[str, Key]:
    """Every key, by name."""
    chosen = random.Random(seed)  # noqa: S311  # the same in each run
    found: dict[str, Key] = {}
    for user in range(users):
        found.update(_of_user(user, chosen))
    for group in range(0, users, 5):
        found.update(_of_several(range(group, min(group + 5, users)), chosen))
    for number in range(foreign):
        name, key = _foreign(number, users, chosen)
        found[name] = key
    return found


def wrapped(shell: str, text: str) -> bytes:
    """A text as a framework keeps it."""
    if shell == "django":
        return bytes(DjangoSerializer().dumps(text))
    if shell == "cachelib":
        return bytes(RedisSerializer().dumps(text))
    return json.dumps(text).encode() if shell == "json" else text.encode()


def _of_user(user: int, chosen: random.Random) -> Iterator[tuple[str, Key]]:
    home = account(user)
    yield f"webapps:{home}", Key(_hash(msal(user, (WEB, OTHER_WEB))), [Part(user)], accounts=True)
    if user % 2:
        yield f"webapps:{chosen.randbytes(16).hex()}=", Key(_hash(msal(user, (WEB,))), [Part(user)], accounts=True)
    yield f"node:{home}", Key(json.dumps(msal(user, (OTHER_WEB,))).encode(), [Part(user)], accounts=True)
    for session in range(1 + user % 2):
        for client in (WEB, OTHER_WEB):
            name, value = _session(user, session, client, chosen)
            yield name, Key(value, [Part(user, session, client)])


def _of_several(users: range, chosen: random.Random) -> Iterator[tuple[str, Key]]:
    parts = [Part(user) for user in users]
    blob: dict[str, dict[str, Any]] = {"Unknown": {"n": {"big": 12345678901234567890, "part": 1.50}}}
    for user in users:
        for section, entries in msal(user, (WEB,)).items():
            blob.setdefault(section, {}).update(entries)
    shell = chosen.choice(["", "django", "cachelib", "json"])
    text = json.dumps(blob, indent=chosen.choice([None, 4]))
    yield f"py:group-{users[0]}", Key(wrapped(shell, text), parts, accounts=True, shell=shell)
    yield f"java:{users[0]}", Key(json.dumps(blob, separators=(",", ":")).encode(), parts, accounts=True)


def _session(user: int, session: int, client: str, chosen: random.Random) -> tuple[str, bytes | dict[str, bytes]]:
    """A web session that holds the claims of an ID token, and no token."""
    own = session_claims(user, session, client)
    name = chosen.randbytes(16).hex()
    match chosen.randrange(7):
        case 0:
            return f"session:{name}", msgspec.msgpack.encode({"_permanent": True, "user": own})
        case 1:
            return f"session:{name}", bytes(RedisSerializer().dumps({"_permanent": True, "_logged_in_user": own}))
        case 2:
            return f"session:{name}", json.dumps({"_permanent": True, "user": own}).encode()
        case 3 | 4:
            key = f":1:django.contrib.sessions.cache{name}"
            return key, pickle.dumps({"user": own, "seen": [1, 2]}, protocol=chosen.randrange(6))
        case 5:
            cookie = {"originalMaxAge": None, "path": "/"}
            return f"sess:{name}", json.dumps({"cookie": cookie, "user": {"claims": own}}).encode()
        case _:
            typed = {"@class": "java.util.HashMap", **own, "iss": ["java.net.URL", own["iss"]]}
            fields = {"creationTime": b"1", "lastAccessedTime": b"1", "maxInactiveInterval": b"1800"}
            return f"{SPRING}{name}", {**fields, "sessionAttr:user": json.dumps(typed).encode()}


def _foreign(number: int, users: int, chosen: random.Random) -> tuple[str, Key]:
    """Another program's, below one of our prefixes or beside them; some are called like a user's."""
    prefix = chosen.choice(["webapps:", "node:", "py:", "java:", "session:", "sess:", SPRING, ":1:", ""])
    user = chosen.randrange(users)
    name = chosen.choice([f"order:{number}", f"{number:x}", f"{account(user)}-{number}", session_id(user, number % 7)])
    texts = [
        json.dumps({"user": {"id": number, "name": f"user{user}"}}).encode(),
        json.dumps({"claims": {**session_claims(user, 0, WEB), "iss": ELSEWHERE}}).encode(),
        pickle.dumps({"rows": [{"sub": f"pairwise-{user:08d}-{WEB[:4]}"}]}),
        msgspec.msgpack.encode({"account": account(user), "n": number}),
        zlib.compress(json.dumps(claims(user, WEB)).encode()), chosen.randbytes(80), b"", str(number).encode(),
        json.dumps([ISS, account(user)]).encode(), json.dumps({"AccessToken": {}, "n": {"x": {}}}).encode(),
    ]  # fmt: skip
    text = chosen.choice(texts)
    values: list[bytes | dict[str, bytes] | set[bytes]] = [text, text, text, {"data": text, "n": b"1"}, {text or b"x"}]
    value = chosen.choice(values)
    return f"{prefix}{name}/{number}", Key(value, [Part(None)])


def _hash(blob: dict[str, dict[str, Any]]) -> dict[str, bytes]:
    return {"absexp": b"-1", "sldexp": b"-1", "data": json.dumps(blob, separators=(",", ":")).encode()}
