"""Logout tokens as each OP builds them: data, with the source of each shape.

A shape says everything about a token but the time and the signature. Where an OP's versions differ, each has
its own shape. `sub`, `sid` and `jti` have the OP's own form; nothing in a test may depend on their values.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.support.keys import KeyPair, b64, ec_pair, ed25519_pair, rsa_pair
from tests.support.op import LOGOUT_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.eviction import Scope

Retry = Literal["same token", "same jti", "new token"]

TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
"""An Entra tenant, the example of Microsoft's documents."""

EVENT: dict[str, Any] = {LOGOUT_EVENT: {}}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One OP's logout token, in one of its versions.

    Attributes:
        name: OP and version.
        preset: The preset an operator chooses for it.
        issuer: As the OP names itself, byte for byte.
        claims: What else is in the payload, given the time of issue.
        typ: Header `typ`; None sends none.
        alg: Header `alg`: what the OP signs with unless told otherwise.
        kid: As the OP forms it.
        header: Further header members.
        client_id: As the OP forms it; `aud` names it.
        scope: Whom the event must be about.
        retry: What the OP sends again after an error; None when it never does.
        settings: What the operator must set beside the preset.
    """

    name: str
    preset: str
    issuer: str
    claims: Callable[[int], dict[str, Any]]
    typ: str | None
    alg: str = "RS256"
    kid: str = "k1"
    header: dict[str, Any] = field(default_factory=dict)
    client_id: str = "c1"
    scope: Scope
    retry: Retry | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> KeyPair:
        """The OP's key of the type its algorithm needs."""
        match self.alg[:2]:
            case "Ed":
                return ed25519_pair("k1")
            case "ES":
                return ec_pair("k1")
            case _:
                return rsa_pair("k1")

    def published(self, **members: Any) -> dict[str, Any]:
        """That key as the OP publishes it."""
        return self.key.published(kid=self.kid, **members)

    def payload(self, now_s: float) -> dict[str, Any]:
        """The claims, issued now."""
        return {"iss": self.issuer, **self.claims(int(now_s))}

    def sign(self, payload: dict[str, Any], **header: Any) -> str:
        """A token with this header and these claims; header members given as None are left out."""
        members = {"alg": self.alg, "kid": self.kid, "typ": self.typ, **self.header, **header}
        kept = {name: value for name, value in members.items() if value is not None}
        signing_input = f"{b64(json.dumps(kept))}.{b64(json.dumps(payload))}"
        return f"{signing_input}.{b64(self.key.sign(self.alg, signing_input.encode()))}"

    def token(self, now_s: float) -> str:
        """The token, issued now."""
        return self.sign(self.payload(now_s))

    def tenant(self, **settings: Any) -> dict[str, Any]:
        """The tenant an operator configures for this OP."""
        return {
            "name": "t1",
            "preset": self.preset,
            "issuer": self.issuer,
            "client_ids": [self.client_id],
            **self.settings,
            **settings,
        }


def _keycloak(now: int, **changes: Any) -> dict[str, Any]:
    # ResourceAdminManager.java, LogoutToken.java: sub always, one aud, payload typ; sid if "session required".
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


def _without(claims: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in names}


def _auth0(now: int) -> dict[str, Any]:
    return {
        "iat": now,
        "exp": now + 120,
        "jti": str(uuid.uuid4()),
        "aud": "8nZLQd2Cz5XqYl2c",
        "sub": "auth0|602c0dcab993d10073daf680",
        "sid": "2hjGQ0mFfXk3ZgVnZxk4Pj0Rk2l5uJqB",
        "events": EVENT,
    }


def _duende(now: int, **changes: Any) -> dict[str, Any]:
    # DefaultBackChannelLogoutService.cs: lifetime 300 s, jti is a GUID's 32 digits.
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


def _ping_am(now: int) -> dict[str, Any]:
    # docs.pingidentity.com, PingOne Advanced Identity Cloud, back-channel logout: the documented example.
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


