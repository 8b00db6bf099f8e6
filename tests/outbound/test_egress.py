"""The way out to each OP: CAs, how strict, proxies; and what an OP with a limit on requests is spared."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from receiver.core.tenants import Tenant
from receiver.errors import ConfigurationError, FetchError
from receiver.ops.sections import OutboundSettings
from receiver.ops.settings import Settings
from receiver.outbound.egress import Egress, Ways, ways_of
from receiver.outbound.fetch import Fetcher
from receiver.outbound.turns import Urgency
from tests.keys.web import Authority, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def tenant(name: str = "t1", *, allow_http: bool = False) -> Tenant:
    """A tenant whose OP is asked."""
    return Tenant(name=name, issuer="https://op.example", client_ids=frozenset({"portal"}), allow_http=allow_http)


@contextlib.asynccontextmanager
async def fetching(ways: Ways, **limits: float) -> AsyncIterator[Fetcher]:
    """An open fetcher."""
    fetcher = Fetcher(OutboundSettings(**limits), ways)
    await fetcher.open()
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


async def good(_: web.Request) -> web.StreamResponse:
    """A JSON object."""
    return web.json_response({"keys": []})


async def test_ca_of_one_tenant(tmp_path: Path) -> None:
    """A tenant's own CA is trusted for that tenant's OP and for no other."""
    ours = Authority(tmp_path)
    ways = Ways(Egress(), {"private": Egress(ca_file=ours.ca_file)})
    async with serving(good, ours.server_tls) as site, fetching(ways) as fetcher:
        assert {"keys": []} == await fetcher.get_json(site.origin, tenant("private"))

        with pytest.raises(FetchError, match="certificate"):
            await fetcher.get_json(site.origin, tenant("other"))


def test_system_cas_are_kept(tmp_path: Path) -> None:
    """A `ca_file` is added to the system's CAs, or alone where that is asked for."""
    ca_file = Authority(tmp_path).ca_file
    system = len(Egress().tls().get_ca_certs())

    assert system + 1 == len(Egress(ca_file=ca_file).tls().get_ca_certs())
    assert 1 == len(Egress(ca_file=ca_file, system_cas=False).tls().get_ca_certs())
    with pytest.raises(ConfigurationError):
        Egress(system_cas=False).tls()


def test_less_strict() -> None:
    """`strict_tls: false` gives up strictness alone: trust and names are verified."""
    context = Egress(strict_tls=False).tls()

    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert (ssl.CERT_REQUIRED, True) == (context.verify_mode, context.check_hostname)


async def test_certificate_that_only_newer_pythons_refuse(tmp_path: Path) -> None:
    """A certificate without an Authority Key Identifier: refused from Python 3.13 on, unless that is tolerated."""
    lax = Authority(tmp_path, key_identifiers=False)
    ways = Ways(Egress(ca_file=lax.ca_file), {"lax": Egress(ca_file=lax.ca_file, strict_tls=False)})
    async with serving(good, lax.server_tls) as site, fetching(ways) as fetcher:
        assert {"keys": []} == await fetcher.get_json(site.origin, tenant("lax"))

        if sys.version_info < (3, 13):
            assert {"keys": []} == await fetcher.get_json(site.origin, tenant("strict"))
        else:
            with pytest.raises(FetchError, match="Authority Key Identifier"):
                await fetcher.get_json(site.origin, tenant("strict"))


@pytest.mark.parametrize(
    ("url", "proxied"),
    [
        ("https://op.example.com/jwks", True),
        ("https://sso.corp.example/jwks", False),
        ("https://SSO.corp.example:8443/jwks", False),
        ("https://corp.example/jwks", True),
        ("https://a.internal/jwks", False),
        ("https://b.a.internal/jwks", False),
        ("https://internal/jwks", True),
        ("https://notinternal/jwks", True),
        ("https://user@a.internal/jwks", False),
    ],
)
def test_no_proxy(url: str, *, proxied: bool) -> None:
    """A name is that host, `.domain` all below it; everything else goes through the proxy."""
    egress = Egress(proxy_url="http://proxy:3128", no_proxy=("sso.corp.example", ".internal"))

    assert ("http://proxy:3128" if proxied else None) == egress.proxy_for(url)


def test_settings_by_tenant(tmp_path: Path) -> None:
    """A tenant changes what it names, and keeps the rest of `outbound`; an empty proxy connects directly."""
    ca_file = str(Authority(tmp_path).ca_file)
    settings = Settings(
        outbound={"proxy_url": "http://proxy:3128", "no_proxy": ["*.x"], "strict_tls": True},
        tenants=[
            {"name": "plain", "issuer": "https://a.example", "client_ids": ["c"]},
            {
                "name": "own", "issuer": "https://b.example", "client_ids": ["c"],
                "outbound": {"strict_tls": False, "proxy_url": "", "ca_file": ca_file},
            },
        ],
    )  # fmt: skip

    ways = ways_of(settings)

    assert ways.of("another") is ways.of("plain")
    assert ways.of("plain").egress.strict_tls
    own = ways.of("own").egress
    assert (False, None, ca_file) == (own.strict_tls, own.proxy_for("https://b.example"), str(own.ca_file))
    assert ("*.x",) == own.no_proxy


async def test_so_many_fetches_at_one_host() -> None:
    """Never more than `per_host` requests at once; the time limit counts from the moment of sending."""
    under_way, most = 0, 0

    async def slow(_: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return web.json_response({})

    # Twenty in turns of two take far longer together than one may.
    async with serving(slow) as site, fetching(Ways(Egress(), {}), per_host=2, timeout_s=0.45) as fetcher:
        await asyncio.gather(*(fetcher.get_json(site.origin, tenant(f"t{number}")) for number in range(20)))

    assert 2 == most


async def test_retry_after_is_obeyed() -> None:
    """What no logout waits for is asked for again after the pause; what a logout waits for fails at once in it."""
    answers = iter([web.Response(status=429, headers={"Retry-After": "1"}), web.json_response({"keys": []})])

    async def limited(_: web.Request) -> web.StreamResponse:
        return next(answers)

    async with serving(limited) as site, fetching(Ways(Egress(), {})) as fetcher:
        background = asyncio.create_task(fetcher.get_json(site.origin, tenant(), urgency=Urgency(is_urgent=False)))
        while not site.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        with pytest.raises(FetchError, match="wants no request for another"):
            await fetcher.get_json(site.origin, tenant("t2"))

        assert {"keys": []} == await background
    assert 2 == len(site.asked)
