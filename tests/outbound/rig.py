"""A revoker at work against an OP on loopback that answers as a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from receiver.core.tenants import Tenant
from receiver.ops.sections import OutboundSettings
from receiver.outbound.egress import Egress, Ways
from receiver.outbound.fetch import Fetcher
from receiver.outbound.revocation import Revoker
from receiver.outbound.revocation_endpoint import TenantRevocation
from receiver.outbound.revocation_request import RevocationClient
from tests.keys.web import Site, serving

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable


SECRET = "geheim:und%prozent"
TOKEN = "0.AXYA-refresh-token_1"
DEADLINE_S = 10.0

CLIENTS = {
    "portal": RevocationClient("client_secret_basic", SECRET),
    "orders": RevocationClient("client_secret_post", SECRET),
    "spa": RevocationClient("none"),
}


@dataclass(frozen=True)
class Received:
    """One revocation request, as the OP saw it."""

    path: str
    form: dict[str, str]
    authorization: str | None
    content_type: str


class RevokingOP:
    """Discovery and a revocation endpoint.

    Attributes:
        received: Every revocation request.
        discoveries: How often the discovery document was asked for.
        answers: What the next requests are answered, a status or a function; then 200 for all.
        metadata: Members of the discovery document beside, or in place of, the good ones; None leaves one out.
        discovery_status: What discovery answers.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.discoveries = 0
        self.answers: list[int | Callable[[web.Request], Any]] = []
        self.metadata: dict[str, Any] = {}
        self.discovery_status = 200
        self.origin = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.path.endswith("/.well-known/openid-configuration"):
            self.discoveries += 1
            document = {"issuer": self.origin, "revocation_endpoint": self.origin + "/revoke", **self.metadata}
            document = {name: value for name, value in document.items() if value is not None}
            return web.json_response(document, status=self.discovery_status)
        form = {str(name): str(value) for name, value in (await request.post()).items()}
        self.received.append(
            Received(request.raw_path, form, request.headers.get("Authorization"), request.content_type)
        )
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, int):
            return web.Response(status=answer)
        response: web.StreamResponse = await answer(request)
        return response

    @property
    def tokens(self) -> list[str]:
        """The tokens it was asked to revoke."""
        return [request.form["token"] for request in self.received]


@contextlib.asynccontextmanager
async def revoking_op(tls: ssl.SSLContext | None = None) -> AsyncIterator[RevokingOP]:
    """An OP on a free port."""
    op = RevokingOP()
    async with serving(op.handle, tls) as site:
        op.origin = site.origin
        yield op


def of(op: RevokingOP | Site, name: str = "t1", **changes: Any) -> TenantRevocation:
    """A tenant of this OP."""
    clients, endpoint = changes.pop("clients", CLIENTS), changes.pop("endpoint", None)
    tenant = Tenant(name=name, issuer=op.origin, client_ids=frozenset(clients), **changes)
    return TenantRevocation(tenant=tenant, endpoint=endpoint, clients=clients)


class Counts(Counter[tuple[str, str]]):
    """What the revoker counted."""

    def __call__(self, tenant: str, outcome: str) -> None:
        """Count one token."""
        self[tenant, str(outcome)] += 1


def make_revoker(*tenants: TenantRevocation, counts: Counts, **options: Any) -> Revoker:
    """A revoker that tries again at once."""
    limits = OutboundSettings(timeout_s=options.pop("timeout_s", 5.0), max_bytes=4096)
    fetcher = Fetcher(
        limits, Ways(Egress(ca_file=options.pop("ca_file", None), proxy_url=options.pop("proxy_url", None)), {})
    )
    return Revoker(tenants, fetcher, **{"count": counts, "retry_s": 0.001, **options})


@contextlib.asynccontextmanager
async def working(*tenants: TenantRevocation, counts: Counts, **options: Any) -> AsyncIterator[Revoker]:
    """A revoker whose task runs; closed in good order."""
    revoker = make_revoker(*tenants, counts=counts, **options)
    task = asyncio.create_task(revoker.run())
    try:
        yield revoker
    finally:
        await revoker.aclose(drain_s=DEADLINE_S)
        await task


def tokens(number: int) -> list[str]:
    """So many different tokens."""
    return [f"{TOKEN}.{n}" for n in range(number)]


def total(counts: Counts) -> int:
    """How many tokens were counted."""
    return sum(counts.values())
