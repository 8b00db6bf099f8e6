"""What an order about a subject or a session means, and the wire form of its origin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.core.eviction import Eviction
from receiver.core.tenants import Tenant
from tests.support.clock import NOW

TENANT: dict[str, Any] = {"name": "t1", "issuer": "https://op.example", "client_ids": frozenset({"c1"})}


def made(tenant: Tenant, **changes: Any) -> Eviction:
    """An order at this tenant."""
    order: dict[str, Any] = {
        "id": "e1", "iss": tenant.issuer, "sub": "u1", "sid": "s1", "logout_at": NOW, "received_at": NOW,
        "input": "ssf", "applies_to": "tenant", **changes,
    }  # fmt: skip
    return Eviction.for_subject(tenant, **order)


@pytest.mark.parametrize(
    ("changes", "both_claims", "scope"),
    [
        ({}, "session", "session"),
        ({}, "user", "user"),
        ({"sid": None}, "session", "user"),
        ({"sub": None}, "session", "session"),
        ({"sub": None}, "user", "session"),
    ],
    ids=["both", "both, user", "sub", "sid", "sid, user"],
)
def test_scope_follows_the_claims_and_the_tenant(changes: dict[str, Any], both_claims: Any, scope: str) -> None:
    """`sid` alone is the session, `sub` alone the user, both what the tenant says (BCL §2.7)."""
    assert scope == made(Tenant(**TENANT, both_claims=both_claims), **changes).scope


@pytest.mark.parametrize(
    ("changes", "from_sub", "accounts"),
    [({}, True, ("u1",)), ({}, False, ()), ({"sub": None}, True, ())],
    ids=["account from sub", "account not from sub", "no sub"],
)
def test_account_follows_the_tenant(changes: dict[str, Any], from_sub: bool, accounts: tuple[str, ...]) -> None:
    """The account is known from the `sub` where the tenant says that it is the account's key."""
    assert accounts == made(Tenant(**TENANT, account_from_sub=from_sub), **changes).accounts


def test_origin_is_written_only_where_there_is_one() -> None:
    """An event without an origin has no such member; one with an origin comes back as it was."""
    plain, exact = made(Tenant(**TENANT)), made(Tenant(**TENANT), origin="ssf-push")

    assert "origin" not in json.loads(plain.to_json())["data"]
    assert (plain, exact) == (Eviction.from_json(plain.to_json()), Eviction.from_json(exact.to_json()))


def test_input_of_a_later_kind_is_kept() -> None:
    """A reader keeps an input it does not know. Earlier versions drop such an event, so a new way in has an origin."""
    text = made(Tenant(**TENANT)).to_json().replace('"input":"ssf"', '"input":"graph"')

    assert "graph" == Eviction.from_json(text).input


def test_order_that_says_no_more_is_the_stricter() -> None:
    """The user has to authenticate again, and it is published at once."""
    order = made(Tenant(**TENANT))

    assert (True, 0.0) == (order.reauthenticate, order.not_before)
