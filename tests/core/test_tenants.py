"""A tenant: what is strict unless set otherwise, which issuers are its own, and how it is found for a token."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from receiver.core.tenants import LONGEST_AHEAD_S, Tenant, TenantDirectory

A, B = "11111111-aaaa-4aaa-8aaa-111111111111", "22222222-bbbb-4bbb-8bbb-222222222222"
TEMPLATE = "https://login.example/{tenantid}/v2.0"
PLAIN = Tenant(name="t1", issuer="https://op.example", client_ids=frozenset({"c1", "c2"}))
MULTI = Tenant(name="m1", issuer=TEMPLATE, client_ids=frozenset({"m"}), allowed_tenant_ids=frozenset({B, A}))


def of(guid: str) -> str:
    """The issuer of one Entra tenant."""
    return TEMPLATE.replace("{tenantid}", guid)


def test_strict_defaults() -> None:
    """What holds of an OP of which nothing was said."""
    assert {
        "name": "t1", "issuer": "https://op.example", "client_ids": {"c1", "c2"}, "allowed_tenant_ids": set(),
        "algorithms": {"RS256"}, "client_algorithms": {}, "discovery_url": None, "jwks_uri": None,
        "key_cooldown_s": 60, "require_key_issuer": False, "clock_skew_s": 60, "max_ahead_s": 300, "max_age_s": 600,
        "require_exp": True, "require_typ": False, "require_sid": False, "both_claims": "session",
        "applies_to": "tenant", "account_from_sub": True, "encrypted": False, "decryption_key": None,
        "key_management_algorithms": {"RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"},
        "content_encryption_algorithms": {"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"},
        "frontchannel": None, "commands": None, "global_revocation": None, "allow_http": False,
    } == {field.name: getattr(PLAIN, field.name) for field in fields(PLAIN)}  # fmt: skip
    assert 3600 == LONGEST_AHEAD_S


def test_private_key_is_in_no_log() -> None:
    """A tenant may be printed."""
    assert "secret" not in repr(replace(PLAIN, decryption_key="secret"))


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "https://op.example/.well-known/openid-configuration"),
        ({"issuer": "https://op.example/t//"}, "https://op.example/t/.well-known/openid-configuration"),
        ({"issuer": "https://op.example/x"}, "https://op.example/x/.well-known/openid-configuration"),
        ({"discovery_url": "https://elsewhere/m"}, "https://elsewhere/m"),
    ],
)
def test_address_of_its_metadata(changes: dict[str, Any], url: str) -> None:
    """Below the issuer, unless the operator says where (Discovery 1.0 §4.1)."""
    assert url == replace(PLAIN, **changes).metadata_url


def test_algorithms_of_its_clients() -> None:
    """Those of the tenant and of every client; each client's own where it has some."""
    tenant = replace(PLAIN, client_algorithms={"c2": frozenset({"ES256", "PS256"})})

    accepted = [sorted(one.accepted_algorithms) for one in (PLAIN, tenant)]
    assert [["RS256"], ["ES256", "PS256", "RS256"]] == accepted
    assert [["RS256"], ["ES256", "PS256"]] == [sorted(tenant.algorithms_for(client)) for client in ("c1", "c2")]


def test_issuers() -> None:
    """The one, or the template with each allowed GUID, in order."""
    assert (("https://op.example",), (of(A), of(B))) == (PLAIN.issuers, MULTI.issuers)


@pytest.mark.parametrize(
    ("tenant", "iss", "tid", "accepts", "could"),
    [
        (PLAIN, "https://op.example", None, True, True),
        (PLAIN, "https://op.example", A, True, True),
        *((PLAIN, iss, None, False, False) for iss in ("https://op.example/", "https://OP.example", "", "https://op")),
        (MULTI, of(A), A, True, True),
        # Under a template `tid` has to be the GUID in `iss`, and one that is allowed.
        (MULTI, of(A), B, False, True),
        (MULTI, of(A), None, False, True),
        (MULTI, of(A), [A], False, True),
        (MULTI, of("33333333" + A[8:]), "33333333" + A[8:], False, True),
        (MULTI, TEMPLATE, "{tenantid}", False, True),
        (replace(MULTI, allowed_tenant_ids=frozenset({"common"})), of("common"), "common", False, True),
        (MULTI, of(""), "", False, False),
        (MULTI, "https://login.example/v2.0", A, False, False),
        (MULTI, of(A) + "/", A, False, False),
        (MULTI, "https://evil.example/" + A + "/v2.0", A, False, False),
        (MULTI, "https://login.example/" + A + "/v1.0", A, False, False),
    ],
)
def test_whose_issuer_it_is(tenant: Tenant, iss: str, tid: object, *, accepts: bool, could: bool) -> None:
    """Byte for byte; what merely has a template's shape is judged by its rules, and refused."""
    assert (accepts, could) == (tenant.accepts_issuer(iss, tid), tenant.could_issue(iss))


TWIN = replace(PLAIN, name="t2", client_ids=frozenset({"c3"}))
SINGLE = replace(PLAIN, name="t3", issuer=of(A), client_ids=frozenset({"single"}))


def all_of_them() -> TenantDirectory:
    """A directory of all of these."""
    return TenantDirectory((PLAIN, TWIN, MULTI, SINGLE))


def test_directory() -> None:
    """Every tenant once, by its name; every issuer once."""
    directory = all_of_them()

    assert ([PLAIN, TWIN, MULTI, SINGLE], 4) == (list(directory), len(directory))
    assert (TWIN, None) == (directory.by_name("t2"), directory.by_name("T2"))
    assert ["https://op.example", of(A), of(B)] == directory.issuers


@pytest.mark.parametrize(
    ("iss", "client_id", "found"),
    [
        ("https://op.example", "c1", PLAIN),
        ("https://op.example", "c3", TWIN),
        ("https://op.example", "unknown", PLAIN),
        ("https://op.example/", "c1", None),
        # A tenant of exactly this issuer comes before the template that it fits, too.
        (of(A), "m", SINGLE),
        (of(B), "m", MULTI),
        (of("33333333" + A[8:]), "m", None),
        (TEMPLATE, "m", None),
    ],
)
def test_tenant_of_an_issuer(iss: str, client_id: str, found: Tenant | None) -> None:
    """Among several of one issuer the client's own, else the first."""
    assert found is all_of_them().by_issuer(iss, client_id)


@pytest.mark.parametrize(
    ("iss", "found"),
    [
        ("https://op.example", ["t1", "t2"]),
        (of(A), ["t3"]),
        (of(B), ["m1"]),
        (of("33333333" + A[8:]), ["m1"]),
        ("https://elsewhere.example", []),
    ],
)
def test_whose_rules_judge_a_token(iss: str, found: list[str]) -> None:
    """All tenants of exactly this issuer, else those whose template it fits, a GUID that is not allowed included."""
    assert found == [tenant.name for tenant in all_of_them().by_unverified_issuer(iss)]


def test_tenants_are_exchanged_while_it_runs() -> None:
    """From then on the others are there, and none of those before."""
    directory = TenantDirectory((PLAIN,))

    directory.use((MULTI,))

    assert ([MULTI], None, MULTI) == (list(directory), directory.by_issuer(PLAIN.issuer, "c1"), directory.by_name("m1"))
