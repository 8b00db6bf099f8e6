"""The rules on claims: what must pass, and what must not (BCL §2.4, §2.6).

BCL is OpenID Connect Back-Channel Logout 1.0 with errata set 1, Core is OpenID Connect Core 1.0.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from receiver.core.presets import PRESETS
from receiver.core.tenants import TenantDirectory
from receiver.core.tokens import claims as rules
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens import times
from receiver.core.tokens.registration import peek_tenant
from receiver.errors import Code, LogoutTokenError
from tests.protocol.asked import accepted, key_set, refusal
from tests.protocol.baseline import GUID_A, GUID_B, ISSUER, MULTI, TENANT, claims, token
from tests.support.clock import NOW
from tests.support.keys import rsa_pair
from tests.support.op import ABSENT, LOGOUT_EVENT
from tests.support.parsed import parse_jws


def test_issuer_is_compared_byte_for_byte() -> None:
    """`iss` is the configured issuer exactly: no other case, slash, host or type."""
    assert ISSUER == rules.check_issuer(claims(), TENANT)
    for iss in (ABSENT, None, ISSUER + "/", ISSUER.upper(), ISSUER + "INVALID", [ISSUER], 5):
        assert Code.ISSUER == refusal(rules.check_issuer, claims(iss=iss), TENANT)


def test_issuer_with_a_slash_wants_its_slash() -> None:
    """An issuer configured with a trailing slash is not the same without."""
    tenant = replace(TENANT, issuer=ISSUER + "/")

    assert ISSUER + "/" == rules.check_issuer(claims(iss=ISSUER + "/"), tenant)
    assert Code.ISSUER == refusal(rules.check_issuer, claims(), tenant)


def test_templated_issuer_needs_tid_and_iss_to_agree() -> None:
    """Under a template `tid` is an allowed GUID and the one in `iss` (Entra, access tokens reference)."""
    good = f"https://op.example/{GUID_A}/v2.0"
    assert good == rules.check_issuer(claims(iss=good, tid=GUID_A), MULTI)
    for iss, tid in (
        (good, ABSENT),
        (good, GUID_B),
        (good, [GUID_A]),
        (good.replace(GUID_A, GUID_B), GUID_B),
        (good.replace(GUID_A, GUID_B), GUID_A),
        (good.replace(GUID_A, "common"), "common"),
        (MULTI.issuer, "{tenantid}"),
    ):
        assert Code.ISSUER == refusal(rules.check_issuer, claims(iss=iss, tid=tid), MULTI)


def test_tenant_is_chosen_among_the_configured_ones() -> None:
    """An unverified `iss` finds a configured tenant or nothing; an exact issuer wins over a template."""
    exact = replace(TENANT, name="exact", issuer=f"https://op.example/{GUID_B}/v2.0")
    directory = TenantDirectory((TENANT, MULTI, exact))

    assert TENANT is peek_tenant(claims(), directory)
    assert exact is peek_tenant(claims(iss=exact.issuer), directory)
    assert MULTI is peek_tenant(claims(iss=f"https://op.example/{GUID_A}/v2.0"), directory)
    for iss in ("http://169.254.169.254/", "https://op.example", "https://op.example//v2.0", ABSENT, 5):
        assert Code.ISSUER == refusal(peek_tenant, claims(iss=iss), directory)


def test_audience_tells_tenants_of_one_issuer_apart() -> None:
    """Where an issuer has a key set for each application, `aud` says whose token it is; one for several is refused."""
    other = replace(TENANT, name="other", client_ids=frozenset({"c8", "c9"}))
    directory = TenantDirectory((TENANT, other))

    for ours, tenant in (("c1", TENANT), ("c9", other), (["x", "c9"], other), (["c8", "c9"], other)):
        assert tenant is peek_tenant(claims(aud=ours), directory)
    assert TENANT is peek_tenant(claims(aud=[["c9"], "c1"]), directory)
    # Its rules refuse it.
    for foreign in ("c3", [], ABSENT, 5, {}):
        assert TENANT is peek_tenant(claims(aud=foreign), directory)
    assert Code.AUDIENCE == refusal(peek_tenant, claims(aud=["c1", "c9"]), directory)


def test_audience_names_one_of_our_clients() -> None:
    """`aud` is a string or an array of strings, and one of them is ours; which one is remembered."""
    for aud, ours in (("c1", ("c1",)), (["c2"], ("c2",)), (["other", "c2", "c1"], ("c1", "c2"))):
        assert ours == rules.check_audience(claims(aud=aud), TENANT)
    for bad in (ABSENT, None, "", "C1", "c1 c2", "xc1x", [], ["other"], [["c1"]], ["c1", None], {"c1": 1}, 5):
        assert Code.AUDIENCE == refusal(rules.check_audience, claims(aud=bad), TENANT)


def test_issued_at_is_there_and_near() -> None:
    """`iat` may be 60 s ahead and `max_age_s` plus 60 s old, and must be there (BCL §4)."""
    for iat in (NOW, NOW - 1, NOW + 60, NOW - 660, NOW - 0.5):
        assert iat == times.check_issued_at(claims(iat=iat), TENANT, NOW)
    assert Code.IAT_MISSING == refusal(times.check_issued_at, claims(iat=ABSENT), TENANT, NOW)
    assert Code.IAT_FUTURE == refusal(times.check_issued_at, claims(iat=NOW + 61), TENANT, NOW)
    assert Code.TOO_OLD == refusal(times.check_issued_at, claims(iat=NOW - 661), TENANT, NOW)


def test_token_may_be_early() -> None:
    """A token is taken that is ahead by `max_ahead_s`, or by the clock skew where that is more; it counts later."""
    for tenant, ahead in (
        (TENANT, 300),
        (replace(TENANT, max_ahead_s=0), 60),
        (replace(TENANT, clock_skew_s=400), 400),
    ):
        for name, code in (("iat", Code.IAT_FUTURE), ("nbf", Code.NOT_YET_VALID)):
            early = {"exp": NOW + 900, name: NOW + ahead}
            assert NOW + ahead - tenant.clock_skew_s == accepted(tenant, **early).valid_at(tenant)
            assert code == refusal(accepted, tenant, **{**early, name: NOW + ahead + 1})


def test_newest_date_is_the_later_one() -> None:
    """The OP's clock has shown `iat`, and `nbf` where there is one."""
    for changes, newest in (({}, NOW), ({"nbf": NOW - 9}, NOW), ({"nbf": NOW + 9}, NOW + 9), ({"iat": 0}, 0)):
        assert newest == times.newest_date(claims(**changes))


