"""What the tests' OP keeps: sessions, what was granted, refreshes that are held."""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import Future
from dataclasses import dataclass, field

WAIT_S = 30.0
"""How long anything waits, in seconds, before it raises: no test hangs."""

DEFAULT_SCOPE = "openid profile offline_access orders.read"
"""What is granted when a client does not say."""


@dataclass(frozen=True)
class Session:
    """One sign-in of a user at the OP; `auth_time` is NumericDate seconds."""

    user: str
    sid: str
    auth_time: int


@dataclass
class Grant:
    """What one code was redeemed for; its refresh tokens all belong to it."""

    session: Session
    client_id: str
    scope: str
    nonce: str | None = None
    dead: bool = False


@dataclass
class Held:
    """Refreshes that the OP has answered and whose answers have not left yet.

    Attributes:
        count: How many are, or were, held.
    """

    count: int = 0
    _arrived: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)
    _released: Future[None] = field(default_factory=Future)

    async def hold(self) -> None:
        """For the OP: return when the answer may go."""
        self.count += 1
        self._arrived.put(None)
        # Shielded: a client that gives up must not cancel what all wait for.
        await asyncio.shield(asyncio.wrap_future(self._released))

    def wait_for_one(self, timeout_s: float = WAIT_S) -> None:
        """Return when a further refresh is in flight; `queue.Empty` after `timeout_s`."""
        self._arrived.get(timeout=timeout_s)

    def release(self) -> None:
        """Let all answers go, and hold no more. May be called twice."""
        if not self._released.done():
            self._released.set_result(None)
