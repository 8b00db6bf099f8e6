"""Entra's issuers and keys: v1 and v2, one tenant and many, sovereign clouds, custom signing keys."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from receiver.errors import Code, ConfigurationError
from receiver.ops import settings
from tests.presets.payloads import TENANT
from tests.presets.shapes import SHAPES
from tests.support.clock import NOW, Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP
from tests.support.receiver import start_receiver

if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.presets.conftest import StartFor
    from tests.presets.shape import Shape

OTHER = "82229342-1101-4ab6-817b-70c0747630f3"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of personal Microsoft accounts, which has a signing key of its own."""

V1, V2 = (next(shape for shape in SHAPES if shape.name == name) for name in ("entra: v1", "entra: v2"))
APP = V2.client_id

GLOBAL = "https://login.microsoftonline.com"
CLOUDS = {
    "global": (f"{GLOBAL}/{{tid}}/v2.0", "https://sts.windows.net/{tid}/"),
    "US government": ("https://login.microsoftonline.us/{tid}/v2.0", "https://sts.windows.net/{tid}/"),
    "China": ("https://login.partner.microsoftonline.cn/{tid}/v2.0", "https://sts.chinacloudapi.cn/{tid}/"),
}
ISSUERS = sorted({issuer for pair in CLOUDS.values() for issuer in pair})


def shape_of(issuer: str, tid: str = TENANT) -> Shape:
    """A token of one tenant's issuer, v1 or v2 by its look."""
    return replace(V2 if issuer.endswith("/v2.0") else V1, issuer=issuer.replace("{tid}", tid))


def templated(issuer: str, *allowed: str) -> dict[str, Any]:
    """The settings of an application that serves these tenants."""
    return {"issuer": issuer.replace("{tid}", "{tenantid}"), "allowed_tenant_ids": list(allowed)}


@pytest.mark.parametrize("issuer", ISSUERS)
async def test_tenant_specific_issuer(start_for: StartFor, issuer: str) -> None:
    """An application of one tenant takes that tenant's tokens, and of no other tenant, version or cloud."""
    receiver = await start_for(shape_of(issuer))

    mine = await receiver.post(shape_of(issuer).token(NOW))
    others = [
        await receiver.post(shape_of(other, tid).token(NOW))
        for other in ISSUERS
        for tid in (TENANT, OTHER)
        if (other, tid) != (issuer, TENANT)
    ]

    assert 200 == mine.status
    assert {(400, Code.ISSUER)} == {(answer.status, answer.code) for answer in others}
    assert 1 == len(await receiver.events())


@pytest.mark.parametrize("issuer", ISSUERS)
async def test_templated_issuer(start_for: StartFor, issuer: str) -> None:
    """An application of many tenants takes the tokens of those on its list; the event carries the real issuer."""
    receiver = await start_for(shape_of(issuer), **templated(issuer, TENANT, CONSUMERS))

    for tid, status in ((TENANT, 200), (CONSUMERS, 200), (OTHER, 400)):
        shape = shape_of(issuer, tid)
        answer = await receiver.post(shape.sign({**shape.payload(NOW), "tid": tid}))
        assert status == answer.status

    events = await receiver.events()
    assert [issuer.replace("{tid}", tid) for tid in (TENANT, CONSUMERS)] == [e["source"] for e in events]


@pytest.mark.parametrize(
    ("iss_tid", "tid"),
    [(TENANT, OTHER), (OTHER, TENANT), (TENANT, None), ("common", "common"), ("{tenantid}", "{tenantid}")],
)
async def test_tid_ties_the_issuer(start_for: StartFor, iss_tid: str, tid: str | None) -> None:
    """Under a template, iss and tid must name the same GUID; a nickname or the bare template is not one."""
    receiver = await start_for(V2, **templated(CLOUDS["global"][0], TENANT, OTHER))
    claims = {**V2.payload(NOW), "iss": f"{GLOBAL}/{iss_tid}/v2.0", "tid": tid}

    answer = await receiver.post(V2.sign(claims))

    assert (400, Code.ISSUER) == (answer.status, answer.code)


KEY_ISSUERS: dict[str, tuple[str | None, Code | None]] = {
    "template": (f"{GLOBAL}/{{tenantid}}/v2.0", None),
    "template spelt as in Microsoft's pseudo code": (f"{GLOBAL}/{{tenantId}}/v2.0", None),
    "this tenant": (f"{GLOBAL}/{TENANT}/v2.0", None),
    "none, as in v1 documents": (None, None),
    "another tenant": (f"{GLOBAL}/{CONSUMERS}/v2.0", Code.KEY_ISSUER),
    "template of another cloud": ("https://login.microsoftonline.us/{tenantid}/v2.0", Code.KEY_ISSUER),
    "template of the other version": ("https://sts.windows.net/{tenantid}/", Code.KEY_ISSUER),
    "something with braces": (f"{GLOBAL}/{{tenant}}/v2.0", Code.KEY_ISSUER),
}


@pytest.mark.parametrize("many", [False, True], ids=["one tenant", "many tenants"])
@pytest.mark.parametrize(("key_issuer", "code"), KEY_ISSUERS.values(), ids=KEY_ISSUERS.keys())
async def test_key_verifies_its_own_issuer_only(
    start_for: StartFor, op: OP, key_issuer: str | None, code: Code | None, many: bool
) -> None:
    """The issuer member of a key, filled with tid where it is a template, must be the token's iss."""
    receiver = await start_for(V2, **(templated(CLOUDS["global"][0], TENANT) if many else {}))
    op.keys = [V2.published(issuer=key_issuer)]

    answer = await receiver.post(V2.token(NOW))

    assert (400 if code else 200) == answer.status
    if code:
        assert code == answer.code


