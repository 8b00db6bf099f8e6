"""The tables of inputs: where each is reached, and what its requests may be; and those that poll or watch."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from receiver.bus.callbacks import Callbacks
from receiver.bus.link.lease import Lease
from receiver.bus.watches import Watch
from receiver.ingress.http import json_body
from receiver.ingress.http.body import FORM, JSON, BodyLimits
from receiver.ingress.inputs import backchannel, commands, frontchannel, revocation, ssf_push
from receiver.ingress.inputs.admin import OperatorOrders
from receiver.ingress.inputs.backchannel import BackChannel
from receiver.ingress.inputs.callbacks import NAME, CallbackCalls
from receiver.ingress.inputs.commands import Commands
from receiver.ingress.inputs.frontchannel import FrontChannel
from receiver.ingress.inputs.graph import ORIGIN, GraphWatch
from receiver.ingress.inputs.poller import LEASE_S
from receiver.ingress.inputs.revocation import GlobalRevocation
from receiver.ingress.inputs.ssf_poll import PolledEvents
from receiver.ingress.inputs.ssf_push import PushedEvents, PushStream
from receiver.outbound.access_tokens import AccessTokens
from receiver.outbound.graph import AUTHORITY, GraphClient
from receiver.outbound.msal_tokens import MsalTokens
from receiver.outbound.transmitter import TransmitterClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.ingress.inputs.message import HttpInput, InputJob
    from receiver.ingress.inputs.resources import Resources

Listener = Literal["public", "api"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Where one input is reached.

    Attributes:
        input: What reads and answers the requests.
        listener: `public` for OPs; `api` for callers with a token that may order, under `/v1`.
        path: Exact, without a trailing slash.
        methods: Answered; any other is 405.
        tenant_in_path: Whether `path/{tenant}` is answered, for that tenant only; where it is `required`, nothing
            else is.
        body: What a body may be; None where no body is read.
    """

    input: HttpInput
    listener: Listener
    path: str
    methods: tuple[str, ...] = ("POST",)
    tenant_in_path: Literal["none", "optional", "required"] = "none"
    body: BodyLimits | None


def input_table(resources: Resources) -> tuple[Row, ...]:
    """Every input that takes requests."""
    public = resources.settings.public
    form = BodyLimits(media_type=FORM, max_bytes=public.max_body_bytes, timeout_s=public.body_timeout_s)
    return (
        Row(
            input=BackChannel(resources.logout_tokens), listener="public", path=backchannel.PATH,
            tenant_in_path="optional", body=form,
        ),
        Row(
            input=FrontChannel(resources.sessions), listener="public", path=frontchannel.PATH, methods=("GET",),
            tenant_in_path="required", body=None,
        ),
        Row(
            input=GlobalRevocation(resources.signed_tokens, resources.sessions, resources.names, public.url),
            listener="public", path=revocation.PATH, tenant_in_path="required",
            body=BodyLimits(media_type=JSON, max_bytes=revocation.MAX_BODY_BYTES, timeout_s=public.body_timeout_s),
        ),
        Row(
            input=Commands(resources, Callbacks(resources.redis, resources.keys)), listener="public",
            path=commands.PATH, tenant_in_path="required", body=form,
        ),
        Row(
            input=OperatorOrders(resources.tenants, resources.names), listener="api", path="/evictions",
            body=json_body.LIMITS,
        ),
        *_pushed_events(resources, replace(form, media_type=ssf_push.MEDIA_TYPE)),
    )  # fmt: skip


def _pushed_events(resources: Resources, body: BodyLimits) -> tuple[Row, ...]:
    streams = {
        tenant.name: PushStream.of(tenant.ssf.load_push_authorization(), tenant.ssf.stream_id)
        for tenant in resources.settings.all_tenants
        if tenant.ssf is not None and tenant.ssf.delivery == "push"
    }
    pushed = PushedEvents(resources.security_events, streams)
    row = Row(input=pushed, listener="public", path=ssf_push.PATH, tenant_in_path="required", body=body)
    return (row,) if streams else ()


def input_jobs(resources: Resources) -> tuple[InputJob, ...]:
    """Every input that polls or watches, of this command."""
    watches = tuple(_graph_watches(resources))
    return (*_pollers(resources), *_callbacks(resources), *watches) if resources.command == "serve" else watches


def _callbacks(resources: Resources) -> tuple[InputJob, ...]:
    # Also where no tenant takes commands yet: settings change while it runs, and orders are there from before.
    if resources.settings.public.url is None:
        return ()
    lease = Lease(resources.redis, resources.keys.poller(NAME), lasts_s=LEASE_S, may_eval=False)
    return (CallbackCalls(resources, Callbacks(resources.redis, resources.keys), lease),)


def _graph_watches(resources: Resources) -> Iterator[GraphWatch]:
    for settings in resources.settings.all_tenants:
        graph, tenant = settings.graph, resources.tenants.by_name(settings.name)
        if graph is None or tenant is None or resources.command not in {graph.command, "watch-graph"}:
            continue
        directory = graph.directory_of(tenant.issuer) or ""
        source = f"{ORIGIN}:{tenant.name}"
        host = urlsplit(graph.endpoint)
        tokens = MsalTokens(
            graph, authority=graph.authority or f"{AUTHORITY}/{directory}",
            scope=f"{host.scheme}://{host.netloc}/.default", tenant=tenant.name, fetcher=resources.fetcher,
        )  # fmt: skip
        client = GraphClient(
            graph.endpoint, tokens, resources.fetcher, tenant=tenant.name,
            on_answer=functools.partial(resources.metrics.source_answered, tenant.name, ORIGIN),
        )  # fmt: skip
        yield GraphWatch(
            tenant, directory, client, settings=graph, watch=Watch(resources.redis, resources.keys, source),
            intake=resources.intake,
            lease=Lease(resources.redis, resources.keys.poller(source), lasts_s=LEASE_S, may_eval=False),
            metrics=resources.metrics, clock=resources.clock,
        )  # fmt: skip


def _pollers(resources: Resources) -> Iterator[PolledEvents]:
    for tenant in resources.settings.all_tenants:
        ssf = tenant.ssf
        if ssf is None or ssf.delivery != "poll" or ssf.access is None:
            continue
        transmitter = resources.security_events.transmitters[tenant.name]
        tokens = AccessTokens(ssf.access, transmitter.tenant, resources.fetcher)
        poller = resources.keys.poller(f"ssf:{tenant.name}")
        yield PolledEvents(
            transmitter,
            TransmitterClient(transmitter, tokens, resources.fetcher, stream_id=ssf.stream_id),
            events=resources.security_events,
            intake=resources.intake,
            lease=Lease(resources.redis, poller, lasts_s=LEASE_S, may_eval=False),
            endpoint=ssf.poll_endpoint,
            stream_id=ssf.stream_id,
            interval_s=ssf.poll_interval_s,
            clock=resources.clock,
        )
