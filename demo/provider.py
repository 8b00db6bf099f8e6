"""The demo OP's rules: clients, users, sessions, codes and tokens. No I/O and no clock.

What it keeps to: OpenID Connect Core 1.0 (authorization code flow only), PKCE S256 for every client
(RFC 7636), RP-Initiated Logout 1.0 and Back-Channel Logout 1.0 [BCL].

It asks for and grants `offline_access` like the OPs MSAL is used with, and so it does not revoke refresh
tokens at sign-out (BCL §2.7: those "normally SHOULD NOT be revoked"). That is the gap the demo is about:
an app that keeps its tokens goes on acting as a user who has signed out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.signing import logout_claims, make_rsa, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

CODE_LIFETIME_S = 60
ACCESS_TOKEN_LIFETIME_S = 3600
ID_TOKEN_LIFETIME_S = 3600


class OAuthError(Exception):
    """An error response of RFC 6749 or OpenID Connect Core.

    Attributes:
        error: The registered error code, for instance `invalid_grant`.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class UnsafeRequestError(OAuthError):
    """An authorization request whose client or redirect_uri is not known: shown, never redirected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One RP as registered at the OP."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    backchannel_logout_uri: str
    home_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One person; the password is shown on the login page, this is a demonstration."""

    username: str
    password: str
    sub: str


