"""The recordings: what the real .NET libraries wrote to Redis, to be put there again byte for byte."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.keys import b64

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis.asyncio

DIRECTORY = Path(__file__).parent / "recordings"
NAMES = sorted(path.stem for path in DIRECTORY.glob("*.json"))

RECORDED_AT = 1_795_226_965
"""When the sign-ins in all of them had just happened, NumericDate seconds."""

LOGOUT_AT = RECORDED_AT + 600
"""When their users sign out in the tests."""

TENANT_ID = "11111111-1111-1111-1111-111111111111"
ENTRA = f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
B2C = f"https://contoso.b2clogin.com/{TENANT_ID}/v2.0/"
OIDC = "https://idp.example/realms/demo"
PORTAL = "aaaaaaaa-0000-0000-0000-000000000001"
ORDERS = "bbbbbbbb-0000-0000-0000-000000000002"
API = "cccccccc-0000-0000-0000-000000000003"


@dataclass(frozen=True)
class Entry:
    """One key as it stood in Redis.

    Attributes:
        key: Its name.
        fields: Of the hash.
        ttl_s: Seconds it had left; None for ever.
    """

    key: str
    fields: dict[bytes, bytes]
    ttl_s: int | None

    async def write(self, client: redis.asyncio.Redis, *, key: str | None = None, data: bytes | None = None) -> None:
        """Put it there, as the Redis cache package does: the fields, then the expiry.

        Args:
            client: Any client.
            key: Under another name.
            data: With another value.
        """
        name = key or self.key
        fields: dict[Any, Any] = {**self.fields, **({} if data is None else {b"data": data})}
        await client.hset(name, mapping=fields)
        if self.ttl_s is not None:
            await client.expire(name, self.ttl_s)

    async def stands(self, client: redis.asyncio.Redis, *, key: str | None = None) -> bool:
        """Whether it is there, to the byte, with its expiry."""
        name = key or self.key
        if await client.hgetall(name) != self.fields:
            return False
        ttl_s = await client.ttl(name)
        return ttl_s == -1 if self.ttl_s is None else self.ttl_s - 120 < ttl_s <= self.ttl_s


@dataclass(frozen=True)
class Recording:
    """One file.

    Attributes:
        users: By name: `home_account_id`, `sid`, and `sub` or `sub_by_client_id`.
        entries: By key.
    """

    users: dict[str, dict[str, Any]]
    entries: dict[str, Entry]

    async def write(self, client: redis.asyncio.Redis) -> None:
        """Put all of it there."""
        for entry in self.entries.values():
            await entry.write(client)

    def of(self, user: str) -> Entry:
        """The entry whose key ends in this user's account."""
        account = self.users[user]["home_account_id"]
        return next(entry for key, entry in self.entries.items() if key.endswith(account))

    def sub(self, user: str, client_id: str = PORTAL) -> str:
        """The `sub` that this client is told."""
        named = self.users[user]
        return str(named["sub"] if "sub" in named else named["sub_by_client_id"][client_id])


def recording(name: str) -> Recording:
    """A recording by the name of its file."""
    found = json.loads((DIRECTORY / f"{name}.json").read_text())
    return Recording(
        {user["name"]: user for user in found["users"]},
        {entry["key"]: _entry(entry) for entry in found["keys"]},
    )


def with_claims(data: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    """The value with other claims in its ID tokens, written as MSAL.NET writes it."""
    blob = json.loads(data)
    for entry in blob["IdToken"].values():
        header, payload, _ = entry["secret"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        entry["secret"] = f"{header}.{b64(json.dumps(change(claims)).encode())}."
    return json.dumps(blob, separators=(",", ":")).encode()


def _entry(found: dict[str, Any]) -> Entry:
    fields = {
        b"absexp": found["fields"]["absexp"].encode(),
        b"sldexp": found["fields"]["sldexp"].encode(),
        b"data": base64.b64decode(found["fields"]["data_base64"]),
    }
    return Entry(found["key"], fields, found["ttl_seconds"])
