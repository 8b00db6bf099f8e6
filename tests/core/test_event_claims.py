"""Security events, rule by rule: what one says, when it happened, and why (RFC 8417, SSF 1.0, CAEP)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.core.signals import set_claims as rules
from receiver.core.signals.event_types import type_of
from receiver.core.signals.security_event import SecurityEvent, check_valid_now
from receiver.core.signals.subjects import read_subject
from receiver.core.signals.transmitter import Transmitter
from receiver.core.tenants import Tenant
from receiver.errors import Code, LogoutTokenError, PublishError
from tests.protocol.asked import refusal
from tests.support.clock import NOW

BASE = "https://schemas.openid.net/secevent/"
REVOKED = f"{BASE}caep/event-type/session-revoked"
CREDENTIAL = f"{BASE}caep/event-type/credential-change"
ISSUER = "https://op.example"
TENANT = Tenant(name="t1", issuer=ISSUER, client_ids=frozenset({"c1"}))
FROM_OP = Transmitter(
    tenant=TENANT, issuer=TENANT, audience=frozenset({"c1"}), subject_issuers=frozenset({ISSUER}),
    evict_on=frozenset({"session-revoked", "credential-change", "assurance-level-change"}),
)  # fmt: skip
USER = {"format": "iss_sub", "iss": ISSUER, "sub": "u1"}


def of(uri: str = REVOKED, *, subject: Any = USER, **event: Any) -> SecurityEvent:
    """A verified event."""
    about = None if subject is None else read_subject(subject)
    return SecurityEvent(
        iss=ISSUER, jti="e1", iat=NOW, happened_at=NOW, event_type=type_of(uri), event=event, subject=about
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "orders"),
    [
        (of(), True),
        # The tenant does not act on it, and nothing is known of what it ends.
        (of(f"{BASE}risc/event-type/account-disabled"), False),
        (of(f"{BASE}caep/event-type/assurance-level-change"), False),
        # A further credential takes nothing from those that are there (CAEP §3.3).
        (of(CREDENTIAL, change_type="create"), False),
        (of(CREDENTIAL, change_type="revoke"), True),
        (of(REVOKED, change_type="create"), True),
        (of(subject=None), True),
    ],
)
def test_which_events_order(event: SecurityEvent, *, orders: bool) -> None:
    """Those the tenant acts on; an order that names no user signs none out."""
    assert orders is event.orders(FROM_OP)
    assert (orders and event.subject is not None) is bool(event.to_evictions(FROM_OP, NOW, origin="ssf-push"))


@pytest.mark.parametrize(("event", "state"), [({"state": "x"}, "x"), ({}, None), ({"state": 5}, None)])
def test_state_of_a_verification(event: dict[str, Any], state: str | None) -> None:
    """What was sent with the request for it (SSF §8.1.4.1)."""
    assert state == of(f"{BASE}ssf/event-type/verification", **event).state


@pytest.mark.parametrize(
    ("claims", "valid"),
    [
        ({"iat": NOW}, True),
        ({"iat": NOW + 60}, True),
        ({"iat": NOW + 61}, False),
        ({"iat": NOW, "nbf": NOW + 60}, True),
        ({"iat": NOW, "nbf": NOW + 61}, False),
    ],
)
def test_event_that_is_early(claims: dict[str, Any], *, valid: bool) -> None:
    """Beyond what the clocks may differ it waits at its transmitter."""
    if valid:
        check_valid_now(claims, FROM_OP, NOW)
    else:
        with pytest.raises(PublishError, match="dated 61 s in the future"):
            check_valid_now(claims, FROM_OP, NOW)


def test_issuer() -> None:
    """The transmitter's, byte for byte; it may be of another address than the OP."""
    elsewhere = replace(FROM_OP, issuer=replace(TENANT, issuer="https://events.example"))

    assert ISSUER == rules.check_transmitter({"iss": ISSUER}, FROM_OP)
    assert "https://events.example" == rules.check_transmitter({"iss": "https://events.example"}, elsewhere)
    for iss in (None, 5, [ISSUER], f"{ISSUER}/"):
        assert Code.ISSUER == refusal(rules.check_transmitter, {"iss": iss}, FROM_OP)


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        ("c1", True), ("c1/", False), ("c1/a", False), ("a/", False), ("a/1", True), ("a/*", True), ("b/1", True),
        ("a", False), ("ab/1", False), ("", False), (None, False), (5, False), (["c1"], False),
    ],
)  # fmt: skip
def test_audience(value: object, *, ours: bool) -> None:
    """A name of ours, or one below a name that stands for all below it."""
    named = replace(FROM_OP, audience=frozenset({"c1", "a/*", "b/*"}))

    assert ours is named.is_audience(value)


