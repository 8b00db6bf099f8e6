"""What the service would answer to one token, and every rule behind it: pure, time and keys passed in.

The service asks the core's rules up to the first that fails; this asks the same rules, in the same order, of the
same examination, and goes on while a rule can still be asked. So the first that fails here is the service's answer.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from receiver.core.tokens.jwe import RULE as OPENING
from receiver.core.tokens.logout_token import PARSING, RULES, accepted
from receiver.core.tokens.rule import Examination, NotFoundError, Rule, enforce
from receiver.diagnosis.rule_text import seen
from receiver.errors import Code, LogoutTokenError, ReceiverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.eviction import Scope
    from receiver.core.tenants import Tenant, TenantDirectory

Outcome = Literal["passed", "failed", "skipped"]

REPEAT = Rule("7.1", "repeat", "BCL §2.6 step 8", lambda _: None, refusals={})
"""The one rule that is not the core's: whether the `jti` was seen is known to Redis, in the step that publishes."""

_WHY_NOT_ASKED = {
    "header": "the header cannot be read",
    "claims": "the payload cannot be read",
    "alg": "there is no alg",
    "kid": "kid cannot be used",
    "signing_input": "the signature cannot be decoded",
    "issued_by": "the token is no configured tenant's",
    "tenant": "no tenant to judge by; name one with --tenant",
    "supported_alg": "alg cannot be used",
    "client_ids": "aud names none of our clients",
    "keys": "no tenant to judge by; name one with --tenant",
    "key_set": "there are no keys",
    "chosen_keys": "there is no key to verify with",
    "event_type": "the event cannot be read",
    "event": "the event cannot be read",
}
"""What a rule needs, and in words that it is not there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says.

    Attributes:
        rule: The rule.
        outcome: `skipped` when it could not be asked.
        text: What was seen, what is wrong, or why it was not asked.
        code: The stable code, when it failed.
    """

    rule: Rule
    outcome: Outcome
    text: str
    code: Code | None = None

    @property
    def advice(self) -> str | None:
        """What the OP or the operator should change, when it failed."""
        return self.rule.refusals[self.code] if self.code is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRules:
    """What is asked of one kind of token.

    Attributes:
        parsing: The first rules; after them a token of no configured issuer is judged by a tenant's rules.
        rules: All of them, in order.
        accept: What a token orders in which every rule has passed: its scope, or None where it signs no user out. It
            raises a `ReceiverError` where the service would not take it all the same.
    """

    parsing: tuple[Rule, ...]
    rules: tuple[Rule, ...]
    accept: Callable[[Examination], Scope | None]


def _scope_of_logout(examination: Examination) -> Scope:
    eviction, *_ = accepted(examination).to_evictions(examination.tenant, examination.now_s)
    return eviction.scope


LOGOUT = KindRules(parsing=PARSING, rules=RULES, accept=_scope_of_logout)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every rule, and what the service would answer.

    Attributes:
        findings: In the order in which the rules are asked.
        error: Why the service would not accept the token; None when it would.
        scope: What the token would end; None when it would not be accepted, or signs no user out.
        examination: What was found in it; None when it would not be accepted.
    """

    findings: tuple[Finding, ...]
    error: ReceiverError | None
    scope: Scope | None
    examination: Examination | None = None


def tenant_for(compact: str, tenants: TenantDirectory, path_tenant: Tenant | None = None) -> Tenant | None:
    """The tenant of the rules to apply: that of the token's issuer, else the one asked for, else the only one."""
    examination = Examination.of_text(compact, tenants, path_tenant)
    for rule in PARSING:
        with contextlib.suppress(LogoutTokenError, NotFoundError):
            enforce([rule], examination)
    if hasattr(examination, "tenant"):
        return examination.tenant
    candidates = list(tenants)
    return path_tenant or (candidates[0] if len(candidates) == 1 else None)


def judge(
    examination: Examination, tenant: Tenant | None, *, show_subject: bool = False, asked: KindRules = LOGOUT
) -> Judgement:  # fmt: skip
    """Ask every rule that can be asked.

    Args:
        examination: Just begun (`Examination.of_text`), with the tenant's keys, if there is a tenant.
        tenant: The tenant of the rules for a token of no configured issuer (`tenant_for`).
        show_subject: Whether `sub` and `sid` may appear in the texts.
        asked: What the kind of token is asked.
    """
    findings: list[Finding] = []
    error: ReceiverError | None = None
    for rule in asked.rules:
        finding, refusal = _ask(rule, examination, show_subject=show_subject)
        error = error or refusal
        findings += [finding] if finding is not None else []
        if rule is OPENING and not hasattr(examination, "signed"):
            return Judgement(tuple(findings), error, None)
        if rule is asked.parsing[-1] and tenant is not None and not hasattr(examination, "tenant"):
            examination.tenant = tenant
    findings.append(Finding(REPEAT, "skipped", "the service looks the jti up in Redis; a repeat is published once"))
    if error is not None:
        return Judgement(tuple(findings), error, None)
    try:
        scope = asked.accept(examination)
    except ReceiverError as refusal:
        return Judgement(tuple(findings), refusal, None)
    return Judgement(tuple(findings), None, scope, examination)


def _ask(rule: Rule, examination: Examination, *, show_subject: bool) -> tuple[Finding | None, ReceiverError | None]:
    try:
        rule.check(examination)
    except NotFoundError as missing:
        why = _WHY_NOT_ASKED.get(missing.attribute, missing.attribute)
        return Finding(rule, "skipped", f"not asked: {why}") if rule.listed(examination) else None, None
    except ReceiverError as refusal:
        looked_at = seen(rule, examination, show_subject=show_subject)
        text = f"{refusal.message} [{looked_at}]" if looked_at else refusal.message
        return Finding(rule, "failed", text, refusal.code), refusal
    if not rule.listed(examination):
        return None, None
    return Finding(rule, "passed", seen(rule, examination, show_subject=show_subject)), None
