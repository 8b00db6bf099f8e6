"""The kinds of token that can be explained: the rules of each, and how the service answers it."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from receiver.core.signals import security_event as se
from receiver.core.signals.set_claims import SET_TYPE, SETExamination
from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens import command_token, revocation_token, signed_token
from receiver.core.tokens.logout_token import PARSING
from receiver.core.tokens.rule import Examination
from receiver.diagnosis.judgement import LOGOUT, KindRules, tenant_for
from receiver.errors import ConfigurationError, LogoutTokenError, ReceiverError
from receiver.ingress.http.responses import Policy
from receiver.ingress.inputs import commands, revocation, ssf_push
from receiver.ingress.inputs.address import address_of
from receiver.ingress.inputs.sources import transmitters_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.eviction import Scope
    from receiver.core.signals.transmitter import Transmitter
    from receiver.ops.settings import Settings

Kind = Literal["logout", "set", "command", "revocation"]

_TYPES: dict[Kind, str] = {
    "set": SET_TYPE, "command": command_token.TYPE, "revocation": revocation_token.TYPE
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One token, as the endpoint of its kind sees it.

    Attributes:
        kind: Of token.
        asked: Its rules.
        tenant: The tenant of the rules; None when nothing leads to a configured tenant.
        keys_of: The owner of the keys it has to be signed with: the tenant's OP, or its transmitter.
        begin: A new examination of it.
        accepted_status: What the service answers where it accepts it.
        refused_status: What it answers to this error.
    """

    kind: Kind
    asked: KindRules
    tenant: Tenant | None
    keys_of: Tenant | None
    begin: Callable[[], Examination]
    accepted_status: Callable[[Examination], int]
    refused_status: Callable[[ReceiverError], int]


def kind_of(compact: str) -> Kind:
    """By the token's `typ`; everything without one of the others' is a logout token."""
    try:
        header = se.parse(compact).header
    except LogoutTokenError:
        return "logout"
    for kind, subtype in _TYPES.items():
        with contextlib.suppress(LogoutTokenError):
            signed_token.check_explicit_type(header, subtype)
            return kind
    return "logout"


def case_of(
    kind: Kind, compact: str, settings: Settings, tenants: TenantDirectory, path_tenant: Tenant | None, *, now_s: float
) -> Case:  # fmt: skip
    """What to judge it by.

    Args:
        kind: Of token.
        compact: The token.
        settings: The service's.
        tenants: The configured ones.
        path_tenant: The tenant the request's path would name.
        now_s: NumericDate seconds to judge by.

    Raises:
        ConfigurationError: the tenant takes no such tokens, or it is open which tenant's rules apply.
    """
    public = settings.public
    policy = Policy(unavailable_status=public.unavailable_status, retry_after_s=public.retry_after_s)
    if kind == "set":
        transmitter = _transmitter(compact, transmitters_of(settings, tenants), path_tenant)
        return _security_event(compact, transmitter, policy, now_s=now_s)
    begin = functools.partial(Examination.of_text, compact, tenants, now_s=now_s)
    tenant = tenant_for(compact, tenants, path_tenant)
    if kind == "logout":
        return Case(
            kind=kind, asked=LOGOUT, tenant=tenant, keys_of=tenant,
            begin=functools.partial(begin, path_tenant), accepted_status=lambda _: 200,
            refused_status=policy.status_of,
        )  # fmt: skip
    tenant = path_tenant or tenant
    if tenant is None:
        raise ConfigurationError("--tenant: say which tenant's endpoint is called; the token leads to none")
    make = _command if kind == "command" else _revocation
    return make(tenant, functools.partial(begin, tenant), policy, public.url)


def _command(tenant: Tenant, begin: Callable[[], Examination], policy: Policy, url: str | None) -> Case:
    if tenant.commands is None or url is None:
        raise ConfigurationError(f"tenant {tenant.name} takes no commands: set commands, and public.url")

    def scope(found: Examination) -> Scope | None:
        return None if found.claims["command"] == "metadata" else "user"

    rules = signed_token.every_rule(command_token.rules(address_of(url, commands.PATH, tenant)))
    return Case(
        kind="command", asked=KindRules(parsing=PARSING, rules=rules, accept=scope), tenant=tenant, keys_of=tenant,
        begin=begin, accepted_status=lambda found: 202 if found.claims["command"] == "invalidate_async" else 200,
        refused_status=lambda error: commands.refusal(error, policy).status,
    )  # fmt: skip


def _revocation(tenant: Tenant, begin: Callable[[], Examination], policy: Policy, url: str | None) -> Case:
    if tenant.global_revocation is None or url is None:
        raise ConfigurationError(
            f"tenant {tenant.name} takes no Global Token Revocation: set global_revocation, and public.url"
        )
    rules = signed_token.every_rule(revocation_token.rules(address_of(url, revocation.PATH, tenant)))
    return Case(
        kind="revocation", asked=KindRules(parsing=PARSING, rules=rules, accept=lambda _: "user"), tenant=tenant,
        keys_of=tenant, begin=begin, accepted_status=lambda _: 204,
        refused_status=lambda error: revocation.refusal(error, policy).status,
    )  # fmt: skip


def _security_event(compact: str, transmitter: Transmitter, policy: Policy, *, now_s: float) -> Case:
    of = TenantDirectory((transmitter.issuer,))

    def begin() -> Examination:
        examination = SETExamination.of_text(compact, of, now_s=now_s)
        assert isinstance(examination, SETExamination)  # noqa: S101  # for the type checker
        examination.transmitter = transmitter
        examination.tenant = examination.issued_by = transmitter.issuer
        return examination

    def accept(found: Examination) -> Scope | None:
        assert isinstance(found, SETExamination)  # noqa: S101  # for the type checker
        se.check_valid_now(found.claims, transmitter, now_s)
        evictions = se.accepted(found).to_evictions(transmitter, now_s, origin=ssf_push.ORIGIN)
        return evictions[0].scope if evictions else None

    return Case(
        kind="set", asked=KindRules(parsing=se.PARSING, rules=se.RULES, accept=accept), tenant=transmitter.tenant,
        keys_of=transmitter.issuer, begin=begin, accepted_status=lambda _: 202,
        refused_status=lambda error: ssf_push.refusal(error, policy).status,
    )  # fmt: skip


def _transmitter(compact: str, known: dict[str, Transmitter], path_tenant: Tenant | None) -> Transmitter:
    if path_tenant is not None:
        if path_tenant.name not in known:
            raise ConfigurationError(f"tenant {path_tenant.name} takes no security events: set ssf")
        return known[path_tenant.name]
    try:
        iss = se.parse(compact).claims.get("iss")
    except LogoutTokenError:
        iss = None
    fitting = [one for one in known.values() if isinstance(iss, str) and one.issuer.accepts_issuer(iss)]
    candidates = fitting or list(known.values())
    if len(candidates) != 1:
        names = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(f"--tenant: say whose transmitter it should be from; with ssf: {names}")
    return candidates[0]
