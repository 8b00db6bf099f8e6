"""What inputs and the API are built from: filled in once by the server, and handed to both tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from receiver.bus.events.trace import Trace, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio

    from receiver.bus.events.event_search import FoundEvent
    from receiver.bus.events.known_sessions import KnownSessions
    from receiver.bus.keys import KeyNames
    from receiver.bus.sign_ins.names import Names
    from receiver.core.tenants import TenantDirectory
    from receiver.ingress.inputs.security_events import SecurityEvents
    from receiver.ingress.inputs.signed_tokens import SignedTokens
    from receiver.ingress.inputs.ssf_push import PushStream
    from receiver.ingress.inputs.token_verifier import TokenVerifier
    from receiver.ingress.intake import Intake
    from receiver.ops.metrics import Metrics
    from receiver.ops.settings import Settings
    from receiver.outbound.fetch import Fetcher

Command = Literal["serve", "watch-graph"]
"""`serve` takes in everything; `watch-graph` watches Microsoft Graph and opens no public listener."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The parts of a running receiver that an input, or the API, may use.

    Attributes:
        settings: All of them; an input has a section of its own.
        command: Which command this is.
        tenants: The configured ones.
        logout_tokens: Verifies logout tokens, and keeps those without their keys at hand.
        signed_tokens: Verifies tokens of other kinds, by the rules of their kind.
        security_events: Judges security events.
        push_streams: What a push has to be like, by the tenant's name; replaced while it runs.
        fetcher: Requests to OPs.
        sessions: Knows which sessions there are.
        names: Knows who goes by which name.
        intake: Where jobs hand their evictions in; requests need it not.
        redis: A client of the Redis with the events.
        keys: The names of the keys there.
        metrics: Of this process.
        clock: NumericDate seconds.
    """

    settings: Settings
    command: Command
    tenants: TenantDirectory
    logout_tokens: TokenVerifier
    signed_tokens: SignedTokens
    security_events: SecurityEvents
    push_streams: dict[str, PushStream]
    fetcher: Fetcher
    sessions: KnownSessions
    names: Names
    intake: Intake
    redis: redis.asyncio.Redis
    keys: KeyNames
    metrics: Metrics
    clock: Callable[[], float]

    async def trace(self, found: Sequence[FoundEvent]) -> Trace:
        """Which of the apps that should answer have dropped the first event's user by now, and the others'.

        Raises:
            RedisUnavailableError: Redis cannot be read.
        """
        return await trace(
            self.redis, self.keys, found, now_s=self.clock(), declared=self.settings.apps,
            seen_within_s=self.settings.apps_seen_s,
        )  # fmt: skip
