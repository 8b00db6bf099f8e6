"""What the service would answer to one logout token, and every rule behind it: pure, time and keys passed in.

The verdict is the service's own sequence of the core's own functions, so it cannot disagree with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core import jws
from receiver.core import logout_token as lt
from receiver.core.jwe import decrypt
from receiver.core.jwks import KeySet
from receiver.core.strict_json import parse_object
from receiver.diagnosis.findings import Finding, Findings
from receiver.diagnosis.rules import Case, bare, examine
from receiver.errors import Code, JWKSUnavailableError, LogoutTokenError, ReceiverError

if TYPE_CHECKING:
    from receiver.core.eviction import Scope
    from receiver.core.tenants import Tenant, TenantDirectory


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every rule, and what the service would answer.

    Attributes:
        findings: In the order of `findings.SECTIONS`.
        error: Why the service would not accept the token; None when it would.
        scope: What the token would end; None when it would not be accepted.
    """

    findings: tuple[Finding, ...]
    error: ReceiverError | None
    scope: Scope | None


def tenant_for(compact: str, tenants: TenantDirectory, path_tenant: Tenant | None = None) -> Tenant | None:
    """Whose rules to apply: the tenant of the token's issuer, else the one asked for, else the only one."""
    try:
        inner = compact
        if jws.check_shape(compact) == jws.JWE_SEGMENTS:
            inner, _ = decrypt(compact, tenants if path_tenant is None else [path_tenant])
            jws.check_shape(inner)
        claims = parse_object(jws.decode_base64url(inner.split(".")[1]), "payload")
        return lt.peek_tenant(bare(claims), tenants)
    except LogoutTokenError:
        candidates = list(tenants)
        return path_tenant or (candidates[0] if len(candidates) == 1 else None)


def judge(case: Case) -> Judgement:
    """Ask every rule that can be asked, and the service's own sequence for the verdict."""
    findings = Findings()
    compact = case.compact
    segments = findings.ask(
        "shape", lambda: jws.check_shape(compact), f"{len(compact)} bytes", holds=f"compact, {len(compact)} bytes"
    )
    signed: str | None = compact
    if segments == jws.JWE_SEGMENTS:
        signed = findings.ask("encryption", lambda: _opened(case), "encrypted (five segments)")
    elif segments is not None:
        findings.ask("encryption", lambda: _check_plain(case.tenant), holds="not encrypted")
    if segments is not None and signed is not None:
        examine(findings, case, signed)
    refusal, scope = _verdict(case)
    if refusal is not None and refusal.code not in {finding.code for finding in findings}:
        # A rule the core has and the list does not know yet.
        findings.fail("other", refusal)
    return Judgement(tuple(findings), refusal, scope)


def _verdict(case: Case) -> tuple[ReceiverError, None] | tuple[None, Scope]:
    """The service's sequence (`ingress.inputs.token_verifier`) up to where it would publish."""
    try:
        token, tenant = lt.parse(case.compact, case.tenants, case.path_tenant)
        lt.screen(token, tenant, case.now_s)
        if not isinstance(case.keys, KeySet):
            return case.keys or JWKSUnavailableError("no keys to verify with"), None
        accepted = lt.accept(token, tenant, case.keys, case.now_s)
    except LogoutTokenError as error:
        return error, None
    return None, accepted.to_eviction(tenant, case.now_s).scope


def _opened(case: Case) -> str:
    plaintext, opened_by = decrypt(case.compact, case.tenants if case.path_tenant is None else [case.path_tenant])
    if plaintext.count(".") != jws.JWS_SEGMENTS - 1:
        raise LogoutTokenError(Code.NOT_SIGNED, "the encrypted token holds no signed token")
    jws.check_shape(plaintext)
    if case.tenant is not None and case.tenant.decryption_key != opened_by.decryption_key:
        raise LogoutTokenError(Code.ISSUER_MISMATCH, f"the token was encrypted to the key of {opened_by.name}")
    return plaintext


def _check_plain(tenant: Tenant | None) -> None:
    if tenant is not None:
        lt.check_encrypted(False, tenant)
