"""The tables of inputs: where each is reached, and what its requests may be; and those that poll or watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from receiver.ingress.http import json_body
from receiver.ingress.http.body import FORM, BodyLimits
from receiver.ingress.inputs import backchannel
from receiver.ingress.inputs.admin import OperatorOrders
from receiver.ingress.inputs.backchannel import BackChannel

if TYPE_CHECKING:
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
        Row(input=OperatorOrders(resources.tenants), listener="api", path="/evictions", body=json_body.LIMITS),
    )  # fmt: skip


def input_jobs(resources: Resources) -> tuple[InputJob, ...]:
    """Every input that polls or watches. There is none yet."""
    del resources
    return ()
