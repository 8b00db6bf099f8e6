"""The demo OP over HTTP, as its own process.

Two listeners, both on loopback, because two demands meet. MSAL accepts an `oidc_authority` only when it is
https with a path segment, so everything RPs and the receiver call (discovery, token, JWKS, userinfo) is https
with a certificate from a CA made for this run. What a browser opens (authorization, login, sign-out) is
plain http, so that a person sees no certificate warning; a real OP would of course use https for both.

At sign-out it behaves as real OPs do: each logout token is posted once, waited for 5 s, never retried.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote_plus, urlencode, urlsplit

import aiohttp
import redis.asyncio
from aiohttp import web

from demo import timeline
from demo.pages import render
from demo.provider import (
    AuthorizationRequest,
    Client,
    LogoutNotice,
    OAuthError,
    Provider,
    Session,
    UnsafeRequestError,
    User,
)
from demo.settings import OPSettings
from demo.timeline import Happened

LOGOUT_TIMEOUT_S = 5.0
"""How long the OP waits for an RP's answer; real OPs wait 2.5 to 10 s."""

COOKIE = "demo_op_session"

Report = Callable[[Happened, Mapping[str, object]], Awaitable[None]]


class Endpoints:
    """The OP's endpoints on top of a `Provider`.

    Args:
        provider: The rules.
        pages_url: Where browsers reach this OP, for instance `http://localhost:8103`.
        client_session: Posts the logout tokens.
        report: Told of what happened.
    """

    def __init__(
        self, provider: Provider, *, pages_url: str, client_session: aiohttp.ClientSession, report: Report
    ) -> None:
        self._provider = provider
        self._pages_url = pages_url
        self._client_session = client_session
        self._report = report
        self._waiting: dict[str, AuthorizationRequest] = {}

    def backchannel_app(self) -> web.Application:
        """What RPs and the receiver call."""
        path = urlsplit(self._provider.issuer).path
        app = web.Application()
        app.router.add_get(f"{path}/.well-known/openid-configuration", self._discovery)
        app.router.add_get(f"{path}/jwks", self._jwks)
        app.router.add_post(f"{path}/token", self._token)
        app.router.add_get(f"{path}/userinfo", self._userinfo)
        return app

    def browser_app(self) -> web.Application:
        """What a person's browser opens."""
        app = web.Application()
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/login", self._login)
        app.router.add_get("/logout", self._confirm_logout)
        app.router.add_post("/logout", self._logout)
        return app

    async def _discovery(self, _: web.Request) -> web.Response:
        issuer = self._provider.issuer
        return web.json_response(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{self._pages_url}/authorize",
                "end_session_endpoint": f"{self._pages_url}/logout",
                "token_endpoint": f"{issuer}/token",
                "userinfo_endpoint": f"{issuer}/userinfo",
                "jwks_uri": f"{issuer}/jwks",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["openid", "profile", "offline_access", "orders.read"],
                "backchannel_logout_supported": True,
                "backchannel_logout_session_supported": True,
            }
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response(self._provider.jwks())

    async def _token(self, request: web.Request) -> web.Response:
        headers = {"Cache-Control": "no-store"}
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            client = self._provider.authenticate_client(*_client_credentials(request, form))
            return web.json_response(self._provider.token(form, client, now_s=int(time.time())), headers=headers)
        except OAuthError as error:
            status = 400
            if error.error == "invalid_client":
                status, headers["WWW-Authenticate"] = 401, "Basic"
            body = {"error": error.error, "error_description": error.description}
            return web.json_response(body, status=status, headers=headers)

    async def _userinfo(self, request: web.Request) -> web.Response:
        _, _, access_token = request.headers.get("Authorization", "").partition("Bearer ")
        claims = self._provider.userinfo(access_token, now_s=int(time.time()))
        if claims is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return web.json_response(claims, headers={"Cache-Control": "no-store"})

    async def _authorize(self, request: web.Request) -> web.Response:
        try:
            checked = self._provider.check_authorization_request(request.query)
        except UnsafeRequestError as error:
            return _page("op_error", status=400, description=error.description)
        except OAuthError as error:
            return _redirect_back(
                request.query["redirect_uri"],
                error=error.error,
                error_description=error.description,
                state=request.query.get("state"),
            )
        session = self._provider.session(request.cookies.get(COOKIE))
        if session is not None and checked.prompt != "login":
            return await self._answer_with_code(checked, session)
        if checked.prompt == "none":
            return _redirect_back(checked.client.redirect_uri, error="login_required", state=checked.state)
        ticket = secrets.token_urlsafe(16)
        self._waiting[ticket] = checked
        return self._login_page(ticket, checked, failed=False)

    async def _login(self, request: web.Request) -> web.Response:
        form = await request.post()
        ticket = str(form.get("ticket", ""))
        checked = self._waiting.get(ticket)
        if checked is None:
            return _page("op_error", status=400, description="this login page is too old; start again at the app")
        username, password = str(form.get("username", "")), str(form.get("password", ""))
        session = self._provider.sign_in(username, password, now_s=int(time.time()))
        if session is None:
            return self._login_page(ticket, checked, failed=True)
        del self._waiting[ticket]
        await self._report(
            Happened.OP_SIGNED_IN,
            {
                "username": session.user.username,
                "sub": session.user.sub,
                "sid": session.sid,
                "client_id": checked.client.client_id,
            },
        )
        response = await self._answer_with_code(checked, session)
        response.set_cookie(COOKIE, session.cookie, httponly=True, samesite="Lax")
        return response

    async def _confirm_logout(self, request: web.Request) -> web.Response:
        session = self._provider.session(request.cookies.get(COOKIE))
        return _page("op_logout", session=session, clients=self._clients_of(session))

    async def _logout(self, request: web.Request) -> web.Response:
        session, notices = self._provider.end_session(request.cookies.get(COOKIE), now_s=int(time.time()))
        if session is not None:
            await self._report(
                Happened.OP_SIGNED_OUT,
                {"username": session.user.username, "sid": session.sid, "client_ids": session.client_ids},
            )
        answers = await asyncio.gather(*(self._post(notice, session) for notice in notices if session))
        response = _page("op_signed_out", session=session, answers=answers)
        response.del_cookie(COOKIE)
        return response

    async def _post(self, notice: LogoutNotice, session: Session) -> tuple[Client, str, int]:
        username = session.user.username
        client_id = notice.client.client_id
        await self._report(
            Happened.LOGOUT_POSTED, {"client_id": client_id, "username": username, "claims": notice.claims}
        )
        started = time.perf_counter()
        try:
            async with self._client_session.post(
                notice.client.backchannel_logout_uri,
                data={"logout_token": notice.logout_token},
                timeout=aiohttp.ClientTimeout(total=LOGOUT_TIMEOUT_S),
                allow_redirects=False,
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        ms = round((time.perf_counter() - started) * 1000)
        answered = {
            "client_id": client_id,
            "username": username,
            "jti": notice.claims["jti"],
            "status": status,
            "ms": ms,
        }
        await self._report(Happened.LOGOUT_ANSWERED, answered)
        return notice.client, str(status) if status else "no answer", ms

    def _clients_of(self, session: Session | None) -> list[Client]:
        return [self._provider.clients[client_id] for client_id in session.client_ids] if session else []

    async def _answer_with_code(self, checked: AuthorizationRequest, session: Session) -> web.Response:
        code = self._provider.issue_code(checked, session, now_s=int(time.time()))
        return _redirect_back(checked.client.redirect_uri, code=code, state=checked.state)

    def _login_page(self, ticket: str, checked: AuthorizationRequest, *, failed: bool) -> web.Response:
        users = list(self._provider.users.values())
        return _page("op_login", ticket=ticket, client=checked.client, users=users, failed=failed)


def _client_credentials(request: web.Request, form: Mapping[str, str]) -> tuple[str, str]:
    """client_secret_basic (RFC 6749 §2.3.1: form-encoded, then base64), else client_secret_post."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client_id, _, client_secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", "the Authorization header is malformed") from error
    return unquote_plus(client_id), unquote_plus(client_secret)


def _redirect_back(redirect_uri: str, **params: str | None) -> web.Response:
    query = urlencode({name: value for name, value in params.items() if value is not None})
    return web.Response(status=303, headers={"Location": f"{redirect_uri}?{query}", "Cache-Control": "no-store"})


def _page(template: str, *, status: int = 200, **values: object) -> web.Response:
    return web.Response(
        text=render(template, **values),
        status=status,
        content_type="text/html",
        headers={"Cache-Control": "no-store", "Content-Security-Policy": "frame-ancestors 'none'"},
    )


async def serve(settings: OPSettings) -> None:
    """Serve both listeners until cancelled."""
    provider = Provider(
        issuer=settings.issuer,
        clients=[Client(**client) for client in settings.clients],
        users=[User(**user) for user in settings.users],
    )
    redis_client = redis.asyncio.Redis.from_url(settings.redis_url)

    async def report(kind: Happened, data: Mapping[str, object]) -> None:
        await redis_client.xadd(timeline.STREAM, timeline.fields(kind, data), maxlen=timeline.MAX_ENTRIES)

    async with aiohttp.ClientSession() as client_session, redis_client:
        endpoints = Endpoints(
            provider,
            pages_url=f"http://localhost:{settings.http_port}",
            client_session=client_session,
            report=report,
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(settings.certificate_file, settings.key_file)
        backchannel = web.AppRunner(endpoints.backchannel_app(), access_log=None)
        browser = web.AppRunner(endpoints.browser_app(), access_log=None)
        await backchannel.setup()
        await browser.setup()
        await web.TCPSite(browser, "127.0.0.1", settings.http_port).start()
        await web.TCPSite(backchannel, "127.0.0.1", settings.https_port, ssl_context=tls).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(OPSettings.from_command_line()))
