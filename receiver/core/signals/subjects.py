"""Who a security event is about: Subject Identifiers (RFC 9493, SSF §3), read and mapped to `sub` and `sid`.

An address, a telephone number or another system's name is understood and mapped to nothing: there is no directory
here that could tell its user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from receiver.core.eviction import MAX_ID_CHARS
from receiver.core.tokens.claims import is_plain_id
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from receiver.core.signals.event_types import Ends

FORMATS: Mapping[str, tuple[str, ...]] = {
    "account": ("uri",),
    "email": ("email",),
    "iss_sub": ("iss", "sub"),
    "opaque": ("id",),
    "phone_number": ("phone_number",),
    "did": ("url",),
    "uri": ("uri",),
    "jwt_id": ("iss", "jti"),
    "saml_assertion_id": ("issuer", "assertion_id"),
}
"""Format to the members it must have as strings (RFC 9493 §3.2, SSF §3.4). Other formats are mapped to nothing."""

MEMBERS = ("user", "session", "device", "application", "tenant", "org_unit", "group")
"""The members of a complex subject (SSF §3.2)."""

USABLE_MEMBERS = frozenset({"user", "session"})
"""The members of a complex subject that an eviction can follow."""

EVERY_SESSION = "ALL"
"""As the id of a session: every session of the user. Keycloak 26.7 writes it when an administrator logs a user out."""

MAX_ALIASES = 20
"""Identifiers read of one `aliases`; real ones have two or three."""


class Identifier(NamedTuple):
    """One simple identifier.

    Attributes:
        format: As it was sent; an unknown one has no values.
        values: The members its format asks for, in the order of `FORMATS`.
    """

    format: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject as it was sent.

    Attributes:
        members: Of a complex one, by name; a simple one is the only member, under the empty name. Several
            identifiers of one member name the same thing (`aliases`).
    """

    members: Mapping[str, tuple[Identifier, ...]]

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats in it, sorted, without what they hold."""
        return tuple(sorted({one.format for identifiers in self.members.values() for one in identifiers}))

    @property
    def opaque_id(self) -> str | None:
        """The id of a simple subject of format `opaque`; None for any other."""
        ids = [one.values[0] for one in self.members.get("", ()) if one.format == "opaque"]
        return ids[0] if ids else None

    def sub_and_sid(self, ends: Ends, issuers: Collection[str]) -> tuple[str | None, str | None]:
        """The user and the session it names at these issuers; both None where it names neither.

        Args:
            ends: What the event ends. A simple `opaque` id is a session's where sessions end, as in CAEP's own
                examples, else a user's. Where the account ends the session is left out.
            issuers: Issuers of our users' subjects.
        """
        # CAEP §3.1: the examples of session-revoked name the session by a simple `opaque` id. The format does not say
        # of what an id is, so what the event ends has to.
        if "" in self.members:
            simple = self.members[""]
            sid = self.opaque_id if ends == "session" else None
            return _sub_in(simple, issuers, opaque=ends == "account"), sid
        user = self.members.get("user", ())
        sub = _sub_in(user, issuers, opaque=True)
        if sub is None and any(one.format == "iss_sub" for one in user):
            # Another issuer's user, and so is the session.
            return None, None
        sids = [one.values[0] for one in self.members.get("session", ()) if one.format == "opaque"]
        # An account's event ends every session, also where the sender names the one it noticed it in.
        if ends == "account" or not sids or sids[0] == EVERY_SESSION:
            return sub, None
        return sub, sids[0]


def _sub_in(identifiers: tuple[Identifier, ...], issuers: Collection[str], *, opaque: bool) -> str | None:
    subs = [one.values[1] for one in identifiers if one.format == "iss_sub" and one.values[0] in issuers]
    # An opaque id beside an `iss_sub` of another issuer is that issuer's user.
    if opaque and not any(one.format == "iss_sub" for one in identifiers):
        subs = [one.values[0] for one in identifiers if one.format == "opaque"]
    return subs[0] if subs else None


def read_subject(value: object) -> Subject:
    """A subject as SSF 1.0 or an older draft writes it.

    Args:
        value: Of `sub_id`, or of `subject` in the event.

    Raises:
        LogoutTokenError: `malformed`.
    """
    # Before RFC 9493 `format` was `subject_type`, with hyphens; complex subjects had none. Google still sends it so.
    if not isinstance(value, dict):
        raise _malformed("is not an object")
    form = _format_of(value)
    if form == "complex" or (form is None and any(name in value for name in MEMBERS)):
        members = {name: _identifiers(value[name]) for name in value if isinstance(value[name], dict)}
        if not members:
            raise _malformed("is complex and has no member that is an object")
        return Subject(members)
    return Subject({"": _identifiers(value)})


def _identifiers(value: dict[str, object]) -> tuple[Identifier, ...]:
    form = _format_of(value)
    if form is None:
        raise _malformed("has no format")
    if form != "aliases":
        return (_identifier(form, value),)
    # RFC 9493 §3.2.8: at least one, and none of them aliases in turn.
    aliases = value.get("identifiers")
    if not isinstance(aliases, list) or not 0 < len(aliases) <= MAX_ALIASES:
        raise _malformed(f"has aliases that are not a list of 1 to {MAX_ALIASES}")
    found = []
    for alias in aliases:
        inner = _format_of(alias) if isinstance(alias, dict) else None
        if inner in {None, "aliases", "complex"}:
            raise _malformed("has an alias that is no simple identifier")
        found.append(_identifier(str(inner), alias))
    return tuple(found)


def _identifier(form: str, value: dict[str, object]) -> Identifier:
    values = []
    for name in FORMATS.get(form, ()):
        member = value.get(name)
        # RFC 9493 §3.2: each format's members are REQUIRED, as strings that are not empty.
        if not is_plain_id(member):
            raise _malformed(f"of format {form} has no {name} of 1 to {MAX_ID_CHARS} plain characters")
        values.append(member)
    return Identifier(form, tuple(values))


def _format_of(value: dict[str, object]) -> str | None:
    form = value.get("format", value.get("subject_type"))
    if form is None:
        return None
    if not is_plain_id(form):
        raise _malformed("has a format that is no plain string")
    dashed = form.replace("-", "_")
    return dashed if dashed in FORMATS else form


def _malformed(what: str) -> LogoutTokenError:
    return LogoutTokenError(Code.MALFORMED, f"the subject {what} (RFC 9493)")
