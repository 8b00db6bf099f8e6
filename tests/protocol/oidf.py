"""The OpenID Foundation suite's back-channel logout test, both sides of it: the suite's OP, and an RP to be tested.

The OP plays what the suite's modules play: authorization code flow with PKCE, RP-Initiated Logout 1.0, and a logout
token that is right or wrong in the module's way. The RP leaves the end of its own session to the back channel, so
that the session shows what the logout token did.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import aiohttp
import jwt
from aiohttp import web

from tests.support.keys import ec_pair
from tests.support.op import LOGOUT_EVENT, OP, encode_token
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.consumer import Eviction
    from tests.support.clock import Clock

CLIENT_ID = "c1"


def redirect(url: str, **query: str) -> web.Response:
    """303 to a URL with these parameters."""
    return web.Response(status=303, headers={"Location": f"{url}?{urlencode(query)}"})


@dataclass(frozen=True)
class Module:
    """One module of the suite.

    Attributes:
        name: As the suite calls it.
        status: What the RP must answer.
        change: Alters header and claims of the suite's logout token.
        signed: False leaves the signature empty.
    """

    name: str
    status: int
    change: Callable[[dict[str, Any], dict[str, Any]], object] = lambda _header, _claims: None
    signed: bool = True


class SuiteOP(OP):
    """The suite as an OP.

    Attributes:
        module: What it plays at the next logout.
        backchannel_logout_uri: As registered for the RP.
        answers: What was answered to each logout token.
    """

    def __init__(self, clock: Clock, *, module: Module) -> None:
        super().__init__(clock)
        self.keys.append(ec_pair("es256").published())
        self.module = module
        self.backchannel_logout_uri = ""
        self.answers: list[Answer] = []
        self._codes: dict[str, Mapping[str, str]] = {}

    async def _other(self, request: web.Request) -> web.Response:
        endpoints = {"/authorize": self._authorize, "/token": self._token, "/end_session": self._end_session}
        endpoint = endpoints.get(request.path)
        return await endpoint(request) if endpoint else await super()._other(request)

    async def _authorize(self, request: web.Request) -> web.Response:
        """Sign the user in without asking, as the suite does (Core §3.1.2, RFC 7636 §4.3)."""
        query = request.query
        assert ("code", CLIENT_ID, "S256") == tuple(
            query[name] for name in ("response_type", "client_id", "code_challenge_method")
        )
        code = secrets.token_urlsafe()
        self._codes[code] = dict(query)
        return redirect(query["redirect_uri"], code=code, state=query["state"])

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self._codes.pop(str(form["code"]))
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert asked["redirect_uri"] == form["redirect_uri"]
        now = int(self.clock())
        claims = {
            "iss": self.issuer,
            "sub": "u1",
            "sid": str(uuid.uuid4()),
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        }
        id_token = encode_token(self.header(typ="JWT"), claims, self.signing_key)
        return web.json_response({"access_token": "unused", "token_type": "Bearer", "id_token": id_token})

    async def _end_session(self, request: web.Request) -> web.Response:
        """Tell the RP by the back channel, then send the browser back (RP-Initiated Logout 1.0 §2, §3)."""
        hint = jwt.decode(request.query["id_token_hint"], options={"verify_signature": False})
        form = {"ignored_parameter": "ignored", "logout_token": self._logout_token(hint)}
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.backchannel_logout_uri, data=form, allow_redirects=False) as response,
        ):
            self.answers.append(Answer(response.status, response.headers, await response.text()))
        return redirect(request.query["post_logout_redirect_uri"], state=request.query["state"])

    def _logout_token(self, hint: Mapping[str, Any]) -> str:
        now = int(self.clock())
        header: dict[str, Any] = {"alg": "RS256", "kid": self.signing_key.kid}
        claims = {
            "iss": self.issuer,
            "sub": hint["sub"],
            "aud": CLIENT_ID,
            "jti": str(uuid.uuid4()),
            "sid": hint["sid"],
            "events": {LOGOUT_EVENT: {}},
            "iat": now,
            "exp": now + 120,
            "ignored_claim": "ignored",
        }
        self.module.change(header, claims)
        key = ec_pair("es256") if header["alg"] == "ES256" else self.signing_key
        return encode_token(header, claims, key if self.module.signed else None)


@dataclass
class Session:
    """Somebody signed in at the RP."""

    iss: str
    sub: str
    sid: str
    id_token: str


@dataclass
class RelyingParty:
    """A web app that signs its users in at an OP and hears of logouts from the receiver's event stream."""

    op: OP
    port: int = 0
    sessions: dict[str, Session] = field(default_factory=dict)
    _pending: dict[str, dict[str, str]] = field(default_factory=dict)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self.port}"

    def forget(self, eviction: Eviction) -> None:
        """End the sessions an eviction is for; a session needs to match in all the event says."""
        self.sessions = {
            cookie: session
            for cookie, session in self.sessions.items()
            if session.iss != eviction.iss
            or eviction.sub not in {None, session.sub}
            or (eviction.scope == "session" and eviction.sid != session.sid)
        }

    async def __aenter__(self) -> Self:
        app = web.Application()
        for path, handler in (
            ("/login", self._login),
            ("/callback", self._callback),
            ("/me", self._me),
            ("/logout", self._logout),
            ("/signed-out", self._signed_out),
        ):
            app.router.add_get(path, handler)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _login(self, _: web.Request) -> web.Response:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._pending[state] = {"nonce": nonce, "code_verifier": verifier}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        return redirect(
            f"{self.op.origin}/authorize",
            response_type="code",
            scope="openid",
            client_id=CLIENT_ID,
            redirect_uri=f"{self.url}/callback",
            state=state,
            nonce=nonce,
            code_challenge=challenge,
            code_challenge_method="S256",
        )

    async def _callback(self, request: web.Request) -> web.Response:
        pending = self._pending.pop(request.query["state"])
        form = {
            "grant_type": "authorization_code",
            "code": request.query["code"],
            "redirect_uri": f"{self.url}/callback",
            "client_id": CLIENT_ID,
            "code_verifier": pending["code_verifier"],
        }
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{self.op.origin}/token", data=form) as response:
                id_token = (await response.json())["id_token"]
            async with http.get(f"{self.op.issuer}/jwks") as response:
                keys = jwt.PyJWKSet.from_dict(await response.json())
        claims = jwt.decode(
            id_token,
            keys[jwt.get_unverified_header(id_token)["kid"]],
            algorithms=["RS256"],
            audience=CLIENT_ID,
            issuer=self.op.issuer,
            options={"verify_exp": False, "verify_iat": False},  # the test's clock stands still
        )
        assert claims["nonce"] == pending["nonce"]
        cookie = secrets.token_urlsafe()
        self.sessions[cookie] = Session(claims["iss"], claims["sub"], claims["sid"], id_token)
        answer = redirect(f"{self.url}/me")
        answer.set_cookie("session", cookie, httponly=True)
        return answer

    async def _me(self, request: web.Request) -> web.Response:
        session = self.sessions.get(request.cookies.get("session", ""))
        return web.Response(text=session.sub) if session else web.Response(status=401)

    async def _logout(self, request: web.Request) -> web.Response:
        session = self.sessions[request.cookies["session"]]
        state = secrets.token_urlsafe()
        self._pending[state] = {}
        return redirect(
            f"{self.op.origin}/end_session",
            id_token_hint=session.id_token,
            post_logout_redirect_uri=f"{self.url}/signed-out",
            state=state,
        )

    async def _signed_out(self, request: web.Request) -> web.Response:
        del self._pending[request.query["state"]]
        return web.Response(text="signed out")
