"""From the bytes a transmitter sent to a `SecurityEvent`: every rule, in order (RFC 8417, SSF 1.0 §4).

If you hold a `SecurityEvent`, it has kept every rule of `RULES`. The rules on the token's form, key and signature are
those of logout tokens; what is a SET's own is in `set_claims`. As there, a token passes in three steps: `parse`,
`screen` and `verify`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NewType

from receiver.core.eviction import Eviction, eviction_id
from receiver.core.signals import set_claims
from receiver.core.signals.set_claims import SETExamination
from receiver.core.signals.subjects import USABLE_MEMBERS, Subject
from receiver.core.tokens import jwks, jws, registration, times
from receiver.core.tokens.rule import Examination, Rule, enforce
from receiver.errors import Code, LogoutTokenError, PublishError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from receiver.core.signals.event_types import EventType
    from receiver.core.signals.transmitter import Transmitter
    from receiver.core.tokens.jwks import KeySet
    from receiver.core.tokens.jws import UnverifiedToken


def check_signed(segments: int) -> None:
    """The token is signed and not encrypted.

    Raises:
        LogoutTokenError: `encrypted`.
    """
    # RFC 8417 allows an encrypted SET. No transmitter that is known sends one, and none could learn our key: SSF has
    # no place to register it.
    if segments != jws.JWS_SEGMENTS:
        raise LogoutTokenError(Code.ENCRYPTED, "an encrypted SET; send it signed only, over TLS")


def _signed(e: Examination) -> None:
    check_signed(e.segments)
    e.signed, e.encrypted = e.compact, False


_SIGNED_RULE = Rule(
    "", "signed", "SSF §4.1", _signed, refusals={Code.ENCRYPTED: "OP: send security events signed, not encrypted."}
)


def _stage(number: int, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(replace(rule, number=f"{number}.{place}") for place, rule in enumerate(rules, 1))


def _named(rules: Iterable[Rule], *names: str) -> list[Rule]:
    by_name = {rule.name: rule for rule in rules}
    return [by_name[name] for name in names]


def _from(section: str, rules: Iterable[Rule]) -> list[Rule]:
    # What a rule of logout tokens follows here.
    return [replace(rule, section=section) if rule.section.startswith("BCL") else rule for rule in rules]


PARSING = (
    *_stage(1, (jws.SHAPE_RULE, _SIGNED_RULE)),
    *_stage(2, jws.RULES),
)
"""Rules 1 and 2: what the token is."""

SCREENING = (
    *_stage(3, (set_claims.TYPE_RULE, *_from("SSF §4.1.8", _named(registration.RULES, "accepted_alg")))),
    *_stage(
        4,
        (
            set_claims.TRANSMITTER_RULE,
            set_claims.AUDIENCE_RULE,
            *_from("RFC 8417 §2.2", _named(times.RULES, "iat", "nbf")),
            *set_claims.RULES,
        ),
    ),
)
"""Rules 3 and 4: its kind and its claims; they need the transmitter and the time, and no key."""

VERIFYING = _stage(5, _from("RFC 7515 §5.2", jwks.RULES))
"""Rules 5: its key and its signature."""

RULES = (*PARSING, *SCREENING, *VERIFYING)
"""Every rule a SET must keep, in the order in which they are asked."""

ScreenedSET = NewType("ScreenedSET", SETExamination)
"""An examination in which all of `SCREENING` has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """A verified, valid SET.

    Attributes:
        iss: The transmitter.
        jti: Token id, unique per transmitter.
        iat: NumericDate seconds on the transmitter's clock.
        happened_at: NumericDate seconds of the event itself, not later than `iat`.
        event_type: What happened.
        event: The event's members, as they were sent.
        subject: Who it is about; None for events that need none.
    """

    iss: str
    jti: str
    iat: float
    happened_at: float
    event_type: EventType
    event: Mapping[str, object]
    subject: Subject | None

    @property
    def state(self) -> str | None:
        """Of a verification that was asked for: what was sent with the request (SSF §8.1.4.1)."""
        state = self.event.get("state")
        return state if isinstance(state, str) else None

    def orders(self, transmitter: Transmitter) -> bool:
        """Whether this event is to sign a user out, if its subject is known here."""
        # SSF §9: an event that is not known is no fault, and changes nothing.
        if self.event_type.ends is None or self.event_type.name not in transmitter.evict_on:
            return False
        # CAEP §3.3: a further credential takes nothing from those that are there.
        return not (self.event_type.name == "credential-change" and self.event.get("change_type") == "create")

    def has_critical_member(self, transmitter: Transmitter) -> bool:
        """Whether its subject has a member that must not be passed over, and that no eviction can follow (SSF §3.2)."""
        # SSF, `critical_subject_members`: these must be interpreted. To pass over a device, for instance, would sign
        # the user out on every one.
        members = set(self.subject.members) if self.subject else set()
        return bool((members & transmitter.critical_members) - USABLE_MEMBERS)

    def to_evictions(self, transmitter: Transmitter, received_at: float, *, origin: str) -> tuple[Eviction, ...]:
        """What the event orders: one eviction, or none where it signs no user out or names none that is known here.

        Args:
            transmitter: Who sent it.
            received_at: NumericDate seconds.
            origin: The exact way in.
        """
        ends = self.event_type.ends
        if ends is None or self.subject is None or not self.orders(transmitter):
            return ()
        if self.has_critical_member(transmitter):
            return ()
        tenant = transmitter.tenant
        sub, sid = self.subject.sub_and_sid(ends, transmitter.subject_issuers)
        if sub is None and sid is None:
            return ()
        # Marks and events are by the OP's issuer, also where the transmitter calls itself otherwise.
        iss = tenant.issuers[0]
        return (
            Eviction.for_subject(
                tenant,
                id=eviction_id(iss, self.jti),
                iss=iss,
                sub=sub,
                sid=sid,
                logout_at=int(self.happened_at),
                received_at=received_at,
                input="ssf",
                origin=origin,
                # The account or the session at the OP has ended, so it has for all clients.
                applies_to="tenant",
                jti=self.jti,
                reason=set_claims.reason_of(self.event_type, self.event),
            ),
        )