@pytest.mark.parametrize("name", ["verification", "stream-updated"])
@pytest.mark.parametrize(
    ("subject", "refused"), [({"format": "opaque", "id": "stream"}, False), (USER, True), (None, False)]
)
def test_subject_of_an_event_about_the_stream(name: str, subject: Any, *, refused: bool) -> None:
    """The stream's opaque id, where one is named; a user there is a sender's fault."""
    about = type_of(f"{BASE}ssf/event-type/{name}")
    claims = {} if subject is None else {"sub_id": subject}
    if refused:
        assert Code.MALFORMED == refusal(rules.check_event_subject, claims, about, {})
    else:
        found = rules.check_event_subject(claims, about, {})
        assert (None if subject is None else "stream") == (found and found.opaque_id)


def test_subject_of_an_unknown_event() -> None:
    """It is not judged: such an event is no fault of its sender."""
    assert rules.check_event_subject({"sub_id": 5}, type_of("https://of.the/future"), {}) is None


SECONDS, EARLIEST = 1_700_000_000, 1_000_000_000
LATE = MAX_NUMERIC_DATE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SECONDS, SECONDS),
        (SECONDS * 1000, SECONDS),
        (SECONDS * 1000 + 500, SECONDS + 0.5),
        # Before September 2001 it is no date, in seconds or in milliseconds.
        (EARLIEST, EARLIEST),
        (EARLIEST - 1, None),
        (EARLIEST * 1000, EARLIEST),
        (EARLIEST * 1000 - 1, None),
        # Nor is what is after the year 9999, in milliseconds.
        (LATE * 1000, LATE),
        (LATE * 1000 + 1, None),
        (0, None),
        (-1, None),
        (True, None),
        ("1700000000", None),
        (None, None),
        ([SECONDS], None),
    ],
)
def test_date_of_an_event(value: object, expected: float | None) -> None:
    """Seconds, or the milliseconds of a draft; what is no date leaves the next that is one."""
    at = {"event_timestamp": value}

    assert (LATE if expected is None else expected) == rules.happened_at({}, at, LATE)
    assert (SECONDS - 9 if expected is None else expected) == rules.happened_at({"toe": SECONDS - 9}, at, LATE)
    assert min(expected or 5, 5) == rules.happened_at({}, at, 5)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, None),
        ({"reason_admin": "left"}, "left"),
        ({"reason": "left"}, "left"),
        ({"reason_user": "left"}, "left"),
        ({"reason_user": "c", "reason": "b", "reason_admin": "a"}, "a"),
        ({"reason_user": "c", "reason": "b"}, "b"),
        # By language tag: English, else the first.
        ({"reason_admin": {"de": "weg", "en": "left"}}, "left"),
        ({"reason_admin": {"de": "weg", "fr": "parti"}}, "weg"),
        ({"reason_admin": {}}, None),
        # Short printable text only.
        ({"reason": "x" * 256}, "x" * 256),
        ({"reason": "x" * 257}, None),
        ({"reason": ""}, None),
        ({"reason": "a\nb"}, None),
        ({"reason": 5}, None),
        ({"reason": ["left"]}, None),
        ({"reason_admin": {"en": 5}}, None),
    ],
)
def test_why_it_happened(event: dict[str, Any], said: str | None) -> None:
    """The event's name, with the sender's words."""
    assert ("session-revoked" if said is None else f"session-revoked: {said}") == rules.reason_of(
        type_of(REVOKED), event
    )


@pytest.mark.parametrize("value", [{"format": "opaque", "id": "x" * 513}, {"format": ""}, {"format": "a\nb"}])
def test_names_have_a_bound(value: dict[str, Any]) -> None:
    """Names are 1 to 512 plain characters, those of formats too."""
    with pytest.raises(LogoutTokenError) as caught:
        read_subject(value)
    assert Code.MALFORMED == caught.value.code
