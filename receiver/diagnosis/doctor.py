"""`receiver doctor`: ask the OPs and Redis, judge, and say it one line each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from receiver.bus.events.unknown import Unknown, unknown
from receiver.bus.link.connection import Failure
from receiver.bus.link.inspect import inspect, inspect_standbys
from receiver.bus.streams import StreamNotes
from receiver.bus.watches import Watch
from receiver.core.tokens.discovery import address_of
from receiver.diagnosis.cache_checks import check_cache, check_index, check_unknown, sample
from receiver.diagnosis.caches import LAST
from receiver.diagnosis.checks import Area, Check, Outcome
from receiver.diagnosis.databases import check_listeners, find_listeners
from receiver.diagnosis.endpoint_checks import check_endpoint, endpoints
from receiver.diagnosis.op import DatingFetcher, OpDocument, fetch, find_elsewhere
from receiver.diagnosis.op_checks import OPFacts, check_op
from receiver.diagnosis.redis_checks import check_redis, check_standbys
from receiver.diagnosis.source_checks import SourceFacts, check_sources
from receiver.diagnosis.terminal import DIM, GREEN, RED, YELLOW, dump, mark, plain, table
from receiver.evictor import NAME as EVICTOR
from receiver.evictor.opening import open_caches
from receiver.ops.redis_settings import EMBEDDED
from receiver.outbound.fetch import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from receiver.core.tenants import Tenant
    from receiver.ops.settings import Settings
    from receiver.ops.tenant_settings import TenantSettings

URGENCY: Mapping[Outcome, int] = {"failed": 0, "warning": 1}
"""What comes first; among hundreds of tenants nothing else would be seen."""

MARKS = {"ok": ("✓", GREEN), "failed": ("✗", RED), "warning": ("!", YELLOW), "note": ("·", DIM)}


async def examine(settings: Settings) -> list[Check]:
    """Every check of these settings: what failed first, then warnings; of each Redis, caches, tenant by tenant."""
    async with DatingFetcher(settings) as fetcher:
        redis_checks, cache_checks, source_checks, *op_checks = await asyncio.gather(
            _examine_redis(settings),
            _examine_caches(settings),
            _examine_sources(settings),
            *(_examine_op(fetcher, tenant.to_tenant()) for tenant in settings.all_tenants),
            *(_examine_endpoints(fetcher, tenant, settings.public.url) for tenant in settings.all_tenants),
        )
    of_ops = [check for checks in op_checks for check in checks]
    checks = [*redis_checks, *cache_checks, *of_ops, *source_checks, *_check_api(settings)]
    if not settings.all_tenants:
        fix = "Set RECEIVER_ISSUER and RECEIVER_CLIENT_IDS, or tenants: in the file given by --config."
        checks.append(Area("tenants").failed("configured", "none: every logout is refused", fix))
    return sorted(checks, key=lambda check: URGENCY.get(check.outcome, len(URGENCY)))


def _check_api(settings: Settings) -> list[Check]:
    tokens = settings.internal.tokens
    if not tokens:
        return []
    if unscoped := [token.name for token in tokens if not token.scoped]:
        text = f"may do everything: {', '.join(unscoped)}"
        return [Area("api").warning("tokens", text, "Give each a name and scopes in internal.token_file.")]
    return [Area("api").ok("tokens", ", ".join(token.name for token in tokens))]


async def _examine_redis(settings: Settings) -> list[Check]:
    if settings.redis.url == EMBEDDED:
        text = "embedded: events live in a child process of `receiver serve` and end with it"
        return [Area("redis").warning("reachable", text, "Set redis.url to the Redis your apps share.")]
    async with settings.redis.opened() as client:
        wait = settings.redis.wait_replicas
        facts = await inspect(client, settings.redis.key_names, wait_replicas=wait)
        checks = list(check_redis(facts, wait_replicas=wait))
        if not facts.problem:
            checks += check_standbys(await inspect_standbys(client))
            checks += check_listeners(await find_listeners(client, settings.redis.key_names), settings.apps)
        return checks


async def _examine_caches(settings: Settings) -> list[Check]:
    if not settings.caches or settings.redis.url == EMBEDDED:
        return []
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(settings.redis.opened())
        caches = await open_caches(settings, client, stack)
        found = await asyncio.gather(*(sample(cache, caches) for cache in caches))
        try:
            in_part = await unknown(client, settings.redis.key_names, app=EVICTOR, last=LAST)
        except Failure:
            # The checks of Redis say so.
            in_part = Unknown(0, {})
    keyed = bool(settings.evictor.index_secrets)
    of_caches = [check for facts in found for check in (*check_cache(facts), *check_unknown(facts.name, in_part))]
    return [*of_caches, *check_index(found, keyed=keyed)]


async def _examine_sources(settings: Settings) -> list[Check]:
    tenants = [one for one in settings.all_tenants if any((one.ssf, one.graph, one.keycloak))]
    if not tenants or settings.redis.url == EMBEDDED:
        return []
    keys, checks = settings.redis.key_names, []
    async with settings.redis.opened() as client:
        notes = StreamNotes(client, keys)
        try:
            for tenant in tenants:
                facts = SourceFacts(
                    stream=await notes.read(tenant.name),
                    graph=await Watch(client, keys, f"graph:{tenant.name}").position(),
                    realm=await Watch(client, keys, f"keycloak:{tenant.name}").position(),
                    now_s=time.time(),
                )
                checks += list(check_sources(tenant, facts))
        except Failure:
            # The checks of Redis say so.
            return []
    return checks


async def _examine_endpoints(fetcher: DatingFetcher, settings: TenantSettings, public_url: str | None) -> list[Check]:
    tenant, checks = settings.to_tenant(), []
    for endpoint in endpoints(settings, tenant, public_url):
        answer = await fetcher.call("POST", endpoint.url, tenant, b"", endpoint.media_type)
        answered = answer.reason if isinstance(answer, NoAnswer) else answer.status
        checks.append(check_endpoint(tenant.name, endpoint, answered))
    return checks


async def _examine_op(fetcher: DatingFetcher, tenant: Tenant) -> list[Check]:
    metadata: OpDocument | None = None
    jwks_uri: object = tenant.jwks_uri
    if jwks_uri is None:
        metadata = await fetch(fetcher, address_of(tenant), tenant)
        jwks_uri = metadata.document.get("jwks_uri") if metadata.document else None
    jwks = await fetch(fetcher, jwks_uri, tenant) if isinstance(jwks_uri, str) else None
    ahead = [
        fetcher.ahead_s.get(urlsplit(published.url).netloc) for published in (metadata, jwks) if published is not None
    ]
    ahead_s = next((seconds for seconds in ahead if seconds is not None), None)
    facts = OPFacts(
        tenant=tenant,
        metadata=metadata,
        jwks=jwks,
        ahead_s=ahead_s,
        metadata_elsewhere=await find_elsewhere(fetcher, metadata, tenant, has="issuer"),
        jwks_elsewhere=await find_elsewhere(fetcher, jwks, tenant, has="keys"),
    )
    return list(check_op(facts))


def passed(checks: Sequence[Check]) -> bool:
    """Whether nothing failed; warnings do not count."""
    return not any(check.outcome == "failed" for check in checks)


def to_json(checks: Sequence[Check]) -> str:
    """The documented shape: `passed` and `checks`."""
    return dump(
        {
            "passed": passed(checks),
            "checks": [
                {
                    "area": check.area,
                    "check": check.name,
                    "outcome": check.outcome,
                    "text": check.text,
                    "fix": check.fix or None,
                }
                for check in checks
            ],
        },
        indent=2,
    )


def to_text(checks: Sequence[Check], *, colours: bool = False) -> str:
    """One line per check, the fix at its end, and the sum last."""
    texts = [plain(f"{check.text}. {check.fix}" if check.fix else check.text) for check in checks]
    rows = table([(check.area, check.name, text) for check, text in zip(checks, texts, strict=True)])
    signs = [mark(check.outcome, MARKS, colours=colours) for check in checks]
    lines = [f"{sign} {row}" for sign, row in zip(signs, rows, strict=True)]
    failed, warned = (sum(check.outcome == outcome for check in checks) for outcome in ("failed", "warning"))
    return "\n".join([*lines, "", f"{failed} failed, {warned} warnings, {len(checks)} lines"])
