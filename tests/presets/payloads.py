"""The claims of each OP's logout token but `iss` and those a test adds, given the time of issue.

Each names the source of its form; `tests/presets/shapes.py` has the rest of the token.
"""

from __future__ import annotations

import uuid
from typing import Any

from tests.support.op import LOGOUT_EVENT

TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
"""An Entra tenant, the example of Microsoft's documents."""

EVENT: dict[str, Any] = {LOGOUT_EVENT: {}}


def keycloak(now: int, **changes: Any) -> dict[str, Any]:
    """ResourceAdminManager.java, LogoutToken.java: sub always, one aud, payload typ; sid if "session required"."""
    return {
        "iat": now,
        "jti": str(uuid.uuid4()),
        "aud": "shop",
        "sub": "f3f1e0d2-6c0e-4a0a-9f0c-2b7f0a4b1c11",
        "typ": "Logout",
        "sid": "d5b2a1b0-2f0e-4f43-8a77-0b8e4f1f6c2a",
        "events": EVENT,
        **changes,
    }


def without(claims: dict[str, Any], *names: str) -> dict[str, Any]:
    """All but these members."""
    return {name: value for name, value in claims.items() if name not in names}


def auth0(now: int) -> dict[str, Any]:
    """auth0.com back-channel logout: sub and sid."""
    return {
        "iat": now,
        "exp": now + 120,
        "jti": str(uuid.uuid4()),
        "aud": "8nZLQd2Cz5XqYl2c",
        "sub": "auth0|602c0dcab993d10073daf680",
        "sid": "2hjGQ0mFfXk3ZgVnZxk4Pj0Rk2l5uJqB",
        "events": EVENT,
    }


def duende(now: int, **changes: Any) -> dict[str, Any]:
    """DefaultBackChannelLogoutService.cs: lifetime 300 s, jti is a GUID's 32 digits."""
    return {
        "nbf": now,
        "iat": now,
        "exp": now + 300,
        "aud": "web",
        "jti": uuid.uuid4().hex.upper(),
        "sub": "88421113",
        "sid": "E7A1B4C6A5D44F0DB1D4F6A0B4A1F3D2",
        "events": EVENT,
        **changes,
    }


def ping_am(now: int) -> dict[str, Any]:
    """docs.pingidentity.com, PingOne Advanced Identity Cloud, back-channel logout: the documented example."""
    return {
        "aud": "myClient",
        "sub": "(usr!demo)",
        "iat": now,
        "jti": str(uuid.uuid4()),
        "sid": "6Qq2mQxgYv6TQqWf3nBnq7mQ0VY",
        "events": EVENT,
        "auditTrackingId": f"{uuid.uuid4()}-1234",
        "cause": "USER_LOGOUT",
    }


def hydra(now: int) -> dict[str, Any]:
    """consent/strategy_default.go: sid and never sub, aud an array, no exp."""
    return {
        "jti": str(uuid.uuid4()),
        "aud": ["c1"],
        "iat": now,
        "events": EVENT,
        "sid": str(uuid.uuid4()),
    }


def zitadel(now: int) -> dict[str, Any]:
    """back_channel_logout_worker.go: iat a second in the past, aud an array."""
    return {
        "sub": "284217463946100738",
        "aud": ["284218052570972162"],
        "iat": now - 1,
        "exp": now + 300,
        "jti": "284219011841597442",
        "events": EVENT,
        "sid": "V1_284218999627784194",
    }


def authentik(now: int, **changes: Any) -> dict[str, Any]:
    """providers/oauth2: sub and sid are hashes."""
    return {
        "aud": "c1",
        "sub": "6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918",
        "sid": "3fdba35f04dc8c462986c992bcf875546257113072a909c162f7e470e581e278",
        "iat": now,
        "exp": now + 120,
        "jti": str(uuid.uuid4()),
        "events": EVENT,
        **changes,
    }


def lemonldap(now: int) -> dict[str, Any]:
    """The OIDC issuer's back-channel logout: no exp, aud an array, a jti of eight of [0-9A-Z]."""
    return {
        "sub": "dwho",
        "aud": ["rpid"],
        "iat": now,
        "jti": "7QK2M0ZD",
        "events": EVENT,
        "sid": "kzqmS3bS0yJm0o2s2KfH2B6b0JmXmB1f",
    }


def wso2(now: int) -> dict[str, Any]:
    """DefaultLogoutTokenBuilder.java: sid always, aud an array, lifetime from the configuration."""
    return {
        "sub": "admin",
        "aud": ["LGJ2iHm3rHe3Hg3v5JmW5fUSGV8a"],
        "iat": now,
        "exp": now + 120,
        "jti": str(uuid.uuid4()),
        "events": EVENT,
        "sid": str(uuid.uuid4()),
    }


def dex(now: int) -> dict[str, Any]:
    """server/backchannel/backchannel.go: sub is base64url of a protobuf, aud a string."""
    return {
        "sub": "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs",
        "aud": "example-app",
        "exp": now + 120,
        "iat": now,
        "jti": "bq5e2x4o3vq3mgyn7gqjvtqk3",
        "sid": "o7gfqzvmkz6u3l2vy5mnmwhco",
        "events": EVENT,
    }


def rauthy(now: int, **changes: Any) -> dict[str, Any]:
    """rauthy-jwt, JwtCommonClaims: sub is written as null when there is none; payload typ, azp and nbf; 30 s."""
    return {
        "iat": now,
        "nbf": now,
        "exp": now + 30,
        "jti": "x7Lk2PqA",
        "aud": "app",
        "sub": None,
        "typ": "logout+jwt",
        "azp": "app",
        "events": EVENT,
        **changes,
    }


def cas(now: int) -> dict[str, Any]:
    """OidcSingleLogoutMessageCreator.java: one minute, sid is a SHA-1 in hex."""
    return {
        "sub": "casuser",
        "sid": "9d4e1e23bd5b727046a9e3b4b7db57bd8d6ee684",
        "aud": "client",
        "iat": now,
        "jti": str(uuid.uuid4()),
        "exp": now + 60,
        "events": EVENT,
    }


def entra(now: int, **changes: Any) -> dict[str, Any]:
    """Entra sends none; this is its ID token's shape (pairwise sub, tid, oid, uti, rh, ver) with a logout event."""
    return {
        "aud": "6731de76-14a6-49ae-97bc-6eba6914391e",
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "jti": str(uuid.uuid4()),
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        "sid": "00330c62-4e4b-4b7f-8a1e-54a1fd2b1c1f",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "tid": TENANT,
        "uti": "uqwNCvB7s0Oh3F9MYVfBAQ",
        "rh": "0.AAAA",
        "ver": "2.0",
        "events": EVENT,
        **changes,
    }


def plain(now: int, **changes: Any) -> dict[str, Any]:
    """What the specification asks for (BCL §2.4)."""
    return {
        "sub": "u1",
        "sid": "s1",
        "aud": "c1",
        "iat": now,
        "exp": now + 120,
        "jti": str(uuid.uuid4()),
        "events": EVENT,
        **changes,
    }
