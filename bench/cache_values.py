"""What a hundred thousand users leave in a shared cache, kind by kind, as the libraries write it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.core.eviction import Eviction, eviction_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TENANT_ID = "11111111-1111-1111-1111-111111111111"
ISS = f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
TENANT = "main"
HOST = "login.microsoftonline.com"

WEB, OTHER_WEB, API = (f"{letter * 8}-0000-0000-0000-00000000000{n}" for n, letter in enumerate("abc", 1))
"""Three apps; everybody signs out at the first one."""

SIGNED_IN_AT = int(time.time()) - 600
"""NumericDate seconds; a logout is later."""

KEEP_S = 86_400
"""Seconds every value lives."""

Value = dict[str, Any] | bytes
"""A hash or a string."""


def account(number: int) -> str:
    """`uid.utid`, as Entra ID has it."""
    return f"{_oid(number)}.{TENANT_ID}"


def sub(number: int, client: str) -> str:
    """Another one for each app."""
    return f"pairwise-{number:08d}-{client[:4]}"


def sid(number: int) -> str:
    """Of the one session everybody has."""
    return f"{number:08x}-eeee-4fff-8000-111111111111"


def logout(number: int, *, try_number: int = 0) -> Eviction:
    """The user's logout as the first app's OP orders it: by the subject that app knows, and the session."""
    jti = f"{number:08x}-2222-4333-8444-{try_number:012x}"
    now = time.time()
    return Eviction(
        id=eviction_id(ISS, jti), tenant=TENANT, iss=ISS, client_id=WEB, sub=sub(number, WEB), sid=sid(number), jti=jti,
        scope="session", logout_at=int(now), received_at=now,
    )  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One way to cache.

    Attributes:
        name: Of its row.
        caches: For the settings.
        keys: Those of one user.
        value: Of one of these keys, for one user.
        gone: The notification Redis sends when the user is out.
        shared: Whether all users are in one value.
    """

    name: str
    caches: Sequence[dict[str, Any]]
    keys: Callable[[int], tuple[str, ...]]
    value: Callable[[int, str], Value]
    gone: bytes = b"del"
    shared: bool = False

    def values(self, users: int) -> Iterator[tuple[str, Value]]:
        """Everything that is in the cache of so many users."""
        if self.shared:
            blob: dict[str, dict[str, Any]] = {}
            for number in range(users):
                for section, entries in msal(number, (WEB,)).items():
                    blob.setdefault(section, {}).update(entries)
            yield self.keys(0)[0], json.dumps(blob, indent=4).encode()
            return
        for number in range(users):
            for key in self.keys(number):
                yield key, self.value(number, key)


def msal(number: int, clients: Sequence[str], **assertion: str) -> dict[str, dict[str, Any]]:
    """A user's token cache, entry by entry as MSAL.NET 4.92 writes it.

    Args:
        number: The user.
        clients: Apps signed in to.
        assertion: `user_assertion_hash` of on-behalf-of tokens, which come without refresh token.
    """
    home, realm = account(number), TENANT_ID
    info = _b64(json.dumps({"uid": _oid(number), "utid": realm}, separators=(",", ":")).encode())
    common = {"home_account_id": home, "environment": HOST, "client_info": info}
    blob: dict[str, dict[str, Any]] = {"AccessToken": {}, "RefreshToken": {}, "IdToken": {}}
    expires = str(SIGNED_IN_AT + 3600)
    for client in clients:
        own, tail = {**common, "client_id": client}, f"{number:08x}-{client[:4]}-1"
        blob["AccessToken"][f"{home}-{HOST}-accesstoken-{client}-{realm}-user.read"] = {
            **own, "secret": f"at-{tail}", "credential_type": "AccessToken", "realm": realm, "target": "user.read",
            **assertion, "cached_at": str(SIGNED_IN_AT), "expires_on": expires, "extended_expires_on": expires,
            "ext_expires_on": expires,
        }  # fmt: skip
        if not assertion:
            blob["RefreshToken"][f"{home}-{HOST}-refreshtoken-{client}--"] = {
                **own, "secret": f"rt-{tail}", "credential_type": "RefreshToken",
            }  # fmt: skip
        blob["IdToken"][f"{home}-{HOST}-idtoken-{client}-{realm}-"] = {
            **own, "secret": _id_token(number, client), "credential_type": "IdToken", "realm": realm,
        }  # fmt: skip
    blob["Account"] = {
        f"{home}-{HOST}-{realm}": {
            **common, "username": f"user{number}@contoso.example", "name": f"user{number}",
            "local_account_id": _oid(number), "authority_type": "MSSTS", "realm": realm,
        }
    }  # fmt: skip
    blob["AppMetadata"] = {
        f"appmetadata-{HOST}-{client}": {"environment": HOST, "client_id": client} for client in clients
    }
    return blob


