"""An OP whose session goes on: it asks for a password only where it has to, and its tokens say what a test wants."""

from __future__ import annotations

import html
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from demo.signing import sign
from tests.support.keys import rsa_pair
from tests.support.threaded import ThreadedServer

COOKIE = "op_session"


@dataclass
class Session:
    """One browser at the OP."""

    sub: str
    sid: str
    auth_time: int


class SessionOP(ThreadedServer):
    """The OP. Use it with `with`.

    Attributes:
        began_ago_s: How long ago a session begins when its user signs in for the first time.
        says: What ID tokens say after an authentication in a session that goes on: a `new` auth_time, the `old` one, or
            `none` at all.
        prompts: Login pages that were shown.
        rounds: Authorization requests that came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.key = rsa_pair("wayback")
        self.began_ago_s = 3_000
        self.says = "new"
        self.prompts = 0
        self.rounds = 0
        self.pushed: dict[str, dict[str, str]] = {}
        self._sessions: dict[str, Session] = {}
        self._codes: dict[str, tuple[Session, dict[str, str]]] = {}

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/login", self._login)
        app.router.add_post("/par", self._push)
        app.router.add_post("/token", self._token)
        app.router.add_get("/jwks", self._jwks)
        return app

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.published()]})

    async def _push(self, request: web.Request) -> web.Response:
        name = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(8)}"
        self.pushed[name] = {key: str(value) for key, value in (await request.post()).items()}
        return web.json_response({"request_uri": name, "expires_in": 60}, status=201)

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        self.rounds += 1
        query = dict(request.query)
        query = self.pushed.get(query.get("request_uri", ""), query)
        session = self._sessions.get(request.cookies.get(COOKIE, ""))
        must_ask = "login" in query.get("prompt", "").split() or query.get("max_age") == "0"
        if session is not None and not must_ask:
            return self._back(query, session)
        self.prompts += 1
        fields = html.escape(json.dumps(query))
        page = f"""<!doctype html><title>login</title><form id="login" method="post" action="/login">
            <input type="hidden" name="query" value="{fields}"><button>Sign in as alice</button></form>"""
        return web.Response(text=page, content_type="text/html")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        query = json.loads(str((await request.post())["query"]))
        cookie = request.cookies.get(COOKIE, "")
        session = self._sessions.get(cookie)
        if session is None:
            cookie = secrets.token_urlsafe(16)
            session = Session("alice", f"sid-{secrets.token_hex(4)}", int(time.time()) - self.began_ago_s)
            self._sessions[cookie] = session
        elif self.says == "new":
            session.auth_time = int(time.time())
        response = self._back(query, session)
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
        return response

    def _back(self, query: dict[str, str], session: Session) -> web.Response:
        code = secrets.token_urlsafe(16)
        self._codes[code] = (session, query)
        back = urlencode({"code": code, "state": query["state"]})
        return web.Response(status=303, headers={"Location": f"{query['redirect_uri']}?{back}"})

    async def _token(self, request: web.Request) -> web.Response:
        session, query = self._codes.pop(str((await request.post())["code"]))
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer, "aud": query["client_id"], "sub": session.sub, "sid": session.sid, "iat": now,
            "exp": now + 3600, "nonce": query["nonce"],
        }  # fmt: skip
        if self.says != "none":
            claims["auth_time"] = session.auth_time
        token = sign(claims, self.key, typ="JWT")
        return web.json_response({"token_type": "Bearer", "access_token": "at", "id_token": token})
