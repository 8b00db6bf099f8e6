"""An OP on loopback: real keys, real signatures, a real HTTP server for discovery and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from demo.signing import LOGOUT_EVENT, KeyPair, encode_token, logout_claims
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from tests.support.clock import Clock

__all__ = ["ABSENT", "LOGOUT_EVENT", "OP", "encode_token"]

ABSENT = object()
"""Given as a claim or header member, leaves it out."""


class OP:
    """One issuer. Start it with `async with`; change what it answers while it runs.

    Attributes:
        keys: Published key documents; replace to rotate.
        jwks_fetches: How often the key set was asked for.
        status: What discovery and keys answer; 500 plays an outage.
        pages: Further pages, HTML by path.
        other_requests: Paths asked for that an OP never has, to prove nobody was tricked into calling.
    """

    def __init__(self, clock: Clock, *, path: str = "/t1", signing_key: KeyPair | None = None) -> None:
        self.clock = clock
        self.path = path
        self.signing_key = signing_key or rsa_pair("k1")
        self.keys: list[dict[str, Any]] = [self.signing_key.published()]
        self.jwks_fetches = 0
        self.discovery_fetches = 0
        self.status = 200
        self.jwks_body: bytes | None = None
        self.metadata: dict[str, Any] = {}
        self.other_requests: list[str] = []
        self.pages: dict[str, str] = {}
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return self.origin + self.path

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(self.path + "/.well-known/openid-configuration", self._discovery)
        app.router.add_get(self.path + "/jwks", self._jwks)
        self.add_routes(app)
        app.router.add_route("*", "/{other:.*}", self._other)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def add_routes(self, app: web.Application) -> None:
        """What a kind of OP answers beside; none here."""

    async def _discovery(self, _: web.Request) -> web.Response:
        self.discovery_fetches += 1
        document = {"issuer": self.issuer, "jwks_uri": self.issuer + "/jwks", **self.metadata}
        return web.json_response(document, status=self.status)

    async def _jwks(self, _: web.Request) -> web.Response:
        self.jwks_fetches += 1
        if self.jwks_body is not None:
            return web.Response(body=self.jwks_body, status=self.status)
        return web.json_response({"keys": self.keys}, status=self.status)

    async def _other(self, request: web.Request) -> web.Response:
        if request.path in self.pages:
            return web.Response(text="<!doctype html>" + self.pages[request.path], content_type="text/html")
        self.other_requests.append(request.path)
        return web.Response(status=404)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A valid payload with some members changed."""
        payload = logout_claims(self.issuer, "c1", now_s=int(self.clock()), **{"sub": "u1", "sid": "s1", **changes})
        return {name: value for name, value in payload.items() if value is not ABSENT}

    def header(self, **changes: Any) -> dict[str, Any]:
        """A valid header with some members changed."""
        header = {"alg": "RS256", "kid": self.signing_key.kid, "typ": "logout+jwt", **changes}
        return {name: value for name, value in header.items() if value is not ABSENT}

    def token(self, *, header: dict[str, Any] | None = None, key: KeyPair | None = None, **claims: Any) -> str:
        """A logout token, valid but for the changes asked for, really signed."""
        return encode_token(self.header(**(header or {})), self.claims(**claims), key or self.signing_key)