async def test_key_issuer_check_can_be_switched_off(start_for: StartFor, op: OP) -> None:
    """The tenant's own require_key_issuer has the last word."""
    receiver = await start_for(V2, require_key_issuer=False)
    op.keys = [V2.published(issuer=f"{GLOBAL}/{CONSUMERS}/v2.0")]

    answer = await receiver.post(V2.token(NOW))

    assert 200 == answer.status


class AppKeysOP(OP):
    """Publishes the application's own signing key only where `?appid=` names the application, as Entra does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, path="/organizations/v2.0")
        self.queries: list[str] = []

    async def _discovery(self, request: web.Request) -> web.Response:
        query = f"?{request.query_string}" if request.query_string else ""
        return web.json_response({"issuer": self.origin + "/{tenantid}/v2.0", "jwks_uri": f"{self.issuer}/jwks{query}"})

    async def _jwks(self, request: web.Request) -> web.Response:
        self.queries.append(request.query_string)
        keys = [V2.published(issuer=self.origin + "/{tenantid}/v2.0")] if request.query.get("appid") == APP else []
        return web.json_response({"keys": [*keys, rsa_pair("everybody's").published()]})


@pytest.fixture
async def app_keys_op(clock: Clock) -> AsyncIterator[AppKeysOP]:
    """An Entra on loopback."""
    async with AppKeysOP(clock) as running:
        yield running


@pytest.mark.parametrize("way", ["jwks_uri", "discovery_url"])
@pytest.mark.parametrize("appid", [APP, "somebody-else"])
async def test_custom_signing_key(  # noqa: PLR0917
    app_keys_op: AppKeysOP,
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    clock: Clock,
    way: str,
    appid: str,
) -> None:
    """The query of a configured key or discovery address is kept, so claims-mapping applications get their key."""
    shape = replace(V2, issuer=f"{app_keys_op.origin}/{TENANT}/v2.0")
    page = "/jwks" if way == "jwks_uri" else "/.well-known/openid-configuration"
    addresses = {way: f"{app_keys_op.issuer}{page}?appid={appid}"}
    tenant = shape.tenant(**templated(f"{app_keys_op.origin}/{{tid}}/v2.0", TENANT), **addresses)

    async with start_receiver(redis_server.url, redis_client, clock, [tenant]) as receiver:
        answer = await receiver.post(shape.token(NOW))

    assert (200 if appid == APP else 400) == answer.status
    assert {f"appid={appid}"} == set(app_keys_op.queries)


@pytest.mark.parametrize("version", ["", "/v2.0"])
async def test_tenant_independent_discovery(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, version: str
) -> None:
    """A templated issuer alone is enough: its metadata is that of `organizations`, and must name the template."""
    async with OP(clock, path="/organizations" + version) as op:
        issuer = f"{op.origin}/{{tid}}{version or '/'}"
        op.keys = [V2.published()]
        op.metadata = {"issuer": issuer.replace("{tid}", "{tenantid}")}
        shape = shape_of(issuer)
        tenant = shape.tenant(**templated(issuer, TENANT))

        async with start_receiver(redis_server.url, redis_client, clock, [tenant]) as receiver:
            answer = await receiver.post(shape.token(NOW))

    assert 200 == answer.status
    assert [] == op.other_requests


async def test_kid_is_asked_for_once_in_five_minutes(start_for: StartFor, clock: Clock, op: OP) -> None:
    """Tokens with unknown kids cause one key fetch in the 300 s Microsoft asks for."""
    receiver = await start_for(V2)
    await receiver.post(V2.token(NOW))
    before = op.jwks_fetches

    for seconds in (0, 299, 1):
        clock.advance(seconds)
        await receiver.post(V2.sign(V2.payload(clock()), kid="unknown"))

    assert 2 == op.jwks_fetches - before


@pytest.mark.parametrize("spelling", ["{tenantId}", "{tenant}", "{TENANTID}"])
def test_misspelt_placeholder_does_not_start(tmp_path: pathlib.Path, spelling: str) -> None:
    """An allow-list beside anything but {tenantid} is a configuration error that says how to spell it."""
    file = tmp_path / "receiver.yaml"
    file.write_text(
        f"""
tenants:
  - {{name: t1, preset: entra, client_ids: [c1], issuer: "{GLOBAL}/{spelling}/v2.0", allowed_tenant_ids: [{TENANT}]}}
"""
    )

    with pytest.raises(ConfigurationError, match=re.escape("{tenantid}")):
        settings.load(file)


@pytest.mark.parametrize(
    "host", ["{tenantId}.ciamlogin.com/x", "login.example.com/{tenantId}", "{tenantid}.x/{tenantid}"]
)
def test_placeholder_that_could_never_match_does_not_start(tmp_path: pathlib.Path, host: str) -> None:
    """Braces that are not the one placeholder are a configuration error, not an issuer no token ever has."""
    file = tmp_path / "receiver.yaml"
    file.write_text(f"""tenants: [{{name: t1, client_ids: [c1], issuer: "https://{host}/v2.0"}}]""")

    with pytest.raises(ConfigurationError, match="once and spelt so"):
        settings.load(file)
