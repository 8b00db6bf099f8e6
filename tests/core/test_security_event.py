"""Security event tokens: what is accepted, what is refused with which code, and which users an event signs out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.eviction import eviction_id
from receiver.core.signals import security_event as se
from receiver.core.signals.event_types import EVENT_TYPES
from receiver.core.signals.transmitter import Transmitter, configuration_url
from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.jwks import parse_key_set
from receiver.errors import Code, LogoutTokenError
from tests.support.clock import NOW
from tests.support.keys import rsa_pair
from tests.support.op import ABSENT, LOGOUT_EVENT, encode_token

if TYPE_CHECKING:
    from receiver.core.tokens.rule import Rule

BASE = "https://schemas.openid.net/secevent/"
REVOKED = f"{BASE}caep/event-type/session-revoked"
DISABLED = f"{BASE}risc/event-type/account-disabled"
CREDENTIAL = f"{BASE}caep/event-type/credential-change"
VERIFICATION = f"{BASE}ssf/event-type/verification"

ISSUER = "https://op.example/t1"
KEY = rsa_pair("k1")
KEYS = parse_key_set({"keys": [KEY.published()]})
TENANT = Tenant(name="t1", issuer=ISSUER, client_ids=frozenset({"c1"}))
FROM_OP = Transmitter(
    tenant=TENANT,
    issuer=replace(TENANT, max_age_s=604_800),
    audience=frozenset({"c1", "c1/*"}),
    subject_issuers=frozenset({ISSUER}),
    evict_on=frozenset(one.name for one in EVENT_TYPES.values() if one.ends),
)
USER = {"format": "iss_sub", "iss": ISSUER, "sub": "u1"}
SESSION = {"format": "opaque", "id": "s1"}


def a_set(*, header: dict[str, Any] | None = None, event: Any = None, uri: str = REVOKED, **claims: Any) -> str:
    """A SET, valid but for the changes asked for, really signed."""
    parts = {"alg": "RS256", "kid": "k1", "typ": "secevent+jwt", **(header or {})}
    payload = {
        "iss": ISSUER, "aud": "c1", "iat": NOW, "jti": "e1", "sub_id": USER,
        "events": {uri: {} if event is None else event}, **claims,
    }  # fmt: skip
    kept, signed = ({n: v for n, v in part.items() if v is not ABSENT} for part in (parts, payload))
    return encode_token(kept, signed, KEY)


def judge(token: str, transmitter: Transmitter = FROM_OP, *, now_s: float = NOW) -> se.SecurityEvent:
    """The event of a SET."""
    return se.verify(se.screen(se.parse(token), transmitter, now_s), KEYS)


def ordered(token: str, transmitter: Transmitter = FROM_OP) -> list[tuple[str | None, str | None, str]]:
    """`sub`, `sid` and scope of each eviction."""
    evictions = judge(token, transmitter).to_evictions(transmitter, NOW, origin="ssf-push")
    return [(one.sub, one.sid, one.scope) for one in evictions]


def test_rules_are_numbered_and_say_what_to_do() -> None:
    """Stages follow each other without a gap; each rule has a name, a section and advice of its own."""
    numbers = [tuple(map(int, rule.number.split("."))) for rule in se.RULES]

    for (stage, place), following in pairwise(numbers):
        assert following in {(stage, place + 1), (stage + 1, 1)}
    assert len(se.RULES) == len({rule.name for rule in se.RULES})
    assert not [rule.name for rule in se.RULES if not rule.section or "BCL" in rule.section]
    assert not [rule.name for rule in se.RULES if not all(rule.refusals.values())]


@pytest.mark.parametrize("rule", [*se.PARSING, *se.SCREENING], ids=lambda rule: rule.name)
def test_junk_costs_no_key(rule: Rule) -> None:
    """Only the last stage looks at a key."""
    assert Code.JWKS_UNAVAILABLE not in rule.refusals


def test_event_becomes_an_eviction_of_today() -> None:
    """Its `input` and `scope` are values that earlier readers know; the way in stands in `origin`."""
    token = a_set(event={"event_timestamp": NOW - 7, "reason_admin": {"en": "left the company"}})

    [eviction] = judge(token).to_evictions(FROM_OP, NOW + 1, origin="ssf-push")

    assert ("ssf", "ssf-push", "user", "tenant") == (
        eviction.input, eviction.origin, eviction.scope, eviction.applies_to
    )  # fmt: skip
    assert (eviction_id(ISSUER, "e1"), ISSUER, "e1", NOW - 7, NOW + 1) == (
        eviction.id, eviction.iss, eviction.jti, eviction.logout_at, eviction.received_at
    )  # fmt: skip
    assert ("session-revoked: left the company", ("u1",), None) == (
        eviction.reason, eviction.accounts, eviction.client_id
    )  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "uri", "expected"),
    [
        (USER, REVOKED, [("u1", None, "user")]),
        (SESSION, REVOKED, [(None, "s1", "session")]),
        ({"format": "opaque", "id": "u1"}, DISABLED, [("u1", None, "user")]),
        ({"format": "complex", "user": USER, "session": SESSION}, REVOKED, [("u1", "s1", "session")]),
        ({"format": "complex", "user": USER, "session": SESSION}, DISABLED, [("u1", None, "user")]),
        ({"user": USER, "session": SESSION}, REVOKED, [("u1", "s1", "session")]),
        ({"format": "complex", "session": SESSION}, REVOKED, [(None, "s1", "session")]),
        ({"format": "complex", "user": USER, "session": {"format": "opaque", "id": "ALL"}}, REVOKED,
         [("u1", None, "user")]),
        ({"format": "complex", "user": USER, "device": {"format": "opaque", "id": "d"}}, REVOKED,
         [("u1", None, "user")]),
        ({"format": "complex", "user": {"format": "email", "email": "a@b"}, "session": SESSION}, REVOKED,
         [(None, "s1", "session")]),
        ({"format": "aliases", "identifiers": [{"format": "email", "email": "a@b"}, USER]}, REVOKED,
         [("u1", None, "user")]),
        ({"subject_type": "iss-sub", "iss": ISSUER, "sub": "u1"}, REVOKED, [("u1", None, "user")]),
        ({"format": "email", "email": "a@b"}, REVOKED, []),
        ({"format": "did", "url": "did:example:1"}, REVOKED, []),
        ({"format": "of the future", "x": {}}, REVOKED, []),
        ({**USER, "iss": "https://other.example"}, REVOKED, []),
        ({"format": "complex", "user": {**USER, "iss": "https://other.example"}, "session": SESSION}, REVOKED, []),
        ({"format": "complex", "tenant": {"format": "opaque", "id": "t"}}, REVOKED, []),
    ],
    ids=[
        "iss_sub", "a session's opaque id", "a user's opaque id", "session of a user", "account, session named",
        "complex of a draft", "session only", "every session of Keycloak", "device", "session, user by address",
        "aliases", "format of a draft", "address", "did", "unknown format", "other issuer",
        "session at another issuer", "tenant",
    ],
)  # fmt: skip
def test_who_is_signed_out(subject: dict[str, Any], uri: str, expected: list[object]) -> None:
    """Each format of RFC 9493 and SSF is read; what names no user and no session of ours orders nothing."""
    assert expected == ordered(a_set(sub_id=subject, uri=uri))


def test_subject_inside_the_event() -> None:
    """Older senders name the subject in the event; `sub_id` counts where there are both."""
    within = {"subject": {**USER, "sub": "u2"}}

    assert [("u2", None, "user")] == ordered(a_set(sub_id=ABSENT, event=within))
    assert [("u1", None, "user")] == ordered(a_set(event=within))


@pytest.mark.parametrize("uri", sorted(uri for uri, one in EVENT_TYPES.items() if one.ends))
def test_events_that_sign_out(uri: str) -> None:
    """Each of them, unless the tenant leaves it out."""
    others = replace(FROM_OP, evict_on=FROM_OP.evict_on - {uri.rpartition("/")[2]})

    assert [("u1", None, "user")] == ordered(a_set(uri=uri))
    assert [] == ordered(a_set(uri=uri), others)


@pytest.mark.parametrize(
    ("uri", "event", "subject"),
    [
        (f"{BASE}caep/event-type/assurance-level-change", {}, USER),
        (f"{BASE}risc/event-type/account-enabled", {}, USER),
        ("https://schemas.example/of-the-future", {"subject": 5}, 5),
        (CREDENTIAL, {"credential_type": "fido2-roaming", "change_type": "create"}, USER),
        (VERIFICATION, {"state": "x"}, {"format": "opaque", "id": "stream"}),
        (VERIFICATION, {}, ABSENT),
        (f"{BASE}ssf/event-type/stream-updated", {"status": "paused"}, {"format": "opaque", "id": "stream"}),
    ],
    ids=["assurance", "enabled", "unknown", "new credential", "verification", "verification of RISC", "stream"],
)
def test_events_that_sign_nobody_out(uri: str, event: dict[str, Any], subject: Any) -> None:
    """They are good events all the same."""
    assert [] == ordered(a_set(uri=uri, event=event, sub_id=subject))


def test_member_that_is_critical_and_not_understood() -> None:
    """Such an event is dropped; one whose critical members are user and session is not."""
    subject = {"format": "complex", "user": USER, "device": {"format": "opaque", "id": "d"}}

    assert [] == ordered(a_set(sub_id=subject), replace(FROM_OP, critical_members=frozenset({"device"})))
    assert [("u1", None, "user")] == ordered(
        a_set(sub_id=subject), replace(FROM_OP, critical_members=frozenset({"user", "session", "tenant"}))
    )


@pytest.mark.parametrize(
    ("event", "toe", "expected"),
    [
        ({"event_timestamp": NOW - 5}, ABSENT, NOW - 5),
        ({"event_timestamp": (NOW - 5) * 1000}, ABSENT, NOW - 5),
        ({"event_timestamp": NOW + 5}, ABSENT, NOW),
        ({"event_timestamp": 0}, ABSENT, NOW),
        ({"event_timestamp": "yesterday"}, NOW - 9, NOW - 9),
        ({}, NOW - 9, NOW - 9),
        ({}, ABSENT, NOW),
    ],
    ids=["seconds", "milliseconds", "after iat", "none", "no date, toe", "toe", "iat"],
)
def test_when_it_happened(event: dict[str, Any], toe: Any, expected: float) -> None:
    """The event's own time counts where it is a date, and never one after `iat`."""
    assert expected == judge(a_set(event=event, toe=toe)).happened_at


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("typ", {"header": {"typ": ABSENT}}),
        ("typ", {"header": {"typ": "JWT"}}),
        ("typ", {"header": {"typ": "logout+jwt"}}),
        ("typ", {"header": {"cty": "JWT"}}),
        ("alg", {"header": {"alg": "none"}}),
        ("alg", {"header": {"alg": "RS512"}}),
        ("crit", {"header": {"crit": ["x"], "x": 1}}),
        ("unknown_kid", {"header": {"kid": "other"}}),
        ("issuer", {"iss": ISSUER + "/"}),
        ("issuer", {"iss": ABSENT}),
        ("audience", {"aud": "c2"}),
        ("audience", {"aud": ABSENT}),
        ("audience", {"aud": []}),
        ("audience", {"aud": "c1/"}),
        ("audience", {"aud": "c12"}),
        ("audience", {"aud": [["c1"]]}),
        ("iat_missing", {"iat": ABSENT}),
        ("malformed", {"iat": str(NOW)}),
        ("iat_future", {"iat": NOW + 600}),
        ("too_old", {"iat": NOW - 605_000}),
        ("not_yet_valid", {"nbf": NOW + 600}),
        ("exp_present", {"exp": NOW + 600}),
        ("exp_present", {"exp": None}),
        ("sub_present", {"sub": "u1"}),
        ("sub_present", {"sub": None}),
        ("events", {"events": ABSENT}),
        ("events", {"events": {}}),
        ("events", {"events": [REVOKED]}),
        ("events", {"events": {REVOKED: {}, DISABLED: {}}}),
        ("events", {"event": "x"}),
        ("events", {"event": []}),
        ("no_subject", {"sub_id": ABSENT}),
        ("malformed", {"sub_id": "u1"}),
        ("malformed", {"sub_id": {}}),
        ("malformed", {"sub_id": {"format": 5}}),
        ("malformed", {"sub_id": {"format": "iss_sub", "iss": ISSUER}}),
        ("malformed", {"sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": 5}}),
        ("malformed", {"sub_id": {"format": "opaque", "id": ""}}),
        ("malformed", {"sub_id": {"format": "opaque", "id": "a\nb"}}),
        ("malformed", {"sub_id": {"format": "complex"}}),
        ("malformed", {"sub_id": {"format": "complex", "user": {"sub": "u1"}}}),
        ("malformed", {"sub_id": {"format": "aliases", "identifiers": []}}),
        ("malformed", {"sub_id": {"format": "aliases", "identifiers": [{"format": "aliases"}]}}),
        ("malformed", {"uri": VERIFICATION}),
        ("jti_missing", {"jti": ABSENT}),
        ("jti_missing", {"jti": ""}),
    ],
)
def test_what_is_refused(code: str, changes: dict[str, Any]) -> None:
    """One change to a good SET, and the code it is refused with."""
    with pytest.raises(LogoutTokenError) as caught:
        judge(a_set(**changes))
    assert code == caught.value.code


