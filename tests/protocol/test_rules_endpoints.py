"""The rules on tokens that are addressed to one endpoint: commands, and calls of Global Token Revocation.

OPC is OpenID Provider Commands 1.0 draft 02, GTR is draft-parecki-oauth-global-token-revocation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.tenants import CommandRules
from receiver.core.tokens import command_token, revocation_token, signed_token
from receiver.core.tokens.endpoint_token import check_client, check_endpoint, check_short_life
from receiver.core.tokens.rule import Examination, Rule, enforce
from receiver.core.tokens.signed_token import check_explicit_type
from receiver.errors import Code, LogoutTokenError
from tests.protocol.asked import refusal
from tests.protocol.baseline import ISSUER, TENANT
from tests.support.clock import NOW
from tests.support.op import ABSENT

if TYPE_CHECKING:
    from collections.abc import Sequence


URL = "https://logout.example/t1"
COMMANDS = CommandRules(
    wait_s=5, unknown_status=404, require_tenant=True, callback_origins=("https://op.example",), callback_after_s=5
)
ABLE = replace(TENANT, commands=COMMANDS)
LAX = replace(TENANT, commands=replace(COMMANDS, require_tenant=False))

COMMAND = {
    "iss": ISSUER, "aud": URL, "client_id": "c1", "iat": NOW, "exp": NOW + 120, "jti": "j1", "command": "invalidate",
    "tenant": "acme", "sub": "u1",
}  # fmt: skip
CALL = {"iss": ISSUER, "aud": URL, "sub": "c1", "exp": NOW + 120, "jti": "j1"}
METADATA = {"command": "metadata", "sub": ABSENT}
LATER = {"command": "invalidate_async"}


def of(claims: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """These claims with some changed."""
    return {name: value for name, value in {**claims, **changes}.items() if value is not ABSENT}


def examined(typ: str, claims: dict[str, Any]) -> Examination:
    """A token of that type on its way through the rules of its endpoint."""
    examination = Examination()
    examination.header, examination.claims, examination.now_s = {"typ": typ}, claims, NOW
    examination.tenant = examination.issued_by = ABLE
    return examination


def refused_by(rules: Sequence[Rule], typ: str, claims: dict[str, Any]) -> tuple[str, Code] | None:
    """The first rule that refuses, and with what; None where all hold."""
    examination = examined(typ, claims)
    for rule in rules:
        try:
            rule.check(examination)
        except LogoutTokenError as error:
            return (rule.name, error.code) if error.code in rule.refusals else None
    assert ("c1", "j1", ISSUER) == (examination.client_id, examination.jti, examination.iss)
    return None


@pytest.mark.parametrize(
    ("rule", "code", "changes"),
    [
        ("typ", Code.TYP, {"typ": "logout+jwt"}),
        ("issuer", Code.ISSUER, {"iss": "https://evil.example"}),
        ("endpoint", Code.AUDIENCE, {"aud": "c1"}),
        ("client", Code.AUDIENCE, {"client_id": "c3"}),
        ("iat", Code.IAT_MISSING, {"iat": ABSENT}),
        ("iat", Code.TOO_OLD, {"iat": NOW - 661}),
        ("exp", Code.EXP_MISSING, {"exp": ABSENT}),
        ("exp", Code.TOO_OLD, {"exp": NOW + 661}),
        ("nbf", Code.NOT_YET_VALID, {"nbf": NOW + 61}),
        ("jti", Code.JTI_MISSING, {"jti": ABSENT}),
        ("nonce", Code.NONCE, {"nonce": ""}),
        ("tenant", Code.MALFORMED, {"tenant": ABSENT}),
        ("command", Code.UNSUPPORTED_COMMAND, {"command": "delete"}),
        ("callback", Code.MALFORMED, {**LATER, "callback_token": "no token"}),
        ("callback", Code.MALFORMED, {**METADATA, "metadata": {"callback_endpoint": "https://evil.example/"}}),
    ],
)
def test_command_breaks_a_rule(rule: str, code: Code, changes: dict[str, Any]) -> None:
    """A command token that breaks one rule is refused by that one (OPC §3 to §5)."""
    claims = of(COMMAND, changes)

    assert (rule, code) == refused_by(command_token.rules(URL), claims.pop("typ", "command+jwt"), claims)


@pytest.mark.parametrize("changes", [{}, LATER, METADATA, {"aud": [URL, "c1"]}, {**LATER, "callback_token": "a.b~c=="}])
def test_command_keeps_every_rule(changes: dict[str, Any]) -> None:
    """The three commands that are offered."""
    assert refused_by(command_token.rules(URL), "command+jwt", of(COMMAND, changes)) is None


def test_tenant_is_required_where_commands_are_off() -> None:
    """`explain` judges a command for a tenant that takes none by the strict rule."""
    examination = examined("command+jwt", of(COMMAND, {"tenant": ABSENT}))
    examination.tenant = examination.issued_by = TENANT

    assert Code.MALFORMED == refusal(enforce, command_token.rules(URL), examination)


def test_command_is_dated() -> None:
    """What it ends is what was there at its `iat`."""
    examination = examined("command+jwt", COMMAND)
    enforce(command_token.rules(URL), examination)

    assert NOW == examination.iat


@pytest.mark.parametrize(
    ("rule", "code", "changes"),
    [
        ("typ", Code.TYP, {"typ": "JWT"}),
        ("issuer", Code.ISSUER, {"iss": ABSENT}),
        ("endpoint", Code.AUDIENCE, {"aud": ["c1"]}),
        ("client", Code.AUDIENCE, {"sub": "u1"}),
        ("exp", Code.EXPIRED, {"exp": NOW - 60}),
        ("nbf", Code.NOT_YET_VALID, {"nbf": NOW + 61}),
        ("iat", Code.IAT_FUTURE, {"iat": NOW + 61}),
        ("iat", Code.MALFORMED, {"iat": "now"}),
        ("jti", Code.JTI_MISSING, {"jti": ""}),
    ],
)
def test_revocation_breaks_a_rule(rule: str, code: Code, changes: dict[str, Any]) -> None:
    """A caller's token that breaks one rule is refused by that one (GTR)."""
    claims = of(CALL, changes)

    typ = claims.pop("typ", "global-token-revocation+jwt")
    assert (rule, code) == refused_by(revocation_token.rules(URL), typ, claims)


