"""One OP for the tests of every stack: https, really signed tokens, refreshes that can be held in flight.

    with StackOP(tmp_path) as op:                   # or StackOP(tmp_path, shape="entra")
        code = op.code("alice", "portal")           # what a browser would have brought back
        ...                                         # redeem it with the real library at op.authority
        token = op.logout_token(client_id="portal", user="alice")

It runs in its own thread: blocking libraries and child processes may call it at any time. Give them `ca_file`
(`REQUESTS_CA_BUNDLE`, which beats `verify=`; `NODE_EXTRA_CA_CERTS`; a Java trust store; `outbound.ca_file` of the
receiver) and one of these as authority:

| | `shape="oidc"` | `shape="entra"` |
|---|---|---|
| issuer | `https://localhost:<port>/realms/main` | `https://localhost:<port>/<tenant guid>/v2.0` |
| `authority` | the issuer | `https://localhost:<port>/<tenant guid>` |
| MSAL Python | `oidc_authority=op.authority` | `authority=op.authority, instance_discovery=False` |
| MSAL Node | `protocolMode: OIDC`, `knownAuthorities: [op.host]` | `knownAuthorities: [op.host]` |
| MSAL Java | `oidcAuthority`, or `b2cAuthority(op.b2c_authority)` | `authority`, `validateAuthority(false)` |
| `sub` | the same for every client | another one for every client (pairwise) |
| `client_info` in answers | no | yes: `uid.utid` is the MSAL account |

Every client id and every credential is good; redirect URIs are not compared. Knobs are plain attributes, read
at each request, so a test may change them at any time.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import ssl
import time
import uuid
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from demo.signing import b64, logout_claims, sign
from demo.tls import make_certificates
from tests.stacks.op_endpoints import Endpoints
from tests.stacks.op_sessions import DEFAULT_SCOPE, Grant, Held, Session
from tests.support.keys import rsa_pair
from tests.support.threaded import ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aiohttp import web

SIGNED_IN_AGO_S = 100
"""How long ago, in seconds, a user's first session began unless told otherwise: clearly before any logout."""