def test_expiry_is_there_and_ahead() -> None:
    """`exp` must be there since errata set 1, and may have passed by less than the clock skew."""
    for exp in (NOW + 120, NOW + 300, NOW + 0.5, NOW - 59):
        assert exp == times.check_expiry(claims(exp=exp), TENANT, NOW)
    assert Code.EXP_MISSING == refusal(times.check_expiry, claims(exp=ABSENT), TENANT, NOW)
    assert Code.EXPIRED == refusal(times.check_expiry, claims(exp=NOW - 60), TENANT, NOW)


def test_expiry_may_be_absent_where_the_op_omits_it() -> None:
    """With `require_exp: false` a token without `exp` passes; one that has it is still held to it."""
    tenant = replace(TENANT, require_exp=False)

    assert times.check_expiry(claims(exp=ABSENT), tenant, NOW) is None
    assert Code.EXPIRED == refusal(times.check_expiry, claims(exp=NOW - 120), tenant, NOW)
    assert Code.MALFORMED == refusal(times.check_expiry, claims(exp=None), tenant, NOW)


def test_unknown_ops_are_held_to_the_specification() -> None:
    """The default preset relaxes nothing; the OPs known to omit `exp` do without it."""
    assert {} == PRESETS["generic"]
    assert {"keycloak", "ping", "hydra", "lemonldap"} <= {
        n for n, p in PRESETS.items() if p.get("require_exp") is False
    }


def test_not_before_is_honoured_where_present() -> None:
    """`nbf` is optional, and in force when it is there (RFC 7519 §4.1.5)."""
    for nbf in (ABSENT, NOW, NOW + 60):
        times.check_not_before(claims(nbf=nbf), TENANT, NOW)
    assert Code.NOT_YET_VALID == refusal(times.check_not_before, claims(nbf=NOW + 61), TENANT, NOW)


@pytest.mark.parametrize("value", ["1795176000", True, None, -1, float("nan"), float("inf"), 253402300800, [], {}])
def test_numeric_date_is_a_bounded_number(value: object) -> None:
    """A date is a JSON number of seconds up to the year 9999: no text, no truth value, no infinity (RFC 7519 §2)."""
    assert Code.MALFORMED == refusal(times.check_issued_at, claims(iat=value), TENANT, NOW)
    assert Code.MALFORMED == refusal(times.check_expiry, claims(exp=value), TENANT, NOW)
    assert Code.MALFORMED == refusal(times.check_not_before, claims(nbf=value), TENANT, NOW)


def test_token_id_is_a_plain_string() -> None:
    """`jti` is any non-empty string of bearable length without controls; it need not be a UUID."""
    for jti in ("A1B2C3D4", "x", "j" * 512, "Ünïcode", "a b", "a\u200db", "a\u3000b", "\ue000", "\u00ad"):
        assert jti == rules.check_token_id(claims(jti=jti))
    for bad in (ABSENT, None, "", 5, ["j1"], "j" * 513, "a\nb", "\ud800"):
        assert Code.JTI_MISSING == refusal(rules.check_token_id, claims(jti=bad))


