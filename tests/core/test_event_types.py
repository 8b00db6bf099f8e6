"""Which security events sign users out, and which are about the stream itself (CAEP, RISC, SSF 1.0 §8.1)."""

from __future__ import annotations

import pytest

from receiver.core.signals.event_types import EVENT_TYPES, EventType, type_of

BASE = "https://schemas.openid.net/secevent/"
ENDING = {
    "caep/event-type/session-revoked": "session",
    "caep/event-type/credential-change": "account",
    "risc/event-type/account-disabled": "account",
    "risc/event-type/account-purged": "account",
    "risc/event-type/account-credential-change-required": "account",
    "risc/event-type/credential-compromise": "account",
    "risc/event-type/sessions-revoked": "account",
    "oauth/event-type/tokens-revoked": "account",
}
VERIFYING = ("ssf/event-type/verification", "sse/event-type/verification", "risc/event-type/verification")
UPDATING = ("ssf/event-type/stream-updated", "sse/event-type/stream-updated")


def test_events_that_are_known() -> None:
    """What each ends, or what it says of the stream, by today's names and by those of before SSF 1.0."""
    expected = {
        **{name: (ends, False, False) for name, ends in ENDING.items()},
        **dict.fromkeys(VERIFYING, (None, True, False)),
        **dict.fromkeys(UPDATING, (None, False, True)),
    }

    assert expected == {
        uri.removeprefix(BASE): (one.ends, one.is_verification, one.is_stream_update)
        for uri, one in EVENT_TYPES.items()
    }


@pytest.mark.parametrize("uri", ["https://op.example/unknown", "", f"{BASE}caep/event-type/session-revoked/"])
def test_unknown_event(uri: str) -> None:
    """It ends nothing, and is no word about the stream."""
    assert EventType(uri, None, is_verification=False, is_stream_update=False) == type_of(uri)


def test_name_of_an_event() -> None:
    """The last part of its URI."""
    assert ["session-revoked", "x"] == [type_of(uri).name for uri in (f"{BASE}caep/event-type/session-revoked", "x")]


def test_one_by_its_address() -> None:
    """As it is known; one that is not known ends nothing and says nothing of the stream."""
    for uri, known in EVENT_TYPES.items():
        assert type_of(uri) is known
    assert EventType("https://x.example/e") == type_of("https://x.example/e")