@dataclass(slots=True, kw_only=True)
class Session:
    """One browser signed in at the OP.

    Attributes:
        cookie: What the browser holds; never leaves it.
        sid: What RPs are told; useless as a cookie.
        auth_time: NumericDate of the password check.
        client_ids: The RPs this session has signed in to, in that order.
    """

    cookie: str
    sid: str
    user: User
    auth_time: int
    client_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A checked authorization request."""

    client: Client
    state: str | None
    nonce: str | None
    code_challenge: str
    scope: str
    prompt: str | None


@dataclass(slots=True, kw_only=True)
class Grant:
    """What one sign-in to one RP allows; tokens point to it, so that revoking it revokes them all."""

    request: AuthorizationRequest
    user: User
    sid: str
    auth_time: int
    code_expires_at: int
    code_used: bool = False
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutNotice:
    """One logout token to be posted to one RP."""

    client: Client
    claims: Mapping[str, Any]
    logout_token: str


class Provider:
    """The OP behind its HTTP endpoints. Every token is random or really signed (RS256)."""

    def __init__(self, *, issuer: str, clients: list[Client], users: list[User]) -> None:
        self.issuer = issuer
        self.clients = {client.client_id: client for client in clients}
        self.users = {user.username: user for user in users}
        self._key = make_rsa(secrets.token_hex(8))
        self._sessions: dict[str, Session] = {}
        self._codes: dict[str, Grant] = {}
        self._access_tokens: dict[str, tuple[Grant, int]] = {}
        self._refresh_tokens: dict[str, Grant] = {}

    def jwks(self) -> dict[str, Any]:
        """The public signing key as a JWK set."""
        return {"keys": [self._key.published(alg="RS256")]}

    def check_authorization_request(self, params: Mapping[str, str]) -> AuthorizationRequest:
        """A request that may be answered at its client's registered redirect_uri.

        Raises:
            UnsafeRequestError: unknown client or redirect_uri; must not be redirected.
            OAuthError: anything else; is sent back to the client.
        """
        client = self.clients.get(params.get("client_id", ""))
        if client is None:
            raise UnsafeRequestError("unauthorized_client", "this client_id is not registered")
        if params.get("redirect_uri") != client.redirect_uri:
            raise UnsafeRequestError("invalid_request", "this redirect_uri is not registered for the client")
        if params.get("response_type") != "code":
            raise OAuthError("unsupported_response_type", "only the authorization code flow is offered")
        scope = params.get("scope", "")
        if "openid" not in scope.split():
            raise OAuthError("invalid_scope", "scope must contain openid")
        if params.get("code_challenge_method") != "S256" or not params.get("code_challenge"):
            raise OAuthError("invalid_request", "PKCE with S256 is required")
        return AuthorizationRequest(
            client=client,
            state=params.get("state"),
            nonce=params.get("nonce"),
            code_challenge=params["code_challenge"],
            scope=scope,
            prompt=params.get("prompt"),
        )

    def sign_in(self, username: str, password: str, *, now_s: int) -> Session | None:
        """A new session, or None when the password is wrong."""
        user = self.users.get(username)
        if user is None or not hmac.compare_digest(user.password.encode(), password.encode()):
            return None
        session = Session(cookie=secrets.token_urlsafe(32), sid=secrets.token_urlsafe(16), user=user, auth_time=now_s)
        self._sessions[session.cookie] = session
        return session

    def session(self, cookie: str | None) -> Session | None:
        """The session this browser holds, if it is still open."""
        return self._sessions.get(cookie or "")

    def issue_code(self, request: AuthorizationRequest, session: Session, *, now_s: int) -> str:
        """An authorization code for this session; the RP is told of the session's end from now on."""
        if request.client.client_id not in session.client_ids:
            session.client_ids.append(request.client.client_id)
        code = secrets.token_urlsafe(32)
        self._codes[code] = Grant(
            request=request,
            user=session.user,
            sid=session.sid,
            auth_time=session.auth_time,
            code_expires_at=now_s + CODE_LIFETIME_S,
        )
        return code

    def authenticate_client(self, client_id: str, client_secret: str) -> Client:
        """The client whose secret this is.

        Raises:
            OAuthError: `invalid_client`, for an unknown client and a wrong secret alike.
        """
        client = self.clients.get(client_id)
        expected = client.client_secret if client else secrets.token_hex()
        if not hmac.compare_digest(expected.encode(), client_secret.encode()) or client is None:
            raise OAuthError("invalid_client", "unknown client or wrong client_secret")
        return client

    def token(self, params: Mapping[str, str], client: Client, *, now_s: int) -> dict[str, Any]:
        """The token response for an authenticated client.

        Raises:
            OAuthError: the grant is not valid for this client.
        """
        match params.get("grant_type"):
            case "authorization_code":
                return self._redeem_code(params, client, now_s)
            case "refresh_token":
                grant = self._refresh_tokens.get(params.get("refresh_token", ""))
                if grant is None or grant.revoked or grant.request.client != client:
                    raise OAuthError("invalid_grant", "this refresh token is not valid")
                return self._tokens(grant, now_s, nonce=None)
            case _:
                raise OAuthError("unsupported_grant_type", "authorization_code and refresh_token are offered")

    def userinfo(self, access_token: str, *, now_s: int) -> dict[str, str] | None:
        """Who this access token acts as, or None when it is not valid."""
        grant, expires_at = self._access_tokens.get(access_token, (None, 0))
        if grant is None or grant.revoked or now_s >= expires_at:
            return None
        return {"sub": grant.user.sub, "preferred_username": grant.user.username}

    def end_session(self, cookie: str | None, *, now_s: int) -> tuple[Session | None, list[LogoutNotice]]:
        """End a browser's session: one logout token for each RP it had signed in to (BCL §2.5).

        Returns:
            The session that was ended, None when there was none, and what must be posted now.
        """
        session = self._sessions.pop(cookie or "", None)
        if session is None:
            return None, []
        clients = [self.clients[client_id] for client_id in session.client_ids]
        return session, [self._logout_notice(client, session, now_s) for client in clients]

    def _redeem_code(self, params: Mapping[str, str], client: Client, now_s: int) -> dict[str, Any]:
        grant = self._codes.get(params.get("code", ""))
        if grant is None or grant.request.client != client or now_s >= grant.code_expires_at:
            raise OAuthError("invalid_grant", "this code is not valid")
        if grant.code_used:
            # RFC 6749 §4.1.2: a code seen twice may have been stolen, so its tokens die as well.
            grant.revoked = True
            raise OAuthError("invalid_grant", "this code was already used")
        if params.get("redirect_uri") != client.redirect_uri:
            raise OAuthError("invalid_grant", "redirect_uri differs from the authorization request")
        digest = hashlib.sha256(params.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=")
        if not hmac.compare_digest(challenge, grant.request.code_challenge.encode()):
            raise OAuthError("invalid_grant", "code_verifier does not match")
        grant.code_used = True
        return self._tokens(grant, now_s, nonce=grant.request.nonce)

    def _tokens(self, grant: Grant, now_s: int, *, nonce: str | None) -> dict[str, Any]:
        access_token, refresh_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._access_tokens[access_token] = (grant, now_s + ACCESS_TOKEN_LIFETIME_S)
        self._refresh_tokens[refresh_token] = grant
        claims = {
            "iss": self.issuer,
            "aud": grant.request.client.client_id,
            "sub": grant.user.sub,
            "sid": grant.sid,
            "auth_time": grant.auth_time,
            "iat": now_s,
            "exp": now_s + ID_TOKEN_LIFETIME_S,
            "preferred_username": grant.user.username,
        }
        return {
            "token_type": "Bearer",
            "access_token": access_token,
            "expires_in": ACCESS_TOKEN_LIFETIME_S,
            "refresh_token": refresh_token,
            "scope": grant.request.scope,
            "id_token": sign({**claims, "nonce": nonce} if nonce else claims, self._key, typ="JWT"),
        }

    def _logout_notice(self, client: Client, session: Session, now_s: int) -> LogoutNotice:
        claims = logout_claims(self.issuer, client.client_id, now_s=now_s, sub=session.user.sub, sid=session.sid)
        return LogoutNotice(client=client, claims=claims, logout_token=sign(claims, self._key, typ="logout+jwt"))
