"""An OP that is a Keycloak realm too: its admin events and its users, as Keycloak's admin API gives them."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.support.op import OP

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT, SECRET = "watcher", "watcher secret"


class Realm(OP):
    """The admin API of one realm.

    Attributes:
        users: Id to whether the account is enabled.
        events: Admin events, the oldest first.
        keeps_events: Whether admin events are switched on.
        deletes_after_page: How many of the first users are deleted each time after a page of them was read.
        answers: What the next calls are answered in place of what was asked: status and `Retry-After`.
        bodies: JSON that the next good answers have in place of theirs.
        asked: Path and query of every call.
        tokens: Access tokens that count.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.users: dict[str, bool] = {}
        self.events: list[dict[str, Any]] = []
        self.keeps_events = True
        self.deletes_after_page = 0
        self.answers: list[tuple[int, str | None]] = []
        self.bodies: list[Any] = []
        self.asked: list[str] = []
        self.tokens: set[str] = set()

    def add_routes(self, app: web.Application) -> None:
        """Tokens, events and users."""
        app.router.add_post(f"{self.path}/token", self._token)
        app.router.add_get(f"{self.path}/admin/events/config", self._config)
        app.router.add_get(f"{self.path}/admin/admin-events", self._events)
        app.router.add_get(f"{self.path}/admin/users", self._users)

    def tenant(self, **keycloak: Any) -> dict[str, Any]:
        """Settings of tenant t1 that watch this realm."""
        access = {"client_id": CLIENT, "client_secret": SECRET, "token_endpoint": f"{self.issuer}/token"}
        section = {"access": access, "admin_url": f"{self.issuer}/admin", **keycloak}
        return {"name": "t1", "issuer": self.issuer, "client_ids": ["c1"], "keycloak": section}

    def add(self) -> str:
        """A user; their id."""
        user = str(uuid.uuid4())
        self.users[user] = True
        return user

    def log_out_all(self) -> None:
        """What "Sign out all active sessions" does."""
        self.note("ACTION", "logout-all", "REALM")

    def delete(self, user: str) -> None:
        """What an administrator does."""
        del self.users[user]
        self.note("DELETE", f"users/{user}")

    def disable(self, user: str) -> None:
        """What an administrator does; LDAP does it without an event."""
        self.users[user] = False
        self.note("UPDATE", f"users/{user}")

    def note(self, operation: str, path: str, kind: str = "USER") -> None:
        """An admin event."""
        self.events.append({
            "id": str(uuid.uuid4()), "time": int(self.clock() * 1000), "operationType": operation,
            "resourceType": kind, "resourcePath": path,
        })  # fmt: skip

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "client_credentials" or "Authorization" not in request.headers:
            return web.json_response({"error": "invalid_client"}, status=401)
        token = secrets.token_hex(8)
        self.tokens.add(token)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 300})

    def _refused(self, request: web.Request) -> web.Response | None:
        self.asked.append(request.path_qs)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return web.Response(status=401)
        if self.answers:
            status, retry_after = self.answers.pop(0)
            return web.Response(status=status, headers={} if retry_after is None else {"Retry-After": retry_after})
        return web.json_response(self.bodies.pop(0)) if self.bodies else None

    async def _config(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        return refused or web.json_response({"adminEventsEnabled": self.keeps_events})

    async def _events(self, request: web.Request) -> web.Response:
        wanted, since = set(request.query.getall("operationTypes")), int(request.query["dateFrom"])
        found = [one for one in self.events if one["operationType"] in wanted and one["time"] >= since]
        return self._refused(request) or web.json_response(_page(found, request.query))

    async def _users(self, request: web.Request) -> web.Response:
        only = request.query.get("enabled")
        found = [
            {"id": user, "username": user, "enabled": enabled}
            for user, enabled in self.users.items()
            if only is None or enabled is (only == "true")
        ]
        shown = _page(found, request.query)
        for user in list(self.users)[: self.deletes_after_page]:
            del self.users[user]
        return self._refused(request) or web.json_response(shown)


def _page(found: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    first = int(query["first"])
    return found[first : first + int(query["max"])]