def _hydra(now: int) -> dict[str, Any]:
    # consent/strategy_default.go: sid and never sub, aud an array, no exp.
    return {
        "jti": str(uuid.uuid4()),
        "aud": ["c1"],
        "iat": now,
        "events": EVENT,
        "sid": str(uuid.uuid4()),
    }


def _zitadel(now: int) -> dict[str, Any]:
    # back_channel_logout_worker.go: iat a second in the past, aud an array.
    return {
        "sub": "284217463946100738",
        "aud": ["284218052570972162"],
        "iat": now - 1,
        "exp": now + 300,
        "jti": "284219011841597442",
        "events": EVENT,
        "sid": "V1_284218999627784194",
    }


def _authentik(now: int, **changes: Any) -> dict[str, Any]:
    # providers/oauth2: sub and sid are hashes.
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


def _lemonldap(now: int) -> dict[str, Any]:
    # The OIDC issuer's back-channel logout: no exp, aud an array, a jti of eight of [0-9A-Z].
    return {
        "sub": "dwho",
        "aud": ["rpid"],
        "iat": now,
        "jti": "7QK2M0ZD",
        "events": EVENT,
        "sid": "kzqmS3bS0yJm0o2s2KfH2B6b0JmXmB1f",
    }


def _wso2(now: int) -> dict[str, Any]:
    # DefaultLogoutTokenBuilder.java: sid always, aud an array, lifetime from the configuration.
    return {
        "sub": "admin",
        "aud": ["LGJ2iHm3rHe3Hg3v5JmW5fUSGV8a"],
        "iat": now,
        "exp": now + 120,
        "jti": str(uuid.uuid4()),
        "events": EVENT,
        "sid": str(uuid.uuid4()),
    }


def _dex(now: int) -> dict[str, Any]:
    # server/backchannel/backchannel.go: sub is base64url of a protobuf, aud a string.
    return {
        "sub": "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs",
        "aud": "example-app",
        "exp": now + 120,
        "iat": now,
        "jti": "bq5e2x4o3vq3mgyn7gqjvtqk3",
        "sid": "o7gfqzvmkz6u3l2vy5mnmwhco",
        "events": EVENT,
    }


def _rauthy(now: int, **changes: Any) -> dict[str, Any]:
    # rauthy-jwt, JwtCommonClaims: sub is written as null when there is none; payload typ, azp and nbf; 30 s.
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


def _cas(now: int) -> dict[str, Any]:
    # OidcSingleLogoutMessageCreator.java: one minute, sid is a SHA-1 in hex.
    return {
        "sub": "casuser",
        "sid": "9d4e1e23bd5b727046a9e3b4b7db57bd8d6ee684",
        "aud": "client",
        "iat": now,
        "jti": str(uuid.uuid4()),
        "exp": now + 60,
        "events": EVENT,
    }


def _entra(now: int, **changes: Any) -> dict[str, Any]:
    # Entra sends none; this is its ID token's shape (pairwise sub, tid, oid, uti, rh, ver) with a logout event.
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


def _plain(now: int, **changes: Any) -> dict[str, Any]:
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


KEYCLOAK: dict[str, Any] = {
    "preset": "keycloak",
    "issuer": "https://sso.example/realms/shop",
    "kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE",
    "client_id": "shop",
}
ENTRA: dict[str, Any] = {
    "preset": "entra",
    "client_id": "6731de76-14a6-49ae-97bc-6eba6914391e",
    "kid": "2ZQpJ3UpbjAYXYGaXEJl8lV0TOI",
    "scope": "session",
    "typ": "JWT",
}
AUTHENTIK: dict[str, Any] = {
    "preset": "authentik",
    "issuer": "https://auth.example/application/o/shop/",
    "retry": "new token",
}
RAUTHY: dict[str, Any] = {
    "preset": "rauthy",
    "issuer": "https://iam.example/auth/v1/",
    "client_id": "app",
    "typ": "JWT",
    "retry": "new token",
}

