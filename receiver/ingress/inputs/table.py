"""The table of inputs over HTTP: where each is reached, and what its requests may be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from receiver.bus.callbacks import Callbacks
from receiver.ingress.http import json_body
from receiver.ingress.http.body import FORM, JSON, BodyLimits
from receiver.ingress.inputs import backchannel, commands, frontchannel, revocation, ssf_push
from receiver.ingress.inputs.admin import OperatorOrders
from receiver.ingress.inputs.backchannel import BackChannel
from receiver.ingress.inputs.commands import Commands
from receiver.ingress.inputs.frontchannel import FrontChannel
from receiver.ingress.inputs.message import HttpInput, PromptInput
from receiver.ingress.inputs.revocation import GlobalRevocation
from receiver.ingress.inputs.ssf_push import PushedEvents

if TYPE_CHECKING:
    from receiver.ingress.inputs.resources import Resources

ListenerName = Literal["public", "api"]


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
        prompt: The input, where it is one that most often need not wait.
    """

    input: HttpInput
    listener: ListenerName
    path: str
    methods: tuple[str, ...] = ("POST",)
    tenant_in_path: Literal["none", "optional", "required"] = "none"
    body: BodyLimits | None
    prompt: PromptInput | None = field(init=False)

    def __post_init__(self) -> None:
        # Asked once: it would be half a microsecond of each request.
        object.__setattr__(self, "prompt", self.input if isinstance(self.input, PromptInput) else None)


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
        Row(
            input=PushedEvents(resources.security_events, resources.push_streams), listener="public",
            path=ssf_push.PATH, tenant_in_path="required", body=replace(form, media_type=ssf_push.MEDIA_TYPE),
        ),
    )  # fmt: skip
