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
    from receiver.core.tenants import TenantDirectory
    from receiver.ingress.inputs.message import HttpInput, InputJob
    from receiver.ingress.inputs.token_verifier import TokenVerifier
    from receiver.ingress.intake import Intake
    from receiver.ops.sections import PublicSettings

Listener = Literal["public", "api"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Where one input is reached.

    Attributes:
        input: What reads and answers the requests.
        listener: `public` for OPs; `api` for callers with a token that may order, under `/v1`.
        path: Exact, without a trailing slash.
        methods: Answered; any other is 405.
        tenant_in_path: Whether `path/{tenant}` is answered too, for that tenant only.
        body: What a body may be; None where no body is read.
    """

    input: HttpInput
    listener: Listener
    path: str
    methods: tuple[str, ...] = ("POST",)
    tenant_in_path: bool = False
    body: BodyLimits | None


def input_table(tenants: TenantDirectory, verifier: TokenVerifier, public: PublicSettings) -> tuple[Row, ...]:
    """Every input there is."""
    form = BodyLimits(media_type=FORM, max_bytes=public.max_body_bytes, timeout_s=public.body_timeout_s)
    return (
        Row(input=BackChannel(verifier), listener="public", path=backchannel.PATH, tenant_in_path=True, body=form),
        Row(input=OperatorOrders(tenants), listener="api", path="/evictions", body=json_body.LIMITS),
    )


def input_jobs(tenants: TenantDirectory, intake: Intake) -> tuple[InputJob, ...]:
    """Every input that polls or watches. There is none yet."""
    del tenants, intake
    return ()
