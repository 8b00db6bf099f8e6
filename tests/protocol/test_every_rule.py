"""Every rule on logout tokens is asked, in the order of its number: one token a rule, which breaks that one alone.

BCL is OpenID Connect Back-Channel Logout 1.0 with errata set 1, Core is OpenID Connect Core 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.jwks import KeySet
from receiver.core.tokens.rule import Examination
from receiver.errors import Code, JWKSUnavailableError, LogoutTokenError, ReceiverError
from tests.protocol.asked import key_set
from tests.protocol.baseline import GUID_A, GUID_B, ISSUER, MULTI, TENANT, encrypted, pem, token
from tests.support.clock import NOW
from tests.support.keys import b64, ec_pair, rsa_pair
from tests.support.op import ABSENT

OTHER = replace(TENANT, name="t2", issuer="https://op.example/t2", client_ids=frozenset({"c9"}))
ABLE = replace(TENANT, decryption_key=pem(rsa_pair("enc")))
OF_GUID_A = f"https://op.example/{GUID_A}/v2.0"
GOOD = token()
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A token that breaks one rule, and where it comes in.

    Attributes:
        text: The token.
        code: Of the refusal.
        tenant: It claims to come from this one.
        path: The tenant of the path; None for the path all share.
        others: Further tenants.
        key: Changes to the key that the OP publishes.
        away: Whether the OP's keys cannot be had.
    """

    text: str
    code: Code
    tenant: Tenant = TENANT
    path: Tenant | None = None
    others: tuple[Tenant, ...] = ()
    key: dict[str, Any] = field(default_factory=dict)
    away: bool = False

    def examination(self) -> Examination:
        """It on its way through the rules, up to the first that refuses it."""
        begun = Examination.of_text(
            self.text, TenantDirectory((self.tenant, OTHER, *self.others)), self.path, now_s=NOW
        )
        begun.keys = JWKSUnavailableError("away") if self.away else key_set({**rsa_pair("k1").published(), **self.key})
        return begun


BROKEN = {
    # 1: what the token is.
    "1.1": Broken(text=f"{HEADER}.{PAYLOAD}", code=Code.MALFORMED),
    "1.2": Broken(text=encrypted(GOOD), code=Code.ENCRYPTED),
    # 2: the signed token by itself.
    "2.1": Broken(text=f"{b64(b'[]')}.{PAYLOAD}.{SIGNATURE}", code=Code.MALFORMED),
    "2.2": Broken(text=token(header={"crit": ["exp"]}), code=Code.CRIT),
    "2.3": Broken(text=token(header={"alg": None}), code=Code.ALG),
    "2.4": Broken(text=token(header={"typ": 1}), code=Code.MALFORMED),
    "2.5": Broken(text=f"{HEADER}.{b64(b'[]')}.{SIGNATURE}", code=Code.MALFORMED),
    "2.6": Broken(text=f"{GOOD[:-1]}B", code=Code.MALFORMED),
    # 3: its tenant.
    "3.1": Broken(text=token(iss="https://evil.example"), code=Code.ISSUER),
    "3.2": Broken(
        text=encrypted(token(iss=OTHER.issuer, aud="c9")), code=Code.ISSUER_MISMATCH, tenant=ABLE
    ),
    "3.3": Broken(text=GOOD, code=Code.ISSUER_MISMATCH, path=OTHER),
    # 4: its kind.
    "4.1": Broken(text=token(ec_pair("k2"), alg="ES256"), code=Code.ALG),
    "4.2": Broken(text=GOOD, code=Code.NOT_ENCRYPTED, tenant=replace(TENANT, encrypted=True)),
    "4.3": Broken(text=token(header={"typ": "at+jwt"}), code=Code.TYP),
    # 5: its claims.
    "5.1": Broken(text=token(iss=OF_GUID_A, tid=GUID_B), code=Code.ISSUER, tenant=MULTI),
    "5.2": Broken(text=token(aud="c3"), code=Code.AUDIENCE),
    "5.3": Broken(
        text=GOOD, code=Code.ALG, tenant=replace(TENANT, client_algorithms={"c1": frozenset({"PS256"})})
    ),
    "5.4": Broken(text=token(iat=NOW - 661), code=Code.TOO_OLD),
    "5.5": Broken(text=token(exp=NOW - 60), code=Code.EXPIRED),
    "5.6": Broken(text=token(nbf=NOW + 301), code=Code.NOT_YET_VALID),
    "5.7": Broken(text=token(events={}), code=Code.EVENTS),
    "5.8": Broken(text=token(nonce="n"), code=Code.NONCE),
    "5.9": Broken(text=token(sub=ABSENT, sid=ABSENT), code=Code.NO_SUBJECT),
    "5.10": Broken(text=token(jti=ABSENT), code=Code.JTI_MISSING),
    # 6: its key and its signature.
    "6.1": Broken(text=GOOD, code=Code.JWKS_UNAVAILABLE, away=True),
    "6.2": Broken(text=GOOD, code=Code.UNKNOWN_KID, key={"kid": "another"}),
    "6.3": Broken(
        text=GOOD, code=Code.KEY_ISSUER, tenant=replace(TENANT, require_key_issuer=True), key={"issuer": OTHER.issuer}
    ),
    "6.4": Broken(text=GOOD, code=Code.SIGNATURE, key=rsa_pair("another").published(kid="k1")),
}  # fmt: skip
"""By the number of the rule. 3.2: the tenant `t2` shares no key with the one whose key opens the token."""