SHAPES: tuple[Shape, ...] = (
    # The OIDF conformance suite: no typ, a claim that must be ignored.
    Shape(
        name="generic: conformance suite",
        preset="generic",
        issuer="https://op.example/t1",
        claims=lambda now: _plain(now, ignored_claim="ignored"),
        typ=None,
        scope="session",
    ),
    # node-oidc-provider lib/models/client.js: sub always, sid only if session required.
    Shape(
        name="generic: node-oidc-provider",
        preset="generic",
        issuer="https://op.example/oidc",
        claims=lambda now: _without(_plain(now), "sid"),
        typ="logout+jwt",
        scope="user",
    ),
    Shape(
        name="entra: v2",
        **ENTRA,
        issuer=f"https://login.microsoftonline.com/{TENANT}/v2.0",
        claims=_entra,
    ),
    # id-token-claims-reference.md: v1 tokens carry x5t.
    Shape(
        name="entra: v1",
        **ENTRA,
        issuer=f"https://sts.windows.net/{TENANT}/",
        claims=lambda now: _entra(now, ver="1.0"),
        header={"x5t": "2ZQpJ3UpbjAYXYGaXEJl8lV0TOI"},
    ),
    # Keycloak before keycloak#25753: no exp, header typ JWT.
    Shape(name="keycloak: 21", **KEYCLOAK, claims=_keycloak, typ="JWT", scope="session"),
    # PR 25769: exp two minutes ahead; TokenUtil: the sibling member is a boolean.
    Shape(
        name="keycloak: 24",
        **KEYCLOAK,
        claims=lambda now: _keycloak(now, exp=now + 120, events={**EVENT, "revoke_offline_access": True}),
        typ="JWT",
        scope="session",
    ),
    # PR 29260: header typ logout+jwt.
    Shape(
        name="keycloak: 25",
        **KEYCLOAK,
        claims=lambda now: _keycloak(now, exp=now + 120),
        typ="logout+jwt",
        scope="session",
    ),
    # "Backchannel logout session required" off: sub only.
    Shape(
        name="keycloak: 25 without session",
        **KEYCLOAK,
        claims=lambda now: _without(_keycloak(now, exp=now + 120), "sid"),
        typ="logout+jwt",
        scope="user",
    ),
    # A realm or client that signs with another algorithm.
    Shape(
        name="keycloak: 25 with ES256",
        **KEYCLOAK,
        alg="ES256",
        claims=lambda now: _keycloak(now, exp=now + 120),
        typ="logout+jwt",
        scope="session",
        settings={"algorithms": ["ES256"]},
    ),
    # auth0.com back-channel logout: issuer with a trailing slash, sub and sid.
    Shape(
        name="auth0",
        preset="auth0",
        issuer="https://tenant.eu.auth0.com/",
        client_id="8nZLQd2Cz5XqYl2c",
        claims=_auth0,
        typ="logout+jwt",
        scope="session",
    ),
    # Okta sends none; a conforming token must not fail for the preset's sake.
    Shape(
        name="okta: a conforming token",
        preset="okta",
        issuer="https://org.okta.com/oauth2/default",
        claims=_plain,
        typ="logout+jwt",
        scope="session",
    ),
    Shape(
        name="duende",
        preset="duende",
        issuer="https://idp.example",
        client_id="web",
        claims=lambda now: _duende(now, logout_reason="user_logout"),
        typ="logout+jwt",
        scope="session",
    ),
    # IdentityServerOptions.cs: LogoutTokenJwtType may be blank.
    Shape(
        name="duende: without typ",
        preset="duende",
        issuer="https://idp.example",
        client_id="web",
        claims=_duende,
        typ=None,
        scope="session",
    ),
    Shape(
        name="ping: PingAM",
        preset="ping",
        issuer="https://am.example/am/oauth2",
        client_id="myClient",
        claims=_ping_am,
        typ="JWT",
        scope="session",
    ),
    # PingFederate documents no more than that it conforms.
    Shape(
        name="ping: PingFederate",
        preset="ping",
        issuer="https://pf.example:9031",
        claims=_plain,
        typ="logout+jwt",
        scope="session",
    ),
    # fosite/token/jwt/token.go: typ JWT.
    Shape(
        name="hydra",
        preset="hydra",
        issuer="https://hydra.example/",
        claims=_hydra,
        typ="JWT",
        scope="session",
        retry="same token",
    ),
    Shape(
        name="zitadel",
        preset="zitadel",
        issuer="https://instance.zitadel.cloud",
        client_id="284218052570972162",
        kid="284217463946100001",
        claims=_zitadel,
        typ=None,
        scope="session",
        retry="same jti",
    ),
    # 2025.8.0: no exp (authentik#16490), sub for a session only where its user is known (tasks.py).
    Shape(
        name="authentik: first preview, a session",
        **AUTHENTIK,
        claims=lambda now: _without(_authentik(now), "exp", "sub"),
        typ=None,
        scope="session",
        settings={"require_exp": False},
    ),
    # The same for a whole user: sid null (user_oidc#1183).
    Shape(
        name="authentik: first preview, a user",
        **AUTHENTIK,
        claims=lambda now: _without(_authentik(now, sid=None), "exp"),
        typ="JWT",
        scope="user",
        settings={"require_exp": False},
    ),
    Shape(name="authentik: 2025.12", **AUTHENTIK, claims=_authentik, typ="logout+jwt", scope="session"),
    Shape(
        name="lemonldap",
        preset="lemonldap",
        issuer="https://auth.example/",
        client_id="rpid",
        claims=_lemonldap,
        typ="JWT",
        scope="session",
    ),
    # The issuer is the token endpoint.
    Shape(
        name="wso2",
        preset="wso2",
        issuer="https://is.example:9443/oauth2/token",
        client_id="LGJ2iHm3rHe3Hg3v5JmW5fUSGV8a",
        kid="YmI3ZDZkNTA4N2Y5YjE1_RS256",
        claims=_wso2,
        typ=None,
        scope="session",
    ),
    Shape(
        name="dex",
        preset="dex",
        issuer="https://dex.example/dex",
        client_id="example-app",
        claims=_dex,
        typ=None,
        scope="session",
    ),
    # User logout: sid-scoped, sub written as null. Client default id_token_alg: EdDSA.
    Shape(
        name="rauthy: user logout",
        **RAUTHY,
        alg="EdDSA",
        claims=lambda now: _rauthy(now, sid="aBcD1234"),
        scope="session",
    ),
    # Forced by an admin: the whole user.
    Shape(
        name="rauthy: forced logout",
        **RAUTHY,
        alg="EdDSA",
        claims=lambda now: _rauthy(now, sub="5Qh1kVm2"),
        scope="user",
    ),
    Shape(
        name="rauthy: client with RS256",
        **RAUTHY,
        claims=lambda now: _rauthy(now, sub="5Qh1kVm2"),
        scope="user",
        settings={"algorithms": ["RS256"]},
    ),
    Shape(
        name="cas",
        preset="cas",
        issuer="https://cas.example/cas/oidc",
        client_id="client",
        kid="cas-5fFVHl2n",
        claims=_cas,
        typ="JWT",
        scope="session",
    ),
    # CAS 6.2's OidcSingleLogoutMessageCreator.java: no exp.
    Shape(
        name="cas: 6.2",
        preset="cas",
        issuer="https://cas.example/cas/oidc",
        client_id="client",
        claims=lambda now: _without(_cas(now), "exp"),
        typ="JWT",
        scope="session",
        settings={"require_exp": False},
    ),
)
