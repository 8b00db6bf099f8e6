"""Microsoft Graph on loopback, as its documentation says it answers: delta queries, filters, pages, throttling, 410."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from demo.tls import Certificates
    from tests.support.clock import Clock

DIRECTORY = "11111111-2222-3333-4444-555555555555"
CLIENT, SECRET = "66666666-7777-8888-9999-000000000000", "graph secret"
VALID_FROM = "signInSessionsValidFromDateTime"


class Graph:
    """One directory, its tokens and its users.

    Attributes:
        users: Object id to the properties of a user.
        deleted: Object id to `deletedDateTime`.
        tenant_type: What `organization` says; None answers 403.
        delta: `dates`, `silent` about revocations, `without-dates` where the property is refused, or `unsupported`.
        filters_dates: Whether `$filter` on the date is answered.
        page: Users on a page.
        forgotten: Delta tokens below this number are answered 410.
        answers: What the next requests for users are answered in place of what was asked: status and `Retry-After`.
        bodies: JSON that the next good answers have in place of theirs.
        asked: Path and query of every request but those for tokens.
        tokens: How many were given out; only the last one counts.
    """

    def __init__(self, certificates: Certificates, clock: Clock) -> None:
        self._certificates = certificates
        self._clock = clock
        self._changes: list[dict[str, Any]] = []
        self.users: dict[str, dict[str, Any]] = {}
        self.deleted: dict[str, str] = {}
        self.tenant_type: str | None = "AAD"
        self.delta = "dates"
        self.filters_dates = True
        self.page = 100
        self.forgotten = 0
        self.answers: list[tuple[int, str | None]] = []
        self.bodies: list[Any] = []
        self.asked: list[str] = []
        self.tokens = 0
        self.base = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._discovery)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/v1.0/organization", self._organization)
        app.router.add_get("/v1.0/users/delta", self._delta)
        app.router.add_get("/v1.0/users", self._users)
        app.router.add_get("/v1.0/directory/deletedItems/microsoft.graph.user", self._deleted)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self._certificates.certificate_file, self._certificates.key_file)
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.base = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def tenant(self, **graph: Any) -> dict[str, Any]:
        """Settings of tenant t1 that watch this directory."""
        return {
            "name": "t1", "issuer": f"{self.base}/{DIRECTORY}/v2.0", "client_ids": ["c1"], "preset": "entra",
            "jwks_uri": f"{self.base}/keys", "outbound": {"ca_file": str(self._certificates.ca_file)},
            "graph": {
                "client_id": CLIENT, "client_secret": SECRET, "endpoint": f"{self.base}/v1.0",
                "authority": f"{self.base}/{DIRECTORY}", **graph,
            },
        }  # fmt: skip

    def add(self, number: int, **properties: Any) -> str:
        """A user, without a change in the delta query; its object id."""
        guid = f"{number:08d}-0000-0000-0000-000000000000"
        self.users[guid] = {"accountEnabled": True, VALID_FROM: "2020-01-01T00:00:00Z", **properties}
        return guid

    def revoke(self, user: str) -> None:
        """What `revokeSignInSessions` does."""
        self.users[user][VALID_FROM] = self.date()
        if self.delta == "dates":
            self._changes.append({"id": user, VALID_FROM: self.date()})

    def enable(self, user: str, *, enabled: bool) -> None:
        """Enable or disable an account."""
        self.users[user]["accountEnabled"] = enabled
        self._changes.append({"id": user, "accountEnabled": enabled})

    def delete(self, user: str) -> None:
        """Delete a user, who can be restored for 30 days."""
        del self.users[user]
        self.deleted[user] = self.date()
        self._changes.append({"id": user, "@removed": {"reason": "changed"}})

    def date(self) -> str:
        """Now, as Graph writes it."""
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def times_asked(self, part: str) -> int:
        """How many requests had this in path or query."""
        return sum(part in asked for asked in self.asked)

    async def _keys(self, _: web.Request) -> web.Response:
        return _json({"keys": []})

    async def _discovery(self, request: web.Request) -> web.Response:
        tenant = f"{self.base}/{request.match_info['tenant']}"
        return _json({
            "issuer": f"{tenant}/v2.0", "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
            "token_endpoint": f"{tenant}/oauth2/v2.0/token",
        })  # fmt: skip

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        good = {
            "grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET,
            "scope": f"{self.base}/.default",
        }  # fmt: skip
        if any(form.get(name) != value for name, value in good.items()):
            return _json({"error": "invalid_client"}, status=401)
        self.tokens += 1
        return _json({"token_type": "Bearer", "expires_in": 3599, "access_token": f"token {self.tokens}"})

    def _refused(self, request: web.Request) -> web.Response | None:
        self.asked.append(request.path_qs)
        if request.headers.get("Authorization") != f"Bearer token {self.tokens}":
            return _error(401, "InvalidAuthenticationToken")
        if self.answers and "organization" not in request.path:
            status, retry_after = self.answers.pop(0)
            headers = {} if retry_after is None else {"Retry-After": retry_after}
            return _error(status, "TooManyRequests", headers)
        return _json(self.bodies.pop(0)) if self.bodies else None

    async def _organization(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        if self.tenant_type is None:
            return _error(403, "Authorization_RequestDenied")
        return _json({"value": [{"id": DIRECTORY, "tenantType": self.tenant_type}]})

    async def _delta(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        if self.delta == "unsupported":
            return _error(400, "Request_UnsupportedQuery")
        if self.delta == "without-dates" and VALID_FROM in request.query.get("$select", ""):
            return _error(400, "BadRequest")
        token = request.query.get("$deltatoken") or request.query.get("$skiptoken")
        at = len(self._changes) if token == "latest" else int(token or 0)
        if at < self.forgotten:
            location = {"Location": f"{self.base}/v1.0/users/delta?$deltatoken="}
            return _error(410, "syncStateNotFound", location)
        end = at + self.page
        link = ("nextLink", "skip") if end < len(self._changes) else ("deltaLink", "delta")
        told = self._changes[at:end]
        return _json({
            "value": told, f"@odata.{link[0]}": f"{self.base}/v1.0/users/delta?${link[1]}token={at + len(told)}",
        })  # fmt: skip

    async def _users(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        asked = request.query.get("$filter", "")
        if asked.startswith(VALID_FROM) and not self.filters_dates:
            return _error(400, "Request_UnsupportedQuery")
        since = asked.removeprefix(f"{VALID_FROM} ge ") if asked.startswith(VALID_FROM) else ""
        disabled = asked == "accountEnabled eq false"
        found = [
            {"id": guid, **{name: user[name] for name in request.query["$select"].split(",") if name != "id"}}
            for guid, user in self.users.items()
            if user[VALID_FROM] >= since and not (disabled and user["accountEnabled"])
        ]
        return self._page(request, found)

    async def _deleted(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        return self._page(request, [{"id": guid, "deletedDateTime": at} for guid, at in self.deleted.items()])

    def _page(self, request: web.Request, found: list[dict[str, Any]]) -> web.Response:
        at = int(request.query.get("$skiptoken", 0))
        page: dict[str, Any] = {"value": found[at : at + self.page]}
        if at + self.page < len(found):
            page["@odata.nextLink"] = self.base + str(request.rel_url.update_query({"$skiptoken": at + self.page}))
        return _json(page)


def _json(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=json.dumps(body), status=status, headers=headers, content_type="application/json")


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    return _json({"error": {"code": code, "message": "said by the directory"}}, status=status, headers=headers)