def test_every_rule_has_its_token() -> None:
    """None is forgotten here."""
    assert [rule.number for rule in lt.RULES] == [*BROKEN]


@pytest.mark.parametrize("number", BROKEN)
def test_rule_is_asked(number: str) -> None:
    """The rule refuses its token with its code, and every rule before it lets the token pass."""
    broken = BROKEN[number]
    examination = broken.examination()

    for rule in lt.RULES:
        if rule.number == number:
            assert broken.code in rule.refusals
            with pytest.raises(ReceiverError) as caught:
                rule.check(examination)
            assert broken.code == caught.value.code
            return
        rule.check(examination)


@pytest.mark.parametrize("number", [number for number in BROKEN if not BROKEN[number].away])
def test_token_is_refused(number: str) -> None:
    """In the three steps of a service, too, a token that breaks one rule ends there."""
    broken = BROKEN[number].examination()

    with pytest.raises(LogoutTokenError) as caught:
        taken(broken)
    assert BROKEN[number].code == caught.value.code


def taken(examination: Examination) -> lt.LogoutToken:
    """What comes of the examination's token: taken apart, screened and verified."""
    parsed, tenant = lt.parse(examination.compact, examination.tenants, examination.path_tenant)
    assert isinstance(examination.keys, KeySet)
    return lt.verify(lt.screen(parsed, tenant, NOW), examination.keys)


def test_token_of_the_baseline_keeps_every_rule() -> None:
    """What the others depart from passes, signed only and encrypted."""
    for text, tenant in ((GOOD, TENANT), (encrypted(GOOD), ABLE)):
        examination = Broken(text=text, code=Code.MALFORMED, tenant=tenant).examination()
        for rule in lt.RULES:
            rule.check(examination)
        for found in (lt.accepted(examination), taken(examination)):
            assert (ISSUER, ("c1",), "u1", "s1", "j1", NOW, NOW + 120) == found[:7]


LISTED = {
    "encryption_key": Broken(text=encrypted(GOOD), code=Code.ISSUER_MISMATCH, tenant=ABLE),
    "path": Broken(text=GOOD, code=Code.ISSUER_MISMATCH, path=TENANT),
    "encrypted": Broken(
        text=encrypted(GOOD), code=Code.NOT_ENCRYPTED, tenant=replace(ABLE, encrypted=True)
    ),
    "tid": Broken(text=token(iss=OF_GUID_A, tid=GUID_A), code=Code.ISSUER, tenant=MULTI),
    "client_alg": Broken(
        text=GOOD, code=Code.ALG, tenant=replace(TENANT, client_algorithms={"c2": frozenset({"RS256"})})
    ),
    "key_issuer": Broken(text=GOOD, code=Code.KEY_ISSUER, tenant=replace(TENANT, require_key_issuer=True)),
}  # fmt: skip
"""Rules that `explain` lists only where the tenant or the request gives them something to ask; here each has it."""


@pytest.mark.parametrize("name", LISTED)
def test_rule_is_listed_where_it_applies(name: str) -> None:
    """Beside what is asked of every token, exactly this rule is listed."""
    examination = LISTED[name].examination()
    plain = Broken(text=GOOD, code=Code.MALFORMED).examination()
    for rule in lt.RULES:
        rule.check(examination)
        rule.check(plain)

    usual = {rule.name for rule in lt.RULES if rule.listed(plain)}
    assert {rule.name for rule in lt.RULES} - usual == {*LISTED}
    assert name in {rule.name for rule in lt.RULES if rule.listed(examination)}
