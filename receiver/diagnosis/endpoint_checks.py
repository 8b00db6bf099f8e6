"""Whether OPs can call what the tenants offer beside logout tokens: pure judgement of what one call there brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core.tokens.command_token import COMMANDS
from receiver.diagnosis.checks import Area, Check
from receiver.ingress.inputs import commands, revocation, ssf_push
from receiver.ingress.inputs.address import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.core.tenants import Tenant
    from receiver.ops.tenant_settings import TenantSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address that the tenant's OP is to call.

    Attributes:
        name: Of the check, and of the section of the settings.
        url: The address; where tokens are for it, their `aud`.
        media_type: Of an empty call, by which it is looked whether a receiver answers there.
        answers: Status of the answer to that call.
        offers: What is offered there, in words.
    """

    name: str
    url: str
    media_type: str
    answers: int
    offers: str


def endpoints(settings: TenantSettings, tenant: Tenant, public_url: str | None) -> Iterator[Endpoint]:
    """Those of one tenant; none where `public.url` is not known."""
    if public_url is None:
        return
    form, json = "application/x-www-form-urlencoded", "application/json"
    if tenant.commands is not None:
        url = address_of(public_url, commands.PATH, tenant)
        yield Endpoint(name="commands", url=url, media_type=form, answers=400, offers=f"offered: {', '.join(COMMANDS)}")
    if tenant.global_revocation is not None:
        url = address_of(public_url, revocation.PATH, tenant)
        yield Endpoint(name="global_revocation", url=url, media_type=json, answers=401, offers="tokens name it in aud")
    if settings.ssf is not None and settings.ssf.delivery == "push":
        url = address_of(public_url, ssf_push.PATH, tenant)
        yield Endpoint(
            name="ssf", url=url, media_type=ssf_push.MEDIA_TYPE, answers=400, offers="events are pushed there"
        )


def check_endpoint(tenant: str, endpoint: Endpoint, answered: int | str) -> Check:
    """Whether a receiver that knows this tenant answers there.

    Args:
        tenant: Its name.
        endpoint: The address.
        answered: The HTTP status of an empty call, or why there was no answer.
    """
    area = Area(tenant)
    if answered == endpoint.answers:
        return area.ok(endpoint.name, f"{endpoint.url} is answered by a receiver; {endpoint.offers}")
    if isinstance(answered, str):
        # From where the OP calls it may be another matter.
        return area.warning(
            endpoint.name, f"{endpoint.url} cannot be reached from here: {answered}",
            "Check public.url, and that the way from the OP to that address is open.",
        )  # fmt: skip
    return area.failed(
        endpoint.name, f"{endpoint.url} answers HTTP {answered} to an empty call, and a receiver {endpoint.answers}",
        f"Check public.url and the route of that path; receivers there must have tenant {tenant} with this section.",
    )  # fmt: skip
