"""What the receivers know of each tenant's stream of security events: its verifications and its status."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import KeyNames

ASKED, VERIFIED = "asked", "verified"

STATE_S = 86_400
"""Seconds a verification that was asked for is waited for: the transmitter may have events to send before it."""

_STATE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamNote:
    """What was heard of a stream last.

    Attributes:
        status: `enabled`, `paused` or `disabled`; empty when the transmitter has said nothing.
        reason: Why, in the transmitter's words; may be empty.
        status_at: NumericDate seconds; None when it has said nothing.
        verified_at: NumericDate seconds of the last verification; None when there was none.
        refused_at: NumericDate seconds when an event that was fetched was refused last; None when none was.
        refused_for: The error code of that refusal.
    """

    status: str = ""
    reason: str = ""
    status_at: float | None = None
    verified_at: float | None = None
    refused_at: float | None = None
    refused_for: str = ""


class StreamNotes:
    """The notes on all streams. Every method may raise what `connection.Failure` names."""

    def __init__(self, client: redis.asyncio.Redis, keys: KeyNames) -> None:
        self._client = client
        self._keys = keys

    async def ask(self, tenant: str) -> str:
        """A new state to send with the request for a verification."""
        state = secrets.token_hex(16)
        await self._client.set(self._keys.stream_state(tenant, state), ASKED, ex=STATE_S)
        return state

    async def is_verified(self, tenant: str, state: str) -> bool:
        """Whether the verification with this state has come."""
        return await self._client.get(self._keys.stream_state(tenant, state)) == VERIFIED.encode()

    async def verify(self, tenant: str, state: str | None, now_s: float) -> bool:
        """Note a verification that came.

        Args:
            tenant: The stream's tenant.
            state: What came with it; None for one that was not asked for.
            now_s: NumericDate seconds.

        Returns:
            False, and nothing is noted, for a state that was not asked for here.
        """
        if state is not None:
            if _STATE.fullmatch(state) is None:
                return False
            # Only if it is there: a state that is made up must not come into being.
            if not await self._client.set(self._keys.stream_state(tenant, state), VERIFIED, ex=STATE_S, xx=True):
                return False
        await self._client.hset(self._keys.stream(tenant), mapping={"verified_at": now_s})
        return True

    async def update(self, tenant: str, status: str, reason: str, now_s: float) -> None:
        """Note a status the transmitter has told of.

        Args:
            tenant: The stream's tenant.
            status: See `StreamNote`.
            reason: See there.
            now_s: NumericDate seconds.
        """
        told = ("status", status, "reason", reason, "status_at", now_s)
        await self._client.hset(self._keys.stream(tenant), items=list(told))

    async def refuse(self, tenant: str, code: str, now_s: float) -> None:
        """Note an event that the transmitter had for us and that was refused.

        Args:
            tenant: The tenant of the stream.
            code: Why.
            now_s: NumericDate seconds.
        """
        await self._client.hset(self._keys.stream(tenant), items=["refused_at", now_s, "refused_for", code])

    async def read(self, tenant: str) -> StreamNote:
        """What was noted."""
        stored: dict[Any, Any] = await self._client.hgetall(self._keys.stream(tenant))
        found = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in stored.items()}
        return StreamNote(
            status=found.get("status", ""),
            reason=found.get("reason", ""),
            status_at=_seconds(found.get("status_at")),
            verified_at=_seconds(found.get("verified_at")),
            refused_at=_seconds(found.get("refused_at")),
            refused_for=found.get("refused_for", ""),
        )


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