@pytest.mark.parametrize("changes", [{}, {"iat": NOW + 60}, {"iat": NOW - 10_000}, {"aud": [URL]}])
def test_revocation_keeps_every_rule(changes: dict[str, Any]) -> None:
    """`iat` may be absent, and of any age: `exp` bounds how long the token counts."""
    assert refused_by(revocation_token.rules(URL), "global-token-revocation+jwt", of(CALL, changes)) is None


def test_rules_are_asked_in_their_order() -> None:
    """What is the token's, then its kind and claims, then key and signature; each with a number of its own."""
    own = command_token.rules(URL)
    names = [rule.name for rule in signed_token.every_rule(own)]

    assert names == [
        "shape", "encryption", "header", "crit", "alg", "header_types", "payload", "encoding", "issuer",
        "encryption_key", "path", "accepted_alg", *(rule.name for rule in own),
        "jwks", "key", "key_issuer", "signature",
    ]  # fmt: skip
    assert ["accepted_alg", *(rule.name for rule in own)] == [rule.name for rule in signed_token.screening(own)]
    assert [f"5.{place}" for place in range(1, 13)] == [rule.number for rule in signed_token.every_rule(own)][12:24]


def test_type_is_explicit() -> None:
    """`typ` is this kind's, in any case and with or without `application/`, and nothing is wrapped (RFC 8725 §3.11)."""
    for typ in ("command+jwt", "COMMAND+JWT", "application/command+jwt"):
        check_explicit_type({"typ": typ}, "command+jwt")
    for header in ({}, {"typ": None}, {"typ": 1}, {"typ": "JWT"}, {"typ": "command+jwt", "cty": "JWT"}):
        assert Code.TYP == refusal(check_explicit_type, header, "command+jwt")


def test_audience_is_the_address() -> None:
    """`aud` is the address that was called, alone or among others; a longer or a shorter one is not it."""
    for aud in (URL, [URL], ["c1", URL]):
        check_endpoint({"aud": aud}, URL)
    others: list[Any] = [ABSENT, None, f"{URL}/x", URL[:-1], [], {URL: 1}]
    for other in others:
        assert Code.AUDIENCE == refusal(check_endpoint, of({}, {"aud": other}), URL)


