"""Logout tokens as each OP builds them: data, with the source of each shape.

A shape says everything about a token but the time and the signature. Where an OP's versions differ, each has
its own shape. `sub`, `sid` and `jti` have the OP's own form; nothing in a test may depend on their values.
"""

from __future__ import annotations

from typing import Any

from tests.presets.payloads import (
    EVENT,
    TENANT,
    auth0,
    authentik,
    cas,
    dex,
    duende,
    entra,
    hydra,
    keycloak,
    lemonldap,
    ping_am,
    plain,
    rauthy,
    without,
    wso2,
    zitadel,
)
from tests.presets.shape import Shape

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
        claims=lambda now: plain(now, ignored_claim="ignored"),
        typ=None,
        scope="session",
    ),
    # node-oidc-provider lib/models/client.js: sub always, sid only if session required.
    Shape(
        name="generic: node-oidc-provider",
        preset="generic",
        issuer="https://op.example/oidc",
        claims=lambda now: without(plain(now), "sid"),
        typ="logout+jwt",
        scope="user",
    ),
    Shape(
        name="entra: v2",
        **ENTRA,
        issuer=f"https://login.microsoftonline.com/{TENANT}/v2.0",
        claims=entra,
    ),
    # id-token-claims-reference.md: v1 tokens carry x5t.
    Shape(
        name="entra: v1",
        **ENTRA,
        issuer=f"https://sts.windows.net/{TENANT}/",
        claims=lambda now: entra(now, ver="1.0"),
        header={"x5t": "2ZQpJ3UpbjAYXYGaXEJl8lV0TOI"},
    ),
    # Keycloak before keycloak#25753: no exp, header typ JWT.
    Shape(name="keycloak: 21", **KEYCLOAK, claims=keycloak, typ="JWT", scope="session"),
    # PR 25769: exp two minutes ahead; TokenUtil: the sibling member is a boolean.
    Shape(
        name="keycloak: 24",
        **KEYCLOAK,
        claims=lambda now: keycloak(now, exp=now + 120, events={**EVENT, "revoke_offline_access": True}),
        typ="JWT",
        scope="session",
    ),
    # PR 29260: header typ logout+jwt.
    Shape(
        name="keycloak: 25",
        **KEYCLOAK,
        claims=lambda now: keycloak(now, exp=now + 120),
        typ="logout+jwt",
        scope="session",
    ),
    # "Backchannel logout session required" off: sub only.
    Shape(
        name="keycloak: 25 without session",
        **KEYCLOAK,
        claims=lambda now: without(keycloak(now, exp=now + 120), "sid"),
        typ="logout+jwt",
        scope="user",
    ),
    # A realm or client that signs with another algorithm.
    Shape(
        name="keycloak: 25 with ES256",
        **KEYCLOAK,
        alg="ES256",
        claims=lambda now: keycloak(now, exp=now + 120),
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
        claims=auth0,
        typ="logout+jwt",
        scope="session",
    ),
    # Okta sends none; a conforming token must not fail for the preset's sake.
    Shape(
        name="okta: a conforming token",
        preset="okta",
        issuer="https://org.okta.com/oauth2/default",
        claims=plain,
        typ="logout+jwt",
        scope="session",
    ),
    Shape(
        name="duende",
        preset="duende",
        issuer="https://idp.example",
        client_id="web",
        claims=lambda now: duende(now, logout_reason="user_logout"),
        typ="logout+jwt",
        scope="session",
    ),
    # IdentityServerOptions.cs: LogoutTokenJwtType may be blank.
    Shape(
        name="duende: without typ",
        preset="duende",
        issuer="https://idp.example",
        client_id="web",
        claims=duende,
        typ=None,
        scope="session",
    ),
    Shape(
        name="ping: PingAM",
        preset="ping",
        issuer="https://am.example/am/oauth2",
        client_id="myClient",
        claims=ping_am,
        typ="JWT",
        scope="session",
    ),
    # PingFederate documents no more than that it conforms.
    Shape(
        name="ping: PingFederate",
        preset="ping",
        issuer="https://pf.example:9031",
        claims=plain,
        typ="logout+jwt",
        scope="session",
    ),
    # fosite/token/jwt/token.go: typ JWT.
    Shape(
        name="hydra",
        preset="hydra",
        issuer="https://hydra.example/",
        claims=hydra,
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
        claims=zitadel,
        typ=None,
        scope="session",
        retry="same jti",
    ),
    # 2025.8.0: no exp (authentik#16490), sub for a session only where its user is known (tasks.py).
    Shape(
        name="authentik: first preview, a session",
        **AUTHENTIK,
        claims=lambda now: without(authentik(now), "exp", "sub"),
        typ=None,
        scope="session",
        settings={"require_exp": False},
    ),
    # The same for a whole user: sid null (user_oidc#1183).
    Shape(
        name="authentik: first preview, a user",
        **AUTHENTIK,
        claims=lambda now: without(authentik(now, sid=None), "exp"),
        typ="JWT",
        scope="user",
        settings={"require_exp": False},
    ),
    Shape(name="authentik: 2025.12", **AUTHENTIK, claims=authentik, typ="logout+jwt", scope="session"),
    Shape(
        name="lemonldap",
        preset="lemonldap",
        issuer="https://auth.example/",
        client_id="rpid",
        claims=lemonldap,
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
        claims=wso2,
        typ=None,
        scope="session",
    ),
    Shape(
        name="dex",
        preset="dex",
        issuer="https://dex.example/dex",
        client_id="example-app",
        claims=dex,
        typ=None,
        scope="session",
    ),
    # User logout: sid-scoped, sub written as null. Client default id_token_alg: EdDSA.
    Shape(
        name="rauthy: user logout",
        **RAUTHY,
        alg="EdDSA",
        claims=lambda now: rauthy(now, sid="aBcD1234"),
        scope="session",
    ),
    # Forced by an admin: the whole user.
    Shape(
        name="rauthy: forced logout",
        **RAUTHY,
        alg="EdDSA",
        claims=lambda now: rauthy(now, sub="5Qh1kVm2"),
        scope="user",
    ),
    Shape(
        name="rauthy: client with RS256",
        **RAUTHY,
        claims=lambda now: rauthy(now, sub="5Qh1kVm2"),
        scope="user",
        settings={"algorithms": ["RS256"]},
    ),
    Shape(
        name="cas",
        preset="cas",
        issuer="https://cas.example/cas/oidc",
        client_id="client",
        kid="cas-5fFVHl2n",
        claims=cas,
        typ="JWT",
        scope="session",
    ),
    # CAS 6.2's OidcSingleLogoutMessageCreator.java: no exp.
    Shape(
        name="cas: 6.2",
        preset="cas",
        issuer="https://cas.example/cas/oidc",
        client_id="client",
        claims=lambda now: without(cas(now), "exp"),
        typ="JWT",
        scope="session",
        settings={"require_exp": False},
    ),
)