class StackOP(ThreadedServer):
    """The OP. Start it with `with`.

    Args:
        directory: Where its certificates go; a directory of its own.
        shape: `oidc` (Keycloak and most) or `entra`.

    Attributes:
        ca_file: PEM of the CA to trust.
        tenant_id: The Entra tenant's GUID (`shape="entra"`).
        home_tenants: Guests: user to the GUID of the home tenant, which is then the account's `utid`.
        sid, auth_time, client_info: Whether tokens carry them. `client_info` starts as the shape says.
        access_token_s: Lifetime of access tokens, seconds. Below 300 every MSAL refreshes at each silent call.
        revocation_endpoint: Whether discovery names the RFC 7009 endpoint (it answers all the same).
        revocation_status: What that endpoint answers; other than 200 it revokes nothing.
        metadata: Further members of the discovery document.
        refreshes: Every refresh that was asked for, in order, as (user, client id); refused ones too.
        revoked: Every refresh token that was revoked, in order.
        browser_user: Who is signed in at the authorization endpoint; it asks nobody and redirects at once.
    """

    def __init__(self, directory: Path, *, shape: Literal["oidc", "entra"] = "oidc") -> None:
        super().__init__()
        certificates = make_certificates(directory)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(certificates.certificate_file, certificates.key_file)
        self.shape = shape
        self.key = rsa_pair("stacks")
        self.codes: dict[str, Grant] = {}
        self.refresh_tokens: dict[str, Grant] = {}
        self.access_tokens: dict[str, Grant] = {}
        self._sessions: dict[str, Session] = {}
        self._logged_out_at: dict[str, int] = {}
        self._holds: list[tuple[Held, str | None, str | None]] = []
        self.ca_file = certificates.ca_file
        self.tenant_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, "home.example"))
        self.home_tenants: dict[str, str] = {}
        self.sid = True
        self.auth_time = True
        self.client_info = shape == "entra"
        self.access_token_s = 3600
        self.revocation_endpoint = False
        self.revocation_status = 200
        self.metadata: dict[str, Any] = {}
        self.refreshes: list[tuple[str, str]] = []
        self.revoked: list[str] = []
        self.browser_user = "alice"

    @property
    def host(self) -> str:
        """`localhost:<port>`."""
        return f"localhost:{self.port}"

    @property
    def authority(self) -> str:
        """What MSAL is given; see the table above."""
        return f"https://{self.host}/{self.tenant_id if self.shape == 'entra' else 'realms/main'}"

    @property
    def b2c_authority(self) -> str:
        """For `b2cAuthority` of MSAL Java and .NET, which derive their endpoints from it; set `client_info`."""
        return f"https://{self.host}/tfp/main/b2c_1_signin"

    @property
    def issuer(self) -> str:
        """`iss` of every token."""
        return self.authority + "/v2.0" if self.shape == "entra" else self.authority

    def sub(self, user: str, client_id: str) -> str:
        """The user's `sub` for this client."""
        return f"{user}-at-{client_id}" if self.shape == "entra" else f"sub-{user}"

    def account(self, user: str) -> str:
        """MSAL's `home_account_id` of the user; where there is no `client_info`, MSAL takes the `sub` for it."""
        return f"{self._uid(user)}.{self._utid(user)}" if self.client_info else self.sub(user, "any")

    def session(self, user: str) -> Session:
        """The user's session at the OP; begun if there is none."""
        return self._sessions.get(user) or self.sign_in(user)

    def sign_in(self, user: str, *, sid: str | None = None, auth_time: int | None = None) -> Session:
        """Begin a new session: a new `sid`, and an `auth_time` after the user's last logout.

        A user who never signed out has been signed in for `SIGNED_IN_AGO_S`. After a logout in the same second
        `auth_time` is up to a second ahead of the clock, as if the user had waited for it.
        """
        if auth_time is None:
            now, ended = int(time.time()), self._logged_out_at.get(user)
            auth_time = now - SIGNED_IN_AGO_S if ended is None else max(now, ended + 1)
        self._sessions[user] = Session(user, sid or f"sid-{user}-{secrets.token_hex(4)}", auth_time)
        return self._sessions[user]

    def code(
        self,
        user: str,
        client_id: str,
        *,
        sid: str | None = None,
        auth_time: int | None = None,
        nonce: str | None = None,
        scope: str = DEFAULT_SCOPE,
    ) -> str:
        """A code as a browser brings it back: good once, with any redirect URI and code verifier.

        It belongs to the user's session at the OP; with `sid` or `auth_time` a new one begins.
        """
        again = sid is not None or auth_time is not None
        session = self.sign_in(user, sid=sid, auth_time=auth_time) if again else self.session(user)
        code = secrets.token_urlsafe(16)
        self.codes[code] = Grant(session, client_id, scope, nonce)
        return code

    def answer(self, authorization_url: str, user: str | None = None) -> str:
        """Where the browser is sent from this address once the user is signed in: redirect URI, code and state."""
        query = {name: values[-1] for name, values in parse_qs(urlsplit(authorization_url).query).items()}
        code = self.code(
            user or self.browser_user,
            query["client_id"],
            nonce=query.get("nonce"),
            scope=query.get("scope", DEFAULT_SCOPE),
        )
        back = {"code": code}
        back |= {"state": query["state"]} if "state" in query else {}
        return f"{query['redirect_uri']}{'&' if '?' in query['redirect_uri'] else '?'}{urlencode(back)}"

    def logout_token(
        self,
        *,
        client_id: str,
        user: str | None = None,
        sid: str | None = None,
        sub: str | None = None,
        iat: int | None = None,
    ) -> str:
        """A logout token, really signed, for POSTing as the form field `logout_token`.

        With `user` alone it names the `sub` and the `sid` of the user's session, which is over then: the next
        `code` begins a new one. `sid` and `sub` are taken as given; with neither of them and no user, ValueError.
        """
        iat = int(time.time()) if iat is None else iat
        if user is not None:
            session = self._sessions.pop(user, None)
            self._logged_out_at[user] = iat
            if sid is None and sub is None:
                sid = session.sid if session and self.sid else None
                sub = self.sub(user, client_id)
        if sid is None and sub is None:
            raise ValueError("a logout token names a sub, a sid or both")
        named = {name: value for name, value in (("sub", sub), ("sid", sid)) if value}
        return sign(logout_claims(self.issuer, client_id, now_s=iat, **named), self.key, typ="logout+jwt")

    @contextlib.contextmanager
    def holding_refreshes(self, *, user: str | None = None, client_id: str | None = None) -> Iterator[Held]:
        """Hold the answers of refreshes, of this user or client only, until `release` or the end of the block.

        The tokens are made when the refresh arrives: a logout that happens meanwhile is later than they are.
        """
        hold = (Held(), user, client_id)
        self._holds.append(hold)
        try:
            yield hold[0]
        finally:
            self._holds.remove(hold)
            hold[0].release()

    def refresh_count(self, user: str, client_id: str | None = None) -> int:
        """How often tokens of this user were asked to be refreshed."""
        return sum(1 for name, client in self.refreshes if name == user and client_id in {None, client})

    def application(self) -> web.Application:
        """What it serves."""
        return Endpoints(self).application()

    def __exit__(self, *failure: object) -> None:
        for held, _user, _client in self._holds:
            held.release()
        super().__exit__(*failure)

    async def hold(self, grant: Grant) -> None:
        """For the endpoints: return when the answer of a refresh may go."""
        for held, user, client_id in list(self._holds):
            if user in {None, grant.session.user} and client_id in {None, grant.client_id}:
                await held.hold()

    def tokens(self, grant: Grant, form: Mapping[str, str]) -> dict[str, Any]:
        """For the endpoints: a token response."""
        refresh_token, access_token = secrets.token_urlsafe(24), f"at-{secrets.token_urlsafe(24)}"
        self.refresh_tokens[refresh_token] = self.access_tokens[access_token] = grant
        now, user = int(time.time()), grant.session.user
        payload = {"iss": self.issuer, "aud": grant.client_id, "iat": now, "nbf": now, "exp": now + 3600}
        payload |= {"ver": "2.0", **self.who(grant)}
        payload |= {"sid": grant.session.sid} if self.sid else {}
        payload |= {"auth_time": grant.session.auth_time} if self.auth_time else {}
        payload |= {"nonce": grant.nonce} if grant.nonce and form["grant_type"] == "authorization_code" else {}
        info = b64(json.dumps({"uid": self._uid(user), "utid": self._utid(user)}))
        return {
            "token_type": "Bearer",
            "expires_in": self.access_token_s,
            "scope": form.get("scope") or grant.scope,
            "access_token": access_token,
            "refresh_token": refresh_token,
            "id_token": sign(payload, self.key, typ="JWT"),
            **({"client_info": info} if self.client_info else {}),
        }

    def who(self, grant: Grant) -> dict[str, Any]:
        """For the endpoints: the claims that say who somebody is."""
        user = grant.session.user
        claims = {"sub": self.sub(user, grant.client_id), "name": user, "preferred_username": f"{user}@example.com"}
        # A guest has an oid of its own in this tenant, another one than at home.
        oid = self._uid(f"guest:{user}" if user in self.home_tenants else user)
        return claims | ({"oid": oid, "tid": self.tenant_id} if self.shape == "entra" else {})

    def _uid(self, user: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{user}.example"))

    def _utid(self, user: str) -> str:
        return self.home_tenants.get(user, self.tenant_id)