def test_client_is_one_of_ours() -> None:
    """The claim is a string, and one of the tenant's clients."""
    assert "c2" == check_client({"client_id": "c2"}, "client_id", TENANT)
    for client in (ABSENT, None, "c3", ["c1"], {}):
        assert Code.AUDIENCE == refusal(check_client, of({}, {"client_id": client}), "client_id", TENANT)


def test_life_is_short() -> None:
    """`exp` must be there and near; the tenant's settings for logout tokens do not change that."""
    lax = replace(TENANT, require_exp=False)

    assert NOW + 660 == check_short_life({"exp": NOW + 660}, lax, NOW)
    assert Code.EXP_MISSING == refusal(check_short_life, {}, lax, NOW)
    assert Code.EXPIRED == refusal(check_short_life, {"exp": NOW - 60}, lax, NOW)
    assert Code.TOO_OLD == refusal(check_short_life, {"exp": NOW + 661}, lax, NOW)


def test_tenant_claim() -> None:
    """`tenant` is a plain string; where the OP is known to leave it out it may be absent, and not be something else."""
    for required in (True, False):
        assert "acme" == command_token.check_tenant_claim({"tenant": "acme"}, required=required)
        for tenant in ("", 5, ["acme"]):
            assert Code.MALFORMED == refusal(command_token.check_tenant_claim, {"tenant": tenant}, required=required)
    assert command_token.check_tenant_claim({}, required=False) is None
    assert Code.MALFORMED == refusal(command_token.check_tenant_claim, {}, required=True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"command": ABSENT}, Code.UNSUPPORTED_COMMAND),
        ({"command": ["invalidate"]}, Code.UNSUPPORTED_COMMAND),
        # An account's command names one, and a tenant's none.
        ({"sub": ABSENT}, Code.NO_SUBJECT),
        ({"sub": 5}, Code.NO_SUBJECT),
        ({**LATER, "sub": ""}, Code.NO_SUBJECT),
        ({"command": "metadata"}, Code.MALFORMED),
        ({**METADATA, "aud_sub": "u1"}, Code.MALFORMED),
        # Only what is answered later has a token for the answer, and only metadata are told with metadata.
        ({"callback_token": "t"}, Code.MALFORMED),
        ({"metadata": {}}, Code.MALFORMED),
        ({**LATER, "metadata": {}}, Code.MALFORMED),
    ],
)
def test_claims_that_do_not_fit_the_command(changes: dict[str, Any], code: Code) -> None:
    """A command is one that is offered, with the claims it has (OPC §4, §5)."""
    assert code == refusal(command_token.check_command, of(COMMAND, changes))


@pytest.mark.parametrize("changes", [{}, LATER, {**LATER, "callback_token": "t"}, {**METADATA, "metadata": {}}])
def test_claims_that_fit_the_command(changes: dict[str, Any]) -> None:
    """It is told which command it is."""
    claims = of(COMMAND, changes)

    assert claims["command"] == command_token.check_command(claims)


def test_callback_token_is_a_bearer_token() -> None:
    """It is sent back in a header, so it is what RFC 6750 §2.1 allows there, of bearable length."""
    for token in ("a", "aZ09-._~+/==", "a" * 4096):
        assert token == command_token.find_callback_token({"callback_token": token})
    assert command_token.find_callback_token({}) is None
    for bad in ("", "a b", "a\r\nX: y", "ä", "=a", "a" * 4097, 5):
        assert Code.MALFORMED == refusal(command_token.find_callback_token, {"callback_token": bad})


def test_callback_goes_where_the_settings_allow() -> None:
    """A token alone names no host: the address is at an origin that the tenant's settings name."""
    good = "https://op.example/callback?x=1"

    def found(endpoint: object, tenant: Any = ABLE) -> str | None:
        return command_token.find_callback_endpoint({"metadata": {"callback_endpoint": endpoint}}, tenant)

    assert good == found(good)
    assert found(None) is None
    assert command_token.find_callback_endpoint({}, ABLE) is None
    for bad in (
        "https://evil.example/", "http://op.example/", "https://op.example:444/", "https://op.example@evil.example/",
        f"{good}#x", f"{good} x", f"{good}\t", f"{good}ä", "https://[", "//op.example/", 5,
    ):  # fmt: skip
        assert Code.MALFORMED == refusal(found, bad)
    assert Code.MALFORMED == refusal(found, good, TENANT)
    assert Code.MALFORMED == refusal(command_token.find_callback_endpoint, {"metadata": []}, ABLE)
