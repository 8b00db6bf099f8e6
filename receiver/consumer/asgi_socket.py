"""An open WebSocket of an ASGI app, which is closed when its user signs out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from receiver.core.eviction import Eviction
    from receiver.core.sign_in import SignIn

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("receiver.consumer")

POLICY_VIOLATION = 1008
"""Close code of a WebSocket after its user has signed out (RFC 6455 §7.4.1)."""

UNAUTHORIZED = 3000
"""The same, where a server lets apps send no other codes than 1000 and those from 3000 on, as Daphne does."""

LAST = frozenset({"websocket.close", "websocket.http.response.start"})
"""Once an app has sent one of these there is nothing to close. The second begins its own answer to the handshake."""


class OpenSocket:
    """One WebSocket. The app gets and sends its messages through this, so that nothing passes after a sign-out.

    Args:
        sign_in: Its user's.
        receive: The server's.
        send: The server's.
    """

    def __init__(self, sign_in: SignIn, receive: Receive, send: Send) -> None:
        self.sign_in = sign_in
        self._receive = receive
        self._send = send
        self._signed_out = self._is_over = False

    def may_be_meant_by(self, eviction: Eviction) -> bool:
        """Whether this eviction may end the user's session."""
        sign_in = self.sign_in
        named = sign_in.sub == eviction.sub or (sign_in.sid is not None and sign_in.sid == eviction.sid)
        return sign_in.iss == eviction.iss and (named or sign_in.home_account_id in eviction.accounts)

    async def receive(self) -> Message:
        """The next message; after a sign-out the end, for a client need not close its side, and may go on sending."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._is_over = True
        elif self._signed_out:
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": "signed out"}
        return message

    async def send(self, message: Message) -> None:
        """Send a message; ConnectionResetError after a sign-out."""
        if self._signed_out:
            raise ConnectionResetError("closed, because the user signed out")
        self._is_over = self._is_over or message["type"] in LAST
        await self._send(message)

    async def close(self) -> None:
        """The user has signed out."""
        if self._is_over:
            return
        self._signed_out = self._is_over = True
        error: Exception | None = None
        for code in (POLICY_VIOLATION, UNAUTHORIZED):
            try:
                await self._send({"type": "websocket.close", "code": code, "reason": "signed out"})
            except OSError:
                # A browser that has left meanwhile is what was wanted; ASGI has servers say so by an OSError.
                return
            except Exception as refused:  # noqa: BLE001  # servers raise what they like
                error = refused
            else:
                return
        log.warning("the server does not close the WebSocket of a user who signed out: %r", error)

    def ended(self) -> None:
        """The app is done with it."""
        self._is_over = True
