"""The security events that are known, as data: what each one ends, and which are about the stream itself.

CAEP is the Continuous Access Evaluation Profile 1.0, RISC the Risk Incident Sharing and Coordination profile 1.0,
SSF the Shared Signals Framework 1.0, all of the OpenID Foundation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Ends = Literal["session", "account"]
"""`session`: the session the subject names, or every session of the user where it names none. `account`: every one."""

EvictingEvent = Literal[
    "session-revoked",
    "credential-change",
    "account-disabled",
    "account-purged",
    "account-credential-change-required",
    "credential-compromise",
    "sessions-revoked",
    "tokens-revoked",
]
"""The events that can sign a user out, by the last part of their URI."""

_BASE = "https://schemas.openid.net/secevent/"


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event.

    Attributes:
        uri: The member of `events`.
        ends: What it signs out; None for events that sign no user out.
        is_verification: The transmitter proves that the stream works (SSF §8.1.4).
        is_stream_update: The transmitter says that it has paused, stopped or resumed the stream (SSF §8.1.5).
    """

    uri: str
    ends: Ends | None = None
    is_verification: bool = False
    is_stream_update: bool = False

    @property
    def name(self) -> str:
        """The last part of the URI."""
        return self.uri.rpartition("/")[2]


_KNOWN = (
    # CAEP §3.1: the session that the subject names, or every one of the user.
    EventType(f"{_BASE}caep/event-type/session-revoked", "session"),
    # CAEP §3.3: a password or a second factor; which session used the old one is not said.
    EventType(f"{_BASE}caep/event-type/credential-change", "account"),
    # RISC §2: the account as a whole.
    EventType(f"{_BASE}risc/event-type/account-disabled", "account"),
    EventType(f"{_BASE}risc/event-type/account-purged", "account"),
    EventType(f"{_BASE}risc/event-type/account-credential-change-required", "account"),
    EventType(f"{_BASE}risc/event-type/credential-compromise", "account"),
    # Deprecated by RISC in favour of CAEP's, and still sent.
    EventType(f"{_BASE}risc/event-type/sessions-revoked", "account"),
    # Google's, beside RISC's: every token of the user has ended.
    EventType(f"{_BASE}oauth/event-type/tokens-revoked", "account"),
    EventType(f"{_BASE}ssf/event-type/verification", is_verification=True),
    # Before SSF 1.0.
    EventType(f"{_BASE}sse/event-type/verification", is_verification=True),
    EventType(f"{_BASE}risc/event-type/verification", is_verification=True),
    EventType(f"{_BASE}ssf/event-type/stream-updated", is_stream_update=True),
    EventType(f"{_BASE}sse/event-type/stream-updated", is_stream_update=True),
)

EVENT_TYPES: Mapping[str, EventType] = {event_type.uri: event_type for event_type in _KNOWN}
"""URI to what is known of the event."""


def type_of(uri: str) -> EventType:
    """The event type of that URI; an unknown one ends nothing."""
    return EVENT_TYPES.get(uri) or EventType(uri)
