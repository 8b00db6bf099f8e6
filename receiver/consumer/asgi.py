"""ASGI, so Starlette and FastAPI: `app.add_middleware(SignOut, redis_url=...)`, before `SessionMiddleware`.

Starlette puts what is added later around what was added earlier, and the session must be there when this
middleware runs. Needs asyncio.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from typing import TYPE_CHECKING, Any, Unpack

from receiver.consumer import anew
from receiver.consumer.asgi_socket import POLICY_VIOLATION, OpenSocket
from receiver.consumer.checkpoint import Checkpoint
from receiver.consumer.exempt import is_plain
from receiver.consumer.guard import Guard
from receiver.consumer.knowledge import ASK_AGAIN_AFTER_S
from receiver.consumer.options import Options, guard_options
from receiver.consumer.passage import REDIRECTS, Facts, Passage
from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from receiver.consumer.refusal import Refusal
    from receiver.core.eviction import Eviction

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

GUARD = "logout_receiver"
"""Where each request's scope has the `Guard`, for a probe: `request.scope["logout_receiver"].health()`."""

DENIAL = "websocket.http.response"
"""ASGI extension for answering a WebSocket handshake with a status; without it servers answer 403."""

LAST = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})
"""After these a server sends an app nothing more."""


class SignOut:
    """Stops signed-out users before the app is called, drops their session, and closes their open WebSockets.

    It listens from the app's startup on, or from the first request where the server sends no lifespan events.

    Args:
        app: The ASGI app.
        redis_url: The Redis the receiver publishes to.
        options: See `options.Options`. `claims` is given the scope and may be async. Without it the
            claims are looked for in `scope["session"]`.

    Raises:
        ConfigurationError: the URL or an option cannot be used.
        TypeError: an option that does not exist.
        RuntimeError: at the first request: there is no `scope["session"]` and no `claims`.
    """

    def __init__(self, app: App, redis_url: str, **options: Unpack[Options]) -> None:
        self._app = app
        self._redis_url = redis_url
        self._checkpoint = Checkpoint(options)
        self._options = guard_options(redis_url, options, name="asgi")
        self._on_eviction = self._options["on_eviction"]
        self._options["on_eviction"] = self._hear
        self._guard: Guard | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: set[OpenSocket] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        # First of all, so that the process hears from its first request of any kind on.
        scope[GUARD] = guard = await self._listening()
        if self._is_exempt(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(guard, scope, receive, send)
        else:
            await self._websocket(guard, scope, receive, send)

    async def stop(self) -> None:
        """Stop listening; the next request starts it again."""
        await cancel(*self._closing)
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.stop()

    def _is_exempt(self, scope: Scope) -> bool:
        # Also as it was sent: some apps route by that.
        raw = (scope.get("raw_path") or b"/").decode("latin-1")
        return self._checkpoint.is_exempt(_routed(scope)) and is_plain(raw)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_listen() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._listening()
            return message

        async def stop_and_send(message: Message) -> None:
            # Before the server is told: it may end the process, or cancel this task, as soon as it is.
            if message["type"] in LAST:
                await self.stop()
            await send(message)

        try:
            await self._app(scope, receive_and_listen, stop_and_send)
        finally:
            await self.stop()

    async def _http(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        passage, session = self._passage(guard, scope), scope.get("session")
        if session is None or not passage.goes_in(session, ()):
            await self._look(guard, scope, passage)
            refusal = passage.refusal()
            if refusal is not None:
                await _answer(send, "http.response", refusal)
                return
        replaced = False

        async def look_and_send(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                session = scope.get("session")
                # Where a session does not note changes, there may be some.
                changed = getattr(session, "modified", True)
                if not passage.goes_out(session, changed=changed, status=message["status"]):
                    refusal = _amend(message, passage, await self._look(guard, scope, passage))
                    if refusal is not None:
                        replaced = True
                        await _answer(send, "http.response", refusal)
            if not replaced:
                await send(message)

        await self._app(scope, receive, look_and_send)

    async def _websocket(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        passage = self._passage(guard, scope)
        await self._look(guard, scope, passage)
        refusal = passage.refusal()
        if refusal is not None and DENIAL in scope.get("extensions", {}):
            await _answer(send, DENIAL, refusal)
        elif refusal is not None:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        elif passage.visit is None or passage.status == "ended":
            await self._app(scope, receive, send)
        else:
            socket = OpenSocket(passage.visit.sign_in, receive, send)
            self._sockets.add(socket)
            watching = asyncio.create_task(self._watch(socket))
            try:
                await self._app(scope, socket.receive, socket.send)
            finally:
                socket.ended()
                self._sockets.discard(socket)
                await cancel(watching)

    async def _watch(self, socket: OpenSocket) -> None:
        # For a logout without an event, or after Redis failed to answer when the event was heard.
        while True:
            await asyncio.sleep(ASK_AGAIN_AFTER_S)
            await self._close_if_ended(await self._listening(), socket)

    def _passage(self, guard: Guard, scope: Scope) -> Passage:
        # Not the one in the scope: another `SignOut` further in may have put its own there.
        return Passage(self._checkpoint, guard.knowledge, lambda: _facts(scope))

    async def _look(self, guard: Guard, scope: Scope, passage: Passage) -> Any:
        """Look at this request's sign-in; the session, where there is one, with a sign-in that is over dropped."""
        session = scope.get("session")
        if callable(self._checkpoint.claims):
            claims: Any = self._checkpoint.claims(scope)
            if inspect.isawaitable(claims):
                claims = await claims
        elif session is None:
            raise RuntimeError("no scope['session']: put SessionMiddleware around SignOut, or give `claims`")
        else:
            claims = self._checkpoint.claims_in_session(session)
        status = passage.look_here(session, claims, ())
        if status == "unknown":
            status = await passage.ask(guard, session, claims)
        if status == "ended" and session is not None:
            session.clear()
        return session

    async def _listening(self) -> Guard:
        loop = asyncio.get_running_loop()
        # A server has one loop; test clients without lifespan make one per request.
        if self._guard is None or self._loop is not loop:
            self._loop = loop
            self._guard = Guard(self._redis_url, **self._options)
            await self._guard.start()
        return self._guard

    async def _hear(self, eviction: Eviction) -> None:
        for socket in list(self._sockets):
            if socket.may_be_meant_by(eviction) and self._guard is not None:
                task = asyncio.create_task(self._close_if_ended(self._guard, socket))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        result = self._on_eviction(eviction) if self._on_eviction is not None else None
        if inspect.isawaitable(result):
            await result

    @staticmethod
    async def _close_if_ended(guard: Guard, socket: OpenSocket) -> None:
        if await guard.status(socket.sign_in) == "ended":
            await socket.close()


class SignOutMiddleware(SignOut):
    """The old name of `SignOut`."""

    def __init__(self, app: App, redis_url: str, **options: Unpack[Options]) -> None:
        warnings.warn(f"{__name__}.SignOutMiddleware is named SignOut now", DeprecationWarning, stacklevel=2)
        super().__init__(app, redis_url, **options)


def login_parameters(scope: Scope, *, state: str, nonce: str | None = None) -> dict[str, str]:
    """What to add to an authorization request that the app pushes or signs.

    `{"prompt": "login"}` where the browser was refused before, else nothing. Parameters in an address that the app
    redirects to are added without it.

    Args:
        scope: Of the request that is answered now.
        state: What the authorization request has.
        nonce: What it has.
    """
    return anew.parameters(scope.get("session"), _header(scope, "cookie"), state=state, nonce=nonce)


def _facts(scope: Scope) -> Facts:
    query = scope.get("query_string", b"").decode("latin-1")
    path = scope.get("root_path", "") + _routed(scope)
    return Facts(scope.get("method", ""), path, query, lambda name: _header(scope, name))


def _routed(scope: Scope) -> str:
    # Without the prefix, which may have a part that the client chose. A proxy may have taken it away.
    rest: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return rest if not rest or rest.startswith("/") else scope["path"]


def _header(scope: Scope, name: str) -> str | None:
    wanted = name.encode()
    found = [value.decode("latin-1") for given, value in scope["headers"] if given == wanted]
    # Over HTTP/2 and HTTP/3 browsers send cookies apart (RFC 9113 §8.2.3), and not every server joins them.
    return ("; " if name == "cookie" else ", ").join(found) if found else None


def _amend(message: Message, passage: Passage, session: Any) -> Refusal | None:
    """Change the start of an answer; what is to be sent in its place, where it is replaced."""
    headers, location = message.get("headers", ()), None
    if message["status"] in REDIRECTS:
        location = next((value.decode("latin-1") for name, value in headers if name.lower() == b"location"), None)
    amendment = passage.amendment(session, location=location)
    if amendment is None or amendment.instead is not None:
        return None if amendment is None else amendment.instead
    if amendment.location is not None:
        headers = [(name, value) for name, value in headers if name.lower() != b"location"]
        headers = [*headers, (b"location", amendment.location.encode("latin-1"))]
    if amendment.set_cookie is not None:
        headers = [*headers, (b"set-cookie", amendment.set_cookie.encode("latin-1"))]
    message["headers"] = list(headers)
    return None


async def _answer(send: Send, kind: str, refusal: Refusal) -> None:
    headers = {**refusal.headers, "Content-Length": str(len(refusal.body))}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": raw})
    await send({"type": f"{kind}.body", "body": refusal.body})
