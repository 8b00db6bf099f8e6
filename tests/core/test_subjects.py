"""Subject identifiers, format by format (RFC 9493, SSF 1.0 §3), and which user and session of ours they name."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.signals.subjects import Identifier, read_subject
from receiver.errors import Code
from tests.protocol.asked import refusal

ISSUER = "https://op.example"
USER = {"format": "iss_sub", "iss": ISSUER, "sub": "u1"}
STRANGER = {**USER, "iss": "https://other.example", "sub": "x1"}
OPAQUE = {"format": "opaque", "id": "o1"}
EMAIL = {"format": "email", "email": "a@b"}


def aliases(*identifiers: Any) -> dict[str, Any]:
    """Several identifiers of one thing."""
    return {"format": "aliases", "identifiers": list(identifiers)}


@pytest.mark.parametrize(
    ("value", "identifier"),
    [
        ({"format": "account", "uri": "acct:a@b"}, Identifier("account", ("acct:a@b",))),
        (EMAIL, Identifier("email", ("a@b",))),
        (USER, Identifier("iss_sub", (ISSUER, "u1"))),
        (OPAQUE, Identifier("opaque", ("o1",))),
        ({"format": "phone_number", "phone_number": "+1"}, Identifier("phone_number", ("+1",))),
        ({"format": "did", "url": "did:x"}, Identifier("did", ("did:x",))),
        ({"format": "uri", "uri": "urn:x"}, Identifier("uri", ("urn:x",))),
        ({"format": "jwt_id", "iss": "i", "jti": "j"}, Identifier("jwt_id", ("i", "j"))),
        (
            {"format": "saml_assertion_id", "issuer": "i", "assertion_id": "a"},
            Identifier("saml_assertion_id", ("i", "a")),
        ),
        # As drafts wrote it, and Google does still.
        ({"subject_type": "iss-sub", "iss": "i", "sub": "s"}, Identifier("iss_sub", ("i", "s"))),
        ({"subject_type": "phone-number", "phone_number": "+1"}, Identifier("phone_number", ("+1",))),
        # What is not known has no values.
        ({"format": "of-the-future", "x": {}}, Identifier("of-the-future", ())),
    ],
)
def test_simple_identifier(value: dict[str, Any], identifier: Identifier) -> None:
    """Its format, and the members that format has."""
    subject = read_subject(value)

    assert {"": (identifier,)} == subject.members
    assert (identifier.format,) == subject.formats


@pytest.mark.parametrize(
    ("value", "members"),
    [
        ({"format": "complex", "user": USER, "device": OPAQUE, "note": "x"}, {"user", "device"}),
        # Before SSF 1.0 a complex subject had no format.
        *(
            ({name: USER}, {name})
            for name in ("user", "session", "device", "application", "tenant", "org_unit", "group")
        ),
        ({"user": USER, "further": OPAQUE}, {"user", "further"}),
        # With a format of its own it is simple, whatever else is in it.
        ({**OPAQUE, "user": USER}, {""}),
    ],
)
def test_members_of_a_complex_subject(value: dict[str, Any], members: set[str]) -> None:
    """Every member that is an object."""
    assert members == set(read_subject(value).members)


def test_formats_are_shown_without_what_they_hold() -> None:
    """Each once, sorted."""
    subject = read_subject({"format": "complex", "user": aliases(USER, EMAIL, STRANGER), "session": OPAQUE})

    assert ("email", "iss_sub", "opaque") == subject.formats


@pytest.mark.parametrize(
    "value",
    [
        None, "u1", [USER], {}, {"format": 5, "id": "o1"}, {"format": "", "id": "o1"}, {"iss": ISSUER, "sub": "u1"},
        {"format": "complex"}, {"format": "complex", "user": "u1"}, {"format": "complex", "user": {}},
        {"user": "u1"}, {"further": USER},
        *({**USER, "sub": bad} for bad in (None, "", 5, "a\nb", "x" * 513)),
        {**OPAQUE, "id": "\ud800"}, {"format": "email"},
        # Aliases: 1 to 20 simple identifiers.
        {"format": "aliases"}, {"format": "aliases", "identifiers": USER}, {"format": "aliases", "identifiers": "u1"},
        aliases(), aliases(*[USER] * 21), aliases("u1"), aliases({}), aliases(USER, aliases(USER)),
        aliases({"format": "complex", "user": USER}), aliases(USER, {**USER, "sub": ""}),
        {"format": "complex", "user": aliases()},
    ],
    ids=lambda value: repr(value)[:60],
)  # fmt: skip
def test_what_is_no_subject(value: Any) -> None:
    """One member that is not what its format asks for, and the event is refused."""
    assert Code.MALFORMED == refusal(read_subject, value)


def test_as_many_aliases_as_there_may_be() -> None:
    """One, and twenty."""
    assert [1, 20] == [len(read_subject(aliases(*[USER] * count)).members[""]) for count in (1, 20)]


@pytest.mark.parametrize(
    ("value", "of_session", "of_account", "opaque_id"),
    [
        # A simple subject: an opaque id is the session's where sessions end, else the user's.
        (USER, ("u1", None), ("u1", None), None),
        (STRANGER, (None, None), (None, None), None),
        (EMAIL, (None, None), (None, None), None),
        (OPAQUE, (None, "o1"), ("o1", None), "o1"),
        (aliases(EMAIL, USER), ("u1", None), ("u1", None), None),
        (aliases(STRANGER, USER), ("u1", None), ("u1", None), None),
        (aliases(OPAQUE, USER), ("u1", "o1"), ("u1", None), "o1"),
        # Beside another issuer's user an opaque id is that issuer's.
        (aliases(OPAQUE, STRANGER), (None, "o1"), (None, None), "o1"),
        (aliases(OPAQUE, {**OPAQUE, "id": "o2"}), (None, "o1"), ("o1", None), "o1"),
        # A complex one says what each of its members is.
        ({"user": USER}, ("u1", None), ("u1", None), None),
        ({"user": OPAQUE}, ("o1", None), ("o1", None), None),
        ({"user": USER, "session": OPAQUE}, ("u1", "o1"), ("u1", None), None),
        ({"user": {**OPAQUE, "id": "u1"}, "session": OPAQUE}, ("u1", "o1"), ("u1", None), None),
        ({"user": EMAIL, "session": OPAQUE}, (None, "o1"), (None, None), None),
        ({"session": OPAQUE}, (None, "o1"), (None, None), None),
        ({"session": EMAIL}, (None, None), (None, None), None),
        ({"user": USER, "session": {**OPAQUE, "id": "ALL"}}, ("u1", None), ("u1", None), None),
        # Another issuer's user, and so is the session.
        ({"user": STRANGER, "session": OPAQUE}, (None, None), (None, None), None),
        ({"user": aliases(OPAQUE, STRANGER), "session": OPAQUE}, (None, None), (None, None), None),
        ({"tenant": OPAQUE}, (None, None), (None, None), None),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_whom_it_names(
    value: dict[str, Any], of_session: tuple[str, str], of_account: tuple[str, str], opaque_id: str | None
) -> None:  # fmt: skip
    """The user and the session at our issuers, by what the event ends."""
    subject = read_subject(value)

    assert of_session == subject.sub_and_sid("session", {ISSUER})
    assert of_account == subject.sub_and_sid("account", {ISSUER})
    assert opaque_id == subject.opaque_id
