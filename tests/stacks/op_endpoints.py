"""What the tests' OP answers over HTTP."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from tests.stacks.op_sessions import DEFAULT_SCOPE, Grant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stacks.op import StackOP


class Endpoints:
    """The endpoints of one OP; its state and its knobs are in `StackOP`."""

    def __init__(self, op: StackOP) -> None:
        self._op = op

    def application(self) -> web.Application:
        """The routes; the libraries derive these paths each in their own way (MSAL Java does not look at discovery)."""
        app = web.Application()
        app.router.add_get("/common/discovery/instance", self._instance)
        for name, handler in (("token", self._token), ("revoke", self._revoke)):
            app.router.add_post(f"/{{base:.+}}/{name}", handler)
        app.router.add_get("/{base:.+}/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/{base:.+}/jwks", self._jwks)
        app.router.add_get("/{base:.+}/userinfo", self._userinfo)
        app.router.add_get("/{base:.+}/authorize", self._authorize)
        return app

    async def _discovery(self, request: web.Request) -> web.Response:
        base = f"https://{self._op.host}/{request.match_info['base']}".removesuffix("/v2.0")
        oauth = base + ("/oauth2/v2.0" if base != self._op.issuer else "")
        return web.json_response(
            {
                "issuer": self._op.issuer,
                "authorization_endpoint": f"{oauth}/authorize",
                "token_endpoint": f"{oauth}/token",
                "end_session_endpoint": f"{oauth}/logout",
                "userinfo_endpoint": f"{oauth}/userinfo",
                "jwks_uri": f"{base}/jwks",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
                "subject_types_supported": ["pairwise" if self._op.shape == "entra" else "public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "scopes_supported": DEFAULT_SCOPE.split(),
                "backchannel_logout_supported": True,
                "backchannel_logout_session_supported": self._op.sid,
                **({"revocation_endpoint": f"{oauth}/revoke"} if self._op.revocation_endpoint else {}),
                **self._op.metadata,
            }
        )

    async def _instance(self, _: web.Request) -> web.Response:
        names = {"preferred_network": self._op.host, "preferred_cache": self._op.host, "aliases": [self._op.host]}
        endpoint = f"{self._op.authority}/v2.0/.well-known/openid-configuration"
        return web.json_response({"tenant_discovery_endpoint": endpoint, "metadata": [names]})

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self._op.key.published()]})

    async def _authorize(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": self._op.answer(str(request.url))})

    async def _userinfo(self, request: web.Request) -> web.Response:
        grant = self._op.access_tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if grant is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return web.json_response(self._op.who(grant))

    async def _revoke(self, request: web.Request) -> web.Response:
        token = str((await request.post()).get("token", ""))
        if self._op.revocation_status == 200:
            self._op.revoked.append(token)
            if token in self._op.refresh_tokens:
                self._op.refresh_tokens[token].dead = True
        return web.Response(status=self._op.revocation_status)

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        client_id = form.get("client_id") or _basic_user(request.headers)
        match form.get("grant_type"):
            case "authorization_code":
                grant = self._op.codes.pop(form.get("code", ""), None)
            case "refresh_token":
                grant = self._op.refresh_tokens.get(form.get("refresh_token", ""))
                if grant is not None:
                    self._op.refreshes.append((grant.session.user, grant.client_id))
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                user = self._op.access_tokens.get(form.get("assertion", ""))
                grant = user and Grant(user.session, client_id, DEFAULT_SCOPE)
            case "client_credentials":
                token = {"token_type": "Bearer", "access_token": f"app-{secrets.token_urlsafe(16)}"}
                return web.json_response(
                    token | {"expires_in": self._op.access_token_s, "scope": form.get("scope", "")}
                )
            case _:
                grant = None
        if grant is None or grant.dead or grant.client_id != client_id:
            return web.json_response({"error": "invalid_grant", "error_description": "refused"}, status=400)
        answer = web.json_response(self._op.tokens(grant, form), headers={"Cache-Control": "no-store"})
        if form["grant_type"] == "refresh_token":
            await self._op.hold(grant)
        return answer


def _basic_user(headers: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    return unquote(base64.b64decode(value).decode().partition(":")[0]) if scheme.lower() == "basic" else ""
