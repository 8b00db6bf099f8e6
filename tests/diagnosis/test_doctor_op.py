"""`receiver doctor` on OPs: what each of them publishes, and what that means for logouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.diagnosis.op_checks import OPFacts, check_op
from receiver.ops.tenant_settings import TenantSettings
from tests.diagnosis.examined import examined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.diagnosis.checks import Check
    from tests.support.op import OP


ADVERTISED = {
    "backchannel_logout_supported": True,
    "backchannel_logout_session_supported": True,
    "id_token_signing_alg_values_supported": ["RS256", "ES256"],
}
"""What an OP with back-channel logout publishes."""


def outcomes(checks: Mapping[str, Check]) -> dict[str, str]:
    """Check to outcome."""
    return {name: check.outcome for name, check in checks.items()}


async def test_good_op(op: OP) -> None:
    """An OP that does everything we need passes every check, and the URL to register is shown."""
    op.metadata = ADVERTISED

    checks = await examined(op)

    assert {
        "discovery": "ok",
        "issuer": "ok",
        "backchannel": "ok",
        "session": "ok",
        "jwks": "ok",
        "algorithms": "ok",
        "clock": "ok",
        "register": "note",
    } == outcomes(checks)
    assert "https://<your public host>/backchannel-logout/t1" in checks["register"].text


async def test_issuer_that_differs_by_a_slash(op: OP) -> None:
    """A trailing slash is named as the difference."""
    op.metadata = {"issuer": op.issuer + "/"}

    check = (await examined(op))["issuer"]

    assert "failed" == check.outcome
    assert "only a trailing slash differs: it has one, the configured one has none" in check.text


async def test_inner_and_outer_name_of_an_op(op: OP) -> None:
    """An OP asked by its inner name publishes that name: the issuer, which its tokens bear, is to be kept."""
    op.metadata = {"issuer": "http://keycloak.sso.svc:8080/t1"}

    check = (await examined(op, discovery_url=f"{op.issuer}/.well-known/openid-configuration"))["issuer"]

    assert "failed" == check.outcome
    assert f'Set jwks_uri, here "{op.issuer}/jwks"' in check.fix
    assert "Keep the issuer" in check.fix


async def test_op_without_backchannel_logout(op: OP) -> None:
    """An OP that does not advertise back-channel logout is a warning that says what else to do."""
    check = (await examined(op))["backchannel"]

    assert "warning" == check.outcome
    assert "front-channel" in check.fix


@pytest.mark.parametrize(
    ("metadata", "check", "outcome"),
    [
        ({"backchannel_logout_supported": True}, "backchannel", "ok"),
        ({"frontchannel_logout_supported": True}, "frontchannel", "ok"),
        ({}, "frontchannel", "warning"),
    ],
)
async def test_tenant_with_front_channel_logout(op: OP, metadata: dict[str, Any], check: str, outcome: str) -> None:
    """Where the tenant takes front-channel logout in, an OP that has only that is as it should be."""
    op.metadata = metadata

    assert outcome == (await examined(op, frontchannel={}))[check].outcome


async def test_op_without_session_id(op: OP) -> None:
    """No `sid` is a warning; one that names the setting where this tenant requires it."""
    op.metadata = {"backchannel_logout_supported": True}

    assert "end every session" in (await examined(op))["session"].text
    assert "Set require_sid: false." == (await examined(op, require_sid=True))["session"].fix


def test_entra_is_told_plainly() -> None:
    """Entra ID sends no back-channel logout, and the ways around it are named."""
    settings = TenantSettings(
        name="entra", preset="entra", issuer="https://login.microsoftonline.com/x/v2.0", client_ids=["c1"]
    )

    checks = check_op(OPFacts(tenant=settings.to_tenant(), metadata=None, jwks=None, ahead_s=None))

    check = next(check for check in checks if check.name == "backchannel")
    assert "Entra ID sends no back-channel logout" in check.text
    assert all(way in check.fix for way in ("front-channel", "broker OP"))


def keycloak(op: OP, **more: Any) -> dict[str, Any]:
    """What a realm of Keycloak publishes beside what any OP does."""
    return {
        **ADVERTISED,
        "authorization_endpoint": f"{op.issuer}/protocol/openid-connect/auth",
        "scopes_supported": ["openid", "offline_access", "profile"],
        **more,
    }


async def test_keycloak_that_offers_offline_access(op: OP) -> None:
    """Keycloak that offers `offline_access` is a warning that says where the cure is."""
    op.metadata = keycloak(op)

    check = (await examined(op))["offline_access"]

    assert "warning" == check.outcome
    assert "docs/presets.md" in check.fix


async def test_offline_access_elsewhere(op: OP) -> None:
    """Other OPs, and a realm without that scope, are not warned about."""
    op.metadata = {**ADVERTISED, "scopes_supported": ["openid", "offline_access"]}
    assert "offline_access" not in await examined(op)

    op.metadata = keycloak(op, scopes_supported=["openid"])
    assert "offline_access" not in await examined(op)


async def test_key_that_keycloak_has_not_made_yet(op: OP) -> None:
    """An algorithm that Keycloak offers and has no key for yet is a warning; at another OP it fails."""
    op.metadata = keycloak(op)
    assert "warning" == (await examined(op, algorithms=["ES256"]))["algorithms"].outcome

    op.metadata = ADVERTISED
    assert "failed" == (await examined(op, algorithms=["ES256"]))["algorithms"].outcome


async def test_op_that_is_down(op: OP) -> None:
    """Discovery that answers 500 fails with the address and the status."""
    op.status = 500

    checks = await examined(op)

    assert {"discovery": "failed", "clock": "note", "register": "note"} == outcomes(checks)
    assert "HTTP 500" in checks["discovery"].text
