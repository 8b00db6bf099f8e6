"""An OP that is a transmitter of security events too: streams, subjects, status, verification, push and poll."""

from __future__ import annotations

import json
import secrets
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.support.op import ABSENT, OP, encode_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from tests.support.keys import KeyPair

BASE = "https://schemas.openid.net/secevent/"
REVOKED = f"{BASE}caep/event-type/session-revoked"
CREDENTIAL_CHANGE = f"{BASE}caep/event-type/credential-change"
DISABLED = f"{BASE}risc/event-type/account-disabled"
VERIFICATION = f"{BASE}ssf/event-type/verification"
UPDATED = f"{BASE}ssf/event-type/stream-updated"

PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
CLIENT, SECRET = "rcv", "rcv secret"


class Transmitter(OP):
    """One issuer with at most one stream, as SSF 1.0 §7 and §8 describe it.

    Attributes:
        stream: Its configuration; None until it is made.
        status: What the stream's is.
        waiting: jti to SET, of what a poll gets; removed when it is acknowledged.
        acknowledged: jtis, in order.
        stream_status: `enabled`, `paused` or `disabled`.
        verify_status: What a request for a verification is answered with.
        page: SETs given out at once.
        new_stream_id: Of the next stream; empty makes one up.
        errors: jti to what the receiver said was wrong.
        polls: How often it was polled with a good token.
        tokens: Access tokens that count.
        subjects: Added, and not removed.
        forgets: Whether it gives out again what was acknowledged.
        refuse: Status that every call of the receiver is answered with; 0 for none.
        expires_in: What an access token's end is said to be.
        changes: Method and body of every call that changes the stream.
        stream_aud: What the stream's configuration says SETs are for.
        fails_after: Changes that are made and answered 500 all the same.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stream: dict[str, Any] | None = None
        self.stream_status = "enabled"
        self.waiting: dict[str, str] = {}
        self.acknowledged: list[str] = []
        self.errors: dict[str, Mapping[str, str]] = {}
        self.polls = 0
        self.tokens: set[str] = set()
        self.subjects: list[dict[str, Any]] = []
        self.forgets = False
        self.refuse = 0
        self.expires_in: object = 300
        self.verify_status = 204
        self.page = 100
        self.new_stream_id = ""
        self.changes: list[tuple[str, dict[str, Any]]] = []
        self.fails_after = 0
        self.stream_aud = ["c1"]

    def add_routes(self, app: web.Application) -> None:
        """Configuration, tokens, management and polling."""
        self.metadata["token_endpoint"] = f"{self.path}/token"
        app.router.add_get(f"/.well-known/ssf-configuration{self.path}", self._configuration)
        app.router.add_post(f"{self.path}/token", self._token)
        app.router.add_route("*", f"{self.path}/streams", self._streams)
        app.router.add_route("*", f"{self.path}/status", self._status)
        app.router.add_post(f"{self.path}/verify", self._verify)
        app.router.add_post(f"{self.path}/subjects/add", self._add)
        app.router.add_post(f"{self.path}/subjects/remove", self._remove)
        app.router.add_post(f"{self.path}/poll", self._poll)

    def set_claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good SET with some members changed; `uri` and `event` are what happened."""
        uri, event = changes.pop("uri", REVOKED), changes.pop("event", {})
        claims = {
            "iss": self.issuer,
            "aud": "c1",
            "iat": int(self.clock()),
            "jti": str(uuid.uuid4()),
            "sub_id": {"format": "iss_sub", "iss": self.issuer, "sub": "u1"},
            "events": {uri: event},
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not ABSENT}

    def a_set(self, *, header: dict[str, Any] | None = None, key: KeyPair | None = None, **claims: Any) -> str:
        """A SET, valid but for the changes asked for, really signed."""
        return encode_token(
            self.header(**{"typ": "secevent+jwt", **(header or {})}),
            self.set_claims(**claims),
            key or self.signing_key,
        )

    def queue(self, compact: str, jti: str | None = None) -> str:
        """Have a SET wait for a poll; returns its jti."""
        jti = jti or str(uuid.uuid4())
        self.waiting[jti] = compact
        return jti

    def queue_set(self, **claims: Any) -> str:
        """The same for a good SET with changes."""
        jti = str(claims.setdefault("jti", str(uuid.uuid4())))
        return self.queue(self.a_set(**claims), jti)

    async def push(self, http: aiohttp.ClientSession, url: str, compact: str, **headers: str) -> tuple[int, Any]:
        """Push a SET (RFC 8935 §2.1); status and JSON of the answer."""
        sent = {"Content-Type": "application/secevent+jwt", "Accept": "application/json", **headers}
        async with http.post(url, data=compact, headers=sent) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    def stream_event(self, uri: str, event: dict[str, Any], **claims: Any) -> dict[str, Any]:
        """The changes that make a SET about the stream."""
        stream_id = self.stream["stream_id"] if self.stream else "stream"
        return {"uri": uri, "event": event, "sub_id": {"format": "opaque", "id": stream_id}, **claims}

    async def _configuration(self, _: web.Request) -> web.Response:
        here = self.issuer
        return web.json_response(
            {
                "spec_version": "1_0",
                "issuer": here,
                "jwks_uri": f"{here}/jwks",
                "delivery_methods_supported": [PUSH, POLL],
                "configuration_endpoint": f"{here}/streams",
                "status_endpoint": f"{here}/status",
                "add_subject_endpoint": f"{here}/subjects/add",
                "remove_subject_endpoint": f"{here}/subjects/remove",
                "verification_endpoint": f"{here}/verify",
                "critical_subject_members": ["user"],
                "default_subjects": "NONE",
            },
            status=self.status,
        )

    async def _discovery(self, request: web.Request) -> web.Response:
        self.metadata["token_endpoint"] = f"{self.issuer}/token"
        return await super()._discovery(request)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert "client_credentials" == form["grant_type"]
        if "Basic cmN2OnJjditzZWNyZXQ=" != request.headers.get("Authorization"):
            return web.json_response({"error": "invalid_client"}, status=401)
        token = secrets.token_hex(8)
        self.tokens.add(token)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in})

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.refuse:
            return web.Response(status=self.refuse)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return web.Response(status=401)
        return None

    async def _streams(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        if request.method == "GET":
            return web.json_response([self.stream] if self.stream else [])
        asked = await request.json() if request.can_read_body else {}
        if request.method == "POST" and self.stream:
            return web.json_response({"error": "one stream"}, status=409)
        self.changes.append((request.method, asked))
        status = self._change(request.method, asked)
        if self.fails_after:
            self.fails_after -= 1
            return web.Response(status=500)
        return web.json_response(self.stream, status=status) if self.stream else web.Response(status=status)

    def _change(self, method: str, asked: dict[str, Any]) -> int:
        if method == "DELETE":
            self.stream = None
            return 204
        before = self.stream or {}
        delivery = dict(asked.get("delivery") or before["delivery"])
        if delivery["method"] == POLL and before.get("delivery", {}).get("method") != POLL:
            # Keycloak 26.7 gives the address when a stream becomes one that is polled, and forgets it when it is told
            # a poll's delivery again.
            delivery["endpoint_url"] = f"{self.issuer}/poll"
        requested = asked.get("events_requested") or before["events_requested"]
        self.stream = {
            "stream_id": before.get("stream_id") or self.new_stream_id or secrets.token_hex(8),
            "iss": self.issuer,
            "aud": self.stream_aud,
            "events_supported": [REVOKED, CREDENTIAL_CHANGE],
            "events_requested": requested,
            "events_delivered": [uri for uri in requested if uri in (REVOKED, CREDENTIAL_CHANGE)],
            "delivery": delivery,
        }
        return 201 if method == "POST" else 200

    async def _status(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        assert self.stream is not None
        if request.method == "POST":
            self.stream_status = (await request.json())["status"]
        return web.json_response({"stream_id": self.stream["stream_id"], "status": self.stream_status})

    async def _verify(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        assert self.stream is not None
        asked = await request.json()
        assert asked["stream_id"] == self.stream["stream_id"]
        if self.verify_status == 204:
            self.queue_set(**self.stream_event(VERIFICATION, {"state": asked["state"]}))
        return web.Response(status=self.verify_status)

    async def _add(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        self.subjects.append((await request.json())["subject"])
        return web.json_response({})

    async def _remove(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        self.subjects.remove((await request.json())["subject"])
        return web.Response(status=204)

    async def _poll(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        asked = await request.json()
        self.polls += 1
        for jti in (*asked.get("ack", ()), *asked.get("setErrs", {})):
            if not self.forgets:
                self.waiting.pop(jti, None)
        self.acknowledged += asked.get("ack", ())
        self.errors |= asked.get("setErrs", {})
        if self.stream_status != "enabled":
            return web.json_response({"sets": {}})
        most = min(self.page, asked.get("maxEvents", self.page))
        sets = dict(list(self.waiting.items())[:most])
        return web.json_response({"sets": sets, "moreAvailable": len(self.waiting) > len(sets)})