def parse(compact: str) -> UnverifiedToken:
    """Take a SET apart.

    Args:
        compact: The token as received.

    Raises:
        LogoutTokenError: the first rule of `PARSING` that fails.
    """
    examination = Examination()
    examination.compact = compact
    enforce(PARSING, examination)
    return jws.unverified(examination)


def screen(token: UnverifiedToken, transmitter: Transmitter, received_at: float) -> ScreenedSET:
    """Refuse what even a good signature could not save.

    Args:
        token: The token.
        transmitter: Who it has to be from.
        received_at: NumericDate seconds when the token came in.

    Raises:
        LogoutTokenError: the first rule of `SCREENING` that fails.
    """
    examination = SETExamination.of_token(token, transmitter.issuer, received_at)
    assert isinstance(examination, SETExamination)  # noqa: S101  # for the type checker
    examination.transmitter = transmitter
    enforce(SCREENING, examination)
    return ScreenedSET(examination)


def verify(screened: ScreenedSET, key_set: KeySet) -> SecurityEvent:
    """The only way to a `SecurityEvent`.

    Args:
        screened: A SET that has kept every rule but these. It may be verified again with other keys.
        key_set: The transmitter's keys.

    Raises:
        LogoutTokenError: the first rule of `VERIFYING` that fails.
    """
    screened.keys = key_set
    enforce(VERIFYING, screened)
    return accepted(screened)


def accepted(found: SETExamination) -> SecurityEvent:
    """The event of an examination in which every rule has passed; `explain` asks them itself."""
    return SecurityEvent(
        iss=found.iss,
        jti=found.jti,
        iat=found.iat,
        happened_at=set_claims.happened_at(found.claims, found.event, found.iat),
        event_type=found.event_type,
        event=found.event,
        subject=found.subject,
    )


def check_valid_now(claims: Mapping[str, object], transmitter: Transmitter, now_s: float) -> None:
    """A SET that is dated in the future waits at its transmitter, by no more than `max_ahead_s`.

    Raises:
        PublishError: it is dated more than `clock_skew_s` ahead.
    """
    # RFC 8935 §2, RFC 8936 §2: a SET that is not acknowledged stays with its transmitter, so nothing is lost meanwhile.
    ahead_s = times.newest_date(claims) - now_s
    if ahead_s > transmitter.issuer.clock_skew_s:
        raise PublishError(
            f"dated {ahead_s:.0f} s in the future: the transmitter has to send it again; check both clocks"
        )
