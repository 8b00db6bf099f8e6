"""The claims of a security event token (SET), one function per sentence of the specifications, and their rules.

The rules and those of logout tokens exclude each other: a SET must have the `typ` that a logout token must not have,
and must not have the `exp` that a logout token must have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.eviction import MAX_ID_CHARS
from receiver.core.numeric_date import MAX_NUMERIC_DATE, numeric_date
from receiver.core.signals.event_types import EventType, type_of
from receiver.core.signals.subjects import Subject, read_subject
from receiver.core.tokens.claims import check_token_id
from receiver.core.tokens.rule import Examination, Rule
from receiver.core.tokens.signed_token import check_explicit_type
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.signals.transmitter import Transmitter

    Claims = Mapping[str, object]

SET_TYPE = "secevent+jwt"
"""The explicit type of a SET (RFC 8417 §2.3); SSF §4.1.1: "SSF events MUST use explicit typing"."""

_EARLIEST = 1_000_000_000
"""An `event_timestamp` before 2001 is no date, and one that is a thousand times as large is in milliseconds."""


class SETExamination(Examination):
    """One SET on its way through the rules, and what they have found."""

    __slots__ = ("event", "event_type", "subject", "transmitter")

    transmitter: Transmitter
    event_type: EventType
    event: Mapping[str, object]
    subject: Subject | None


def check_transmitter(claims: Claims, transmitter: Transmitter) -> str:
    """`iss` is the transmitter's, byte for byte.

    Raises:
        LogoutTokenError: `issuer`.
    """
    # SET rule 4.1. SSF §7.2.3 and §8.1.1: the `iss` of the stream's configuration is the one its metadata was asked
    # for.
    iss = claims.get("iss")
    if not isinstance(iss, str) or not transmitter.issuer.accepts_issuer(iss):
        raise LogoutTokenError(Code.ISSUER, "iss is not this tenant's transmitter; compare it with ssf.transmitter")
    return iss


def check_set_audience(claims: Claims, transmitter: Transmitter) -> None:
    """`aud` names us.

    Raises:
        LogoutTokenError: `audience`.
    """
    # SET rule 4.2. RFC 8935 §2.4 has a code for it. SSF §4.1.6: a string or an array; the stream's configuration says
    # which value.
    aud = claims.get("aud")
    if not any(map(transmitter.is_audience, aud if isinstance(aud, list) else [aud])):
        raise LogoutTokenError(Code.AUDIENCE, "aud does not name us; compare it with the stream's aud and ssf.audience")


def check_no_expiry(claims: Claims) -> None:
    """`exp` is not there.

    Raises:
        LogoutTokenError: `exp_present`.
    """
    # SET rule 4.5. SSF §4.1.7: "The exp claim MUST NOT be used in SSF SETs": an event does not cease to have happened.
    if "exp" in claims:
        raise LogoutTokenError(Code.EXP_PRESENT, "a security event must not carry exp; is this another kind of token?")


def check_no_subject_claim(claims: Claims) -> None:
    """`sub` is not there.

    Raises:
        LogoutTokenError: `sub_present`.
    """
    # SET rule 4.6. SSF §4.1.2: "the JWT sub claim MUST NOT be present": a reader of ID tokens must find no user in a
    # SET.
    if "sub" in claims:
        raise LogoutTokenError(Code.SUB_PRESENT, "a security event must not carry sub; its subject is sub_id")


def check_event(claims: Claims) -> tuple[EventType, Mapping[str, object]]:
    """`events` has one member, and its value is an object.

    Raises:
        LogoutTokenError: `events`.
    """
    # SET rule 4.7. RFC 8417 §2.2: `events` "MUST NOT be used to express multiple independent logical events".
    # SSF §4.1.4: one event in each SET. With several it would be open which one the subject is of.
    events = claims.get("events")
    if not isinstance(events, dict) or len(events) != 1:
        raise LogoutTokenError(Code.EVENTS, "events is not an object with exactly one event")
    [(uri, event)] = events.items()
    if not isinstance(event, dict):
        raise LogoutTokenError(Code.EVENTS, "the event is not an object")
    return type_of(uri), event


def check_event_subject(claims: Claims, event_type: EventType, event: Claims) -> Subject | None:
    """The subject of an event that is acted on; None where the event needs none.

    Raises:
        LogoutTokenError: `no_subject` or `malformed`.
    """
    # SET rule 4.8. SSF §4.1.2: `sub_id`, a claim of the SET. Older senders have `subject` inside the event, beside or
    # instead.
    value = claims.get("sub_id", event.get("subject"))
    about_stream = event_type.is_verification or event_type.is_stream_update
    if value is None and event_type.ends is not None:
        raise LogoutTokenError(Code.NO_SUBJECT, "neither sub_id nor the event's subject: no user to sign out")
    if value is None or not (about_stream or event_type.ends):
        # SSF §9: unknown events are no fault of the sender, and their subject is not judged.
        return None
    subject = read_subject(value)
    if about_stream and subject.opaque_id is None:
        # SSF §8.1.4.1: the subject of a verification is the stream, `opaque` with its id.
        raise LogoutTokenError(
            Code.MALFORMED, "an event about the stream, and its subject is not the stream's opaque id"
        )
    return subject


def happened_at(claims: Claims, event: Claims, iat: float) -> float:
    """NumericDate seconds of the event: `event_timestamp`, else `toe`, else `iat`; never later than `iat`."""
    # CAEP §2: seconds. Senders built to a draft write milliseconds. A session that began after the event lives; a date
    # ahead of `iat` would end sessions to come.
    for value in (event.get("event_timestamp"), claims.get("toe")):
        in_ms = isinstance(value, int | float) and _EARLIEST * 1000 <= value <= MAX_NUMERIC_DATE * 1000
        date = numeric_date(value / 1000 if in_ms else value)  # type: ignore[operator]  # a number, when in_ms
        if date is not None and date >= _EARLIEST:
            return min(date, iat)
    return iat


def reason_of(event_type: EventType, event: Claims) -> str:
    """The event's name, with the sender's words where they are short printable text; shown, never acted on."""
    said = next((event[name] for name in ("reason_admin", "reason", "reason_user") if name in event), None)
    if isinstance(said, dict):
        # CAEP §2: text by language tag.
        said = said.get("en", next(iter(said.values()), None))
    is_text = isinstance(said, str) and said and len(said) <= MAX_ID_CHARS // 2 and said.isprintable()
    return f"{event_type.name}: {said}" if is_text else event_type.name


def _transmitter(e: Examination) -> None:
    e.iss = check_transmitter(e.claims, _set(e).transmitter)


def _event(e: Examination) -> None:
    _set(e).event_type, _set(e).event = check_event(e.claims)


def _subject(e: Examination) -> None:
    _set(e).subject = check_event_subject(e.claims, _set(e).event_type, _set(e).event)


def _token_id(e: Examination) -> None:
    # SET rule 4.9. RFC 8417 §2.2: REQUIRED, and unique for each issuer. A SET that is sent again is known by it.
    e.jti = check_token_id(e.claims)


def _set(e: Examination) -> SETExamination:
    assert isinstance(e, SETExamination)  # noqa: S101  # for the type checker: `security_event` makes no other
    return e


TRANSMITTER_RULE = Rule(
    "", "transmitter", "SSF §7.2.3", _transmitter, shows=("claims.iss",),
    refusals={Code.ISSUER: "Operator: set ssf.transmitter to the iss the transmitter sends, letter by letter."},
)  # fmt: skip

TYPE_RULE = Rule(
    "", "typ", "SSF §4.1.1, RFC 8725 §3.11", lambda e: check_explicit_type(e.header, SET_TYPE),
    shows=("header.typ", "header.cty"),
    refusals={Code.TYP: "OP: send typ secevent+jwt, and nothing else to this address."},
)  # fmt: skip

AUDIENCE_RULE = Rule(
    "", "audience", "SSF §4.1.6, RFC 8935 §2.4", lambda e: check_set_audience(e.claims, _set(e).transmitter),
    shows=("claims.aud",),
    refusals={Code.AUDIENCE: "Operator: add the stream's aud to ssf.audience; `receiver ssf status` shows it."},
)  # fmt: skip

RULES = (
    Rule(
        "", "no_exp", "SSF §4.1.7", lambda e: check_no_expiry(e.claims), shows=("claims.exp",),
        refusals={Code.EXP_PRESENT: "OP: send security events without exp."},
    ),
    Rule(
        "", "no_sub", "SSF §4.1.2", lambda e: check_no_subject_claim(e.claims),
        refusals={Code.SUB_PRESENT: "OP: name the subject in sub_id, and leave sub out."},
    ),
    Rule(
        "", "event", "RFC 8417 §2.2, SSF §4.1.4", _event, shows=("claims.events",),
        refusals={Code.EVENTS: "OP: send one event in each SET, as an object."},
    ),
    Rule(
        "", "event_subject", "SSF §4.1.2, RFC 9493", _subject, shows=("claims.sub_id",),
        refusals={
            Code.NO_SUBJECT: "OP: name the subject in sub_id.",
            Code.MALFORMED: "OP: write the subject in a format of RFC 9493 or SSF, complete.",
        },
    ),
    Rule(
        "", "jti", "RFC 8417 §2.2", _token_id, shows=("claims.jti",),
        refusals={Code.JTI_MISSING: "OP: add a jti, a string unique for each SET."},
    ),
)  # fmt: skip
"""The claims that are a SET's own."""