@pytest.mark.parametrize("aud", ["c1", ["x", "c1"], "c1/stream", ["c1/stream"]])
def test_audience(aud: object) -> None:
    """`aud` is one of our names, or begins with one that stands for all below it, alone or among others."""
    assert "e1" == judge(a_set(aud=aud)).jti


def test_forged_signature() -> None:
    """A SET signed with another key under our transmitter's key name is refused."""
    claims = {"iss": ISSUER, "aud": "c1", "iat": NOW, "jti": "e1", "sub_id": USER, "events": {REVOKED: {}}}
    with pytest.raises(LogoutTokenError) as caught:
        judge(encode_token({"alg": "RS256", "kid": "k1", "typ": "secevent+jwt"}, claims, rsa_pair("another")))
    assert Code.SIGNATURE == caught.value.code


def test_encrypted() -> None:
    """Five segments are an encrypted token, and there is no key for it."""
    with pytest.raises(LogoutTokenError) as caught:
        se.parse("a.b.c.d.e")
    assert Code.ENCRYPTED == caught.value.code


@pytest.mark.parametrize("typ", ["secevent+jwt", "logout+jwt", "JWT", ABSENT])
@pytest.mark.parametrize("exp", [NOW + 60, ABSENT])
@pytest.mark.parametrize("uri", [REVOKED, LOGOUT_EVENT])
def test_no_token_is_both(typ: Any, exp: Any, uri: str) -> None:
    """All that is accepted as a SET is refused as a logout token, and the other way round."""
    lax = replace(TENANT, require_exp=False)
    claims = {"sub": ABSENT, "sid": "s1"}
    token = a_set(header={"typ": typ}, exp=exp, uri=uri, sub_id=USER, **claims)
    accepted = 0
    try:
        judge(token)
        accepted += 1
    except LogoutTokenError:
        pass
    try:
        parsed, tenant = lt.parse(token, TenantDirectory((lax,)))
        lt.accept(parsed, tenant, KEYS, NOW)
        accepted += 1
    except LogoutTokenError:
        pass
    assert accepted < 2


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://op.example", "https://op.example/.well-known/ssf-configuration"),
        ("https://op.example/", "https://op.example/.well-known/ssf-configuration"),
        ("https://op.example/realms/a", "https://op.example/.well-known/ssf-configuration/realms/a"),
        ("https://op.example/realms/x/", "https://op.example/.well-known/ssf-configuration/realms/x"),
    ],
)
def test_where_the_configuration_is(issuer: str, expected: str) -> None:
    """Between host and path."""
    assert expected == configuration_url(issuer)