def test_sub_sid_or_both() -> None:
    """A token names a user, a session, or both; null counts as absent."""
    for sub, sid in (("u1", "s1"), ("u1", ABSENT), (ABSENT, "s1"), ("u1", None), (None, "s1")):
        expected = tuple(None if value is ABSENT else value for value in (sub, sid))
        assert expected == rules.check_subject(claims(sub=sub, sid=sid), TENANT)
    for sub, sid in ((ABSENT, ABSENT), (None, None), ("", ABSENT), ("", "")):
        assert Code.NO_SUBJECT == refusal(rules.check_subject, claims(sub=sub, sid=sid), TENANT)


def test_empty_sub_beside_a_sid_counts_as_absent() -> None:
    """The `sid` names the session that ends; an empty `sid` is refused, it would end every session of the user."""
    assert (None, "s1") == rules.check_subject(claims(sub=""), TENANT)
    assert Code.MALFORMED == refusal(rules.check_subject, claims(sid=""), TENANT)
    assert "session" == accepted(sub="").to_evictions(TENANT, NOW)[0].scope


@pytest.mark.parametrize("name", ["sub", "sid"])
@pytest.mark.parametrize("value", [5, True, [], ["u1"], {}, "u" * 513, "a\x00", "\x7f", "\ud800"])
def test_sub_and_sid_are_plain_strings(name: str, value: object) -> None:
    """A `sub` or `sid` that is there is a non-empty string of bearable length, whatever the other one is."""
    with pytest.raises(LogoutTokenError, match=f"^{name} ") as caught:
        rules.check_subject(claims(**{name: value}), TENANT)
    assert Code.MALFORMED == caught.value.code


def test_sid_may_be_required() -> None:
    """With `require_sid` a token for the whole user is refused (`backchannel_logout_session_required`)."""
    tenant = replace(TENANT, require_sid=True)

    assert ("u1", "s1") == rules.check_subject(claims(), tenant)
    assert Code.SID_MISSING == refusal(rules.check_subject, claims(sid=ABSENT), tenant)


def test_events_hold_the_logout_member_as_an_object() -> None:
    """The member's value is an object, empty or not; other members may be anything."""
    good: list[Any] = [{}, {"x": 1}]
    for events in (*({LOGOUT_EVENT: value} for value in good), {LOGOUT_EVENT: {}, "revoke_offline_access": True}):
        rules.check_events(claims(events=events))
    no_objects: list[Any] = [None, "{}", True, [], 0]
    for bad in (
        ABSENT,
        None,
        {},
        [LOGOUT_EVENT],
        json.dumps({LOGOUT_EVENT: {}}),
        {LOGOUT_EVENT.replace("http:", "https:"): {}},
        {"http://schemas.openid.net/event/foobar": {}},
        *({LOGOUT_EVENT: value} for value in no_objects),
    ):
        assert Code.EVENTS == refusal(rules.check_events, claims(events=bad))


def test_nonce_is_not_there() -> None:
    """`nonce` must be absent, not merely empty, so that no ID token passes."""
    rules.check_no_nonce(claims())
    for nonce in ("x", "", None, 0):
        assert Code.NONCE == refusal(rules.check_no_nonce, claims(nonce=nonce))


def test_other_claims_are_ignored() -> None:
    """Claims nobody understands change nothing (BCL §2.4)."""
    parsed = parse_jws(token(ignored_claim={"a": [1]}, typ="Logout", azp="other"))

    assert "j1" == lt.accept(parsed, TENANT, key_set(rsa_pair("k1").published()), NOW).jti


def test_logout_reason_is_kept_when_it_is_short_text() -> None:
    """A `logout_reason` becomes the event's reason; one that is long, not text or not printable is dropped."""
    keys = key_set(rsa_pair("k1").published())
    reasons = ["user_logout", "r" * 512, 5, "r" * 513, "a\nb"]

    kept = [lt.accept(parse_jws(token(logout_reason=reason)), TENANT, keys, NOW).reason for reason in reasons]

    assert ["user_logout", "r" * 512, None, None, None] == kept


@pytest.mark.parametrize("name", ["a", "u 1", "ü", "a\u00a0b", "a\u200bb", "\U000e0001", "名"])
def test_name_may_have_any_character_but_a_control(name: str) -> None:
    """Also one that no screen shows; a control, and half a character, would be another name in a digest or a log."""
    assert rules.is_plain_id(name)
    assert not any(rules.is_plain_id(f"{name}{control}") for control in "\0\n\x1f\x7f\x85\x9f\ud800\udfff")
