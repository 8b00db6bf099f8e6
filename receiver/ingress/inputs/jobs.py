"""The table of inputs that poll or watch their source, and of what follows a command."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from receiver.ingress.inputs import graph, keycloak
from receiver.ingress.inputs.callbacks import CallbackCalls
from receiver.ingress.inputs.graph import GraphWatch
from receiver.ingress.inputs.keycloak import KeycloakWatch
from receiver.ingress.inputs.ssf_poll import PolledEvents
from receiver.outbound.access_tokens import AccessTokens
from receiver.outbound.graph import AUTHORITY, TIMEOUT_S, GraphClient
from receiver.outbound.keycloak import KeycloakClient
from receiver.outbound.msal_tokens import MsalTokens
from receiver.outbound.source import AuthorizedSource
from receiver.outbound.transmitter import TransmitterClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from receiver.core.tenants import Tenant
    from receiver.ingress.inputs.message import InputJob
    from receiver.ingress.inputs.resources import Resources
    from receiver.ops.tenant_settings import TenantSettings


def input_jobs(resources: Resources) -> tuple[InputJob, ...]:
    """Every such job of this command."""
    serves = resources.command == "serve"
    found: list[InputJob] = [*_calls(resources)] if serves else []
    for settings in resources.settings.all_tenants:
        tenant = resources.tenants.by_name(settings.name)
        if tenant is None:
            continue
        if settings.graph is not None and resources.command in {settings.graph.command, "watch-graph"}:
            found.append(_graph(resources, settings, tenant))
        if serves:
            found += [*_polled(resources, settings), *_keycloak(resources, settings, tenant)]
    return tuple(found)


def _counted(resources: Resources, tenant: Tenant, origin: str) -> Callable[[str], None]:
    return functools.partial(resources.metrics.source_answered, tenant.name, origin)


def _calls(resources: Resources) -> Iterator[CallbackCalls]:
    # Also where no tenant takes commands yet: settings change while it runs, and orders are there from before.
    if resources.settings.public.url is not None:
        yield CallbackCalls(resources)


def _polled(resources: Resources, settings: TenantSettings) -> Iterator[PolledEvents]:
    ssf = settings.ssf
    if ssf is None or ssf.delivery != "poll" or ssf.access is None:
        return
    transmitter = resources.security_events.transmitters[settings.name]
    tokens = AccessTokens(ssf.access, transmitter.tenant, resources.fetcher)
    client = TransmitterClient(transmitter, tokens, resources.fetcher, stream_id=ssf.stream_id)
    yield PolledEvents(resources, transmitter, client, ssf)


def _graph(resources: Resources, settings: TenantSettings, tenant: Tenant) -> GraphWatch:
    watched = settings.graph
    if watched is None:
        raise ValueError("a tenant without graph")
    directory = watched.directory_of(tenant.issuer) or ""
    host = urlsplit(watched.endpoint)
    tokens = MsalTokens(
        watched, authority=watched.authority or f"{AUTHORITY}/{directory}",
        scope=f"{host.scheme}://{host.netloc}/.default", tenant=tenant, fetcher=resources.fetcher,
    )  # fmt: skip
    counted = _counted(resources, tenant, graph.ORIGIN)
    source = AuthorizedSource(tokens, resources.fetcher, tenant, timeout_s=TIMEOUT_S, on_answer=counted)
    return GraphWatch(resources, tenant, directory, GraphClient(watched.endpoint, source), watched)


def _keycloak(resources: Resources, settings: TenantSettings, tenant: Tenant) -> Iterator[KeycloakWatch]:
    watched = settings.keycloak
    if watched is None:
        return
    tokens = AccessTokens(watched.access, tenant, resources.fetcher)
    source = AuthorizedSource(
        tokens, resources.fetcher, tenant, timeout_s=TIMEOUT_S, on_answer=_counted(resources, tenant, keycloak.ORIGIN)
    )
    client = KeycloakClient(watched.admin_of(tenant.issuer) or "", source)
    yield KeycloakWatch(resources, tenant, client, watched)
