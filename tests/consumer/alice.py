"""Alice's session, and its logout."""

from __future__ import annotations

from typing import Any

from receiver.consumer import Eviction

ISS = "https://op.example/t1"
LOGOUT_AT = 1000


def claims(**changes: Any) -> dict[str, Any]:
    """An ID token's claims."""
    return {"iss": ISS, "aud": "portal", "sub": "alice", "sid": "s1", "auth_time": 900, **changes}


def logout(name: str = "e1", **changes: Any) -> Eviction:
    """A logout of Alice's session s1."""
    fields: dict[str, Any] = {
        "id": name, "tenant": "t1", "iss": ISS, "client_id": "portal", "sub": "alice", "sid": "s1", "scope": "session",
        "logout_at": LOGOUT_AT, "received_at": 1.0, **changes,
    }  # fmt: skip
    return Eviction(**fields)
