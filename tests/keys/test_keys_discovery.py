"""Where a tenant's keys come from: discovery that is really the issuer's, or an address of the operator's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.keys.web import serving
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from tests.keys.conftest import Start
    from tests.keys.rig import Rig
    from tests.support.op import OP

TID = "9188040d-6c67-4c5b-b112-36a304b66dad"


async def test_keys_come_from_discovery(rig: Rig, op: OP) -> None:
    """The first token causes one discovery and one key fetch; the second none."""
    answers = [await rig.post(op.token()), await rig.post(op.token())]

    assert [200, 200] == [answer.status for answer in answers]
    assert (1, 1) == (op.discovery_fetches, op.jwks_fetches)


@pytest.mark.parametrize("issuer", ["https://other.example", None, 7, "trailing slash"])
async def test_metadata_of_another_issuer_is_refused(rig: Rig, op: OP, issuer: object) -> None:
    """Metadata whose issuer is not the configured one, letter by letter, gives no keys, and the operator is told."""
    op.metadata["issuer"] = op.issuer + "/" if issuer == "trailing slash" else issuer

    answer = await rig.post(op.token())

    assert (503, "jwks_unavailable") == (answer.status, answer.code)
    assert 0 == op.jwks_fetches
    assert f"its issuer is not the configured {op.issuer}" in rig.problem


@pytest.mark.parametrize("jwks_uri", [None, 7, ["x"]])
async def test_metadata_without_jwks_uri_is_refused(rig: Rig, op: OP, jwks_uri: object) -> None:
    """Metadata without a jwks_uri string gives no keys, and the operator is told."""
    op.metadata["jwks_uri"] = jwks_uri

    answer = await rig.post(op.token())

    assert (503, "jwks_unavailable") == (answer.status, answer.code)
    assert rig.problem.endswith("has no jwks_uri")


@pytest.mark.parametrize(
    "jwks_uri", ["http://op.example/jwks", "file:///etc/passwd", "//op.example/jwks", "", "https:"]
)
async def test_jwks_uri_must_be_https(rig: Rig, op: OP, jwks_uri: str) -> None:
    """A jwks_uri that is not https, or no address at all, is not fetched."""
    op.metadata["jwks_uri"] = jwks_uri

    answer = await rig.post(op.token())

    assert (503, "jwks_unavailable") == (answer.status, answer.code)
    assert jwks_uri in rig.problem


async def test_explicit_jwks_uri_needs_no_discovery(start: Start, op: OP) -> None:
    """With jwks_uri set no discovery document is asked for."""
    rig = await start(jwks_uri=op.issuer + "/jwks")

    answer = await rig.post(op.token())

    assert 200 == answer.status
    assert (0, 1) == (op.discovery_fetches, op.jwks_fetches)


async def test_query_of_jwks_uri_is_kept(start: Start, op: OP) -> None:
    """A jwks_uri's query reaches the OP letter by letter (Entra: `?appid=` for custom signing keys)."""

    async def keys(_: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": op.keys})

    async with serving(keys) as site:
        rig = await start(jwks_uri=f"{site.origin}/discovery/keys?appid=c1&x=%2F%41")

        answer = await rig.post(op.token())

    assert 200 == answer.status
    assert ["/discovery/keys?appid=c1&x=%2F%41"] == site.asked


async def test_discovery_url_in_place_of_the_issuers(start: Start, op: OP) -> None:
    """With discovery_url set the metadata comes from there, and its issuer still has to be the configured one."""
    issuer = "https://issuer.example"
    op.metadata["issuer"] = issuer
    rig = await start(issuer=issuer, discovery_url=op.issuer + "/.well-known/openid-configuration")

    answer = await rig.post(op.token(iss=issuer))

    assert 200 == answer.status
    assert (1, 1) == (op.discovery_fetches, op.jwks_fetches)


async def test_templated_issuer(start: Start, op: OP) -> None:
    """A multi-tenant issuer: metadata carries the template, and a token of an allowed tenant id verifies."""
    template = op.origin + "/{tenantid}/v2.0"
    op.metadata["issuer"] = template
    rig = await start(
        issuer=template,
        allowed_tenant_ids=[TID],
        discovery_url=op.issuer + "/.well-known/openid-configuration",
    )
    iss = template.replace("{tenantid}", TID)

    allowed = await rig.post(op.token(iss=iss, tid=TID))
    stranger = TID.replace("9188", "0000")
    refused = await rig.post(op.token(iss=template.replace("{tenantid}", stranger), tid=stranger))

    assert 200 == allowed.status
    assert (400, "issuer") == (refused.status, refused.code)


async def test_templated_issuer_asks_organizations(start: Start, op: OP) -> None:
    """Without discovery_url the template's metadata is asked for at `organizations`, never at a token's tenant id."""
    template = op.origin + "/{tenantid}/v2.0"
    rig = await start(issuer=template, allowed_tenant_ids=[TID])

    answer = await rig.post(op.token(iss=template.replace("{tenantid}", TID), tid=TID))

    assert 503 == answer.status
    assert ["/organizations/v2.0/.well-known/openid-configuration"] == op.other_requests


@pytest.mark.parametrize(
    ("key_issuer", "status"),
    [
        ("{tenantid}", 200),
        ("{tenantId}", 200),
        (TID, 200),
        ("0000040d-6c67-4c5b-b112-36a304b66dad", 400),
    ],
)
async def test_key_of_another_issuer_in_the_same_set(start: Start, op: OP, key_issuer: str, status: int) -> None:
    """A key that names an issuer, templated or exact, verifies tokens of that issuer only."""
    template = op.origin + "/{tenantid}/v2.0"
    op.metadata["issuer"] = template
    op.keys = [rsa_pair("k1").published(issuer=template.replace("{tenantid}", key_issuer))]
    rig = await start(
        issuer=template,
        allowed_tenant_ids=[TID],
        require_key_issuer=True,
        discovery_url=op.issuer + "/.well-known/openid-configuration",
    )

    answer = await rig.post(op.token(iss=template.replace("{tenantid}", TID), tid=TID))

    assert status == answer.status
    assert status == 200 or answer.code == "key_issuer"


async def test_keys_of_one_tenant_are_not_anothers(start: Start, op: OP) -> None:
    """A token of t1 signed with a key no one at t1 published is refused, whatever else this process knows."""
    rig = await start()

    answer = await rig.post(op.token(key=rsa_pair("k2"), header={"kid": "k2"}))

    assert (400, "unknown_kid") == (answer.status, answer.code)