def claims(number: int, client: str) -> dict[str, Any]:
    """Of the user's ID token at an app."""
    return {
        "iss": ISS, "aud": client, "iat": SIGNED_IN_AT, "nbf": SIGNED_IN_AT, "exp": SIGNED_IN_AT + 3600,
        "auth_time": SIGNED_IN_AT, "sub": sub(number, client), "sid": sid(number), "name": f"user{number}",
        "preferred_username": f"user{number}@contoso.example", "ver": "2.0", "oid": _oid(number), "tid": TENANT_ID,
    }  # fmt: skip


def _oid(number: int) -> str:
    return f"{number:08x}-1c2d-4e3f-8a4b-5c6d7e8f9a0b"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _id_token(number: int, client: str) -> str:
    header = _b64(b'{"alg":"none","typ":"JWT"}')
    return f"{header}.{_b64(json.dumps(claims(number, client), separators=(',', ':')).encode())}."


def _aspnet(blob: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"absexp": -1, "sldexp": -1, "data": json.dumps(blob, separators=(",", ":"))}


def _web_key(number: int) -> str:
    return f"webapps:{account(number)}"


def _digest(number: int, what: str) -> str:
    return _b64(hashlib.sha256(f"{what} {number}".encode()).digest())


def _on_behalf(number: int, key: str) -> dict[str, Any]:
    if key.startswith("webapps:"):
        return _aspnet(msal(number, (WEB,)))
    return _aspnet(msal(number, (API,), user_assertion_hash=_digest(number, "assertion")))


def _flask(number: int, key: str) -> bytes:
    """As `identity` keeps a user in Flask-Session, which writes MessagePack unless told otherwise."""
    del key
    cache = json.dumps(msal(number, (WEB,)), indent=4)
    return _msgpack({"_permanent": True, "_logged_in_user": claims(number, WEB), "_token_cache": cache})


def _msgpack(value: object) -> bytes:
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xce" + value.to_bytes(4, "big")
    if isinstance(value, dict):
        # One byte says "map of so many", up to fifteen.
        return bytes([0x80 | len(value)]) + b"".join(_msgpack(part) for item in value.items() for part in item)
    text = str(value).encode()
    return b"\xda" + len(text).to_bytes(2, "big") + text


MSAL_NET = {"name": "web", "layout": "microsoft-identity-web", "prefix": "webapps:"}

ONE_APP = Kind(
    "one app", [MSAL_NET], lambda number: (_web_key(number),), lambda number, _: _aspnet(msal(number, (WEB,)))
)
TWO_APPS = Kind(
    "two apps",
    [MSAL_NET],
    lambda number: (_web_key(number),),
    lambda number, _: _aspnet(msal(number, (WEB, OTHER_WEB))),
)
ON_BEHALF = Kind(
    "one app, one API on behalf",
    [MSAL_NET, {**MSAL_NET, "name": "api", "prefix": "api:"}],
    lambda number: (_web_key(number), f"api:{_digest(number, 'assertion')}"),
    _on_behalf,
)
SESSIONS = Kind(
    "flask-session",
    [{"name": "flask", "layout": "flask-session"}],
    lambda number: (f"session:{_digest(number, 'session')}",),
    _flask,
)
SHARED = Kind(
    "one value of all users",
    [{"name": "shared", "layout": "msal-python", "key": "token_cache"}],
    lambda _: ("token_cache",),
    lambda _, __: b"",
    gone=b"set",
    shared=True,
)
KINDS = (ONE_APP, TWO_APPS, ON_BEHALF, SESSIONS)
