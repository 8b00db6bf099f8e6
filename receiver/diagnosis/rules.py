"""The rules of a logout token, each asked on its own.

The service stops at the first rule that fails; this goes on wherever a rule can still be asked. Each rule
is the core's own function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from receiver.core import claims as rules
from receiver.core import jws
from receiver.core import logout_token as lt
from receiver.core.jwks import KeySet, check_key_issuer, select_keys
from receiver.core.strict_json import parse_object
from receiver.core.tenants import TENANT_ID_PLACEHOLDER
from receiver.diagnosis import claim_text as text
from receiver.diagnosis.terminal import show
from receiver.errors import Code, JWKSUnavailableError, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.jwks import VerificationKey
    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.diagnosis.findings import Findings

    Members = Mapping[str, object]

NO_TENANT = "not asked: no tenant to judge by; name one with --tenant"
NO_HEADER = "not asked: the header cannot be read"
NO_PAYLOAD = "not asked: the payload cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything a judgement depends on.

    Attributes:
        compact: The token as received, perhaps encrypted.
        tenants: The configured ones.
        tenant: Whose rules apply (`judgement.tenant_for`); None when nothing leads to one.
        keys: That tenant's, or why they cannot be had; None when there is no tenant.
        now_s: NumericDate seconds to judge by.
        path_tenant: The tenant the request's path would name; None for the path that names none.
        show_subject: Whether `sub` and `sid` may appear in the texts.
    """

    compact: str
    tenants: TenantDirectory
    tenant: Tenant | None
    keys: KeySet | JWKSUnavailableError | None
    now_s: float
    path_tenant: Tenant | None = None
    show_subject: bool = False


def check_path(tenant: Tenant, path_tenant: Tenant | None) -> None:
    """A token posted to a tenant's own path is from that tenant.

    Raises:
        LogoutTokenError: `issuer_mismatch`.
    """
    if path_tenant is not None and path_tenant is not tenant:
        raise LogoutTokenError(Code.ISSUER_MISMATCH, f"the path is for tenant {path_tenant.name}, the token is not")


def bare(claims: Members) -> jws.UnverifiedToken:
    """Claims alone in the form the core peeks at."""
    return jws.UnverifiedToken({}, claims, b"", b"", "", None)


def examine(findings: Findings, case: Case, compact: str) -> None:
    """Ask every rule of a token in three segments, opened before if it was encrypted."""
    tenant = case.tenant
    segments = compact.split(".")
    findings.ask("encoding", lambda: [jws.decode_base64url(part) for part in segments], holds="canonical base64url")
    header_bytes, payload_bytes, signature = (_decoded(part) for part in segments)
    header = _parsed(findings, "header", header_bytes)
    claims = _parsed(findings, "payload", payload_bytes)
    alg = _examine_header(findings, header, tenant)
    if claims is None:
        for rule in ("issuer", "audience", "iat", "exp", "events", "nonce", "subject", "jti"):
            findings.skip(rule, NO_PAYLOAD)
    else:
        _examine_issuer(findings, claims, case)
        _examine_client(findings, claims, alg, tenant)
        _examine_times(findings, claims, tenant, case.now_s)
        _examine_content(findings, claims, tenant, show_subject=case.show_subject)
    findings.skip(
        "repeat", "not asked here: the service looks the jti up in Redis; a repeat is answered 200, published once"
    )
    token = None
    if signature is not None and header is not None and claims is not None and alg is not None:
        signing_input = compact.rpartition(".")[0].encode("ascii")
        kid = header.get("kid")
        token = jws.UnverifiedToken(
            header, claims, signing_input, signature, alg, kid if isinstance(kid, str) else None
        )
    _examine_keys(findings, token, case)


def _decoded(segment: str) -> bytes | None:
    try:
        return jws.decode_base64url(segment)
    except LogoutTokenError:
        return None


def _parsed(findings: Findings, rule: str, raw: bytes | None) -> Members | None:
    if raw is None:
        findings.skip(rule, "not asked: the segment cannot be decoded")
        return None
    return findings.ask(rule, lambda: parse_object(raw, rule), holds="a JSON object, every name once")


def _examine_header(findings: Findings, header: Members | None, tenant: Tenant | None) -> str | None:
    """The header's rules; returns `alg`, None when there is none the tenant accepts."""
    if header is None:
        for rule in ("crit", "alg", "header_types", "accepted_alg", "typ"):
            findings.skip(rule, NO_HEADER)
        return None
    # `check_header` asks several rules; shown only the members of one, it answers that one.
    extensions = {name: header[name] for name in ("crit", "b64") if name in header}
    named = {name: header[name] for name in ("alg",) if name in header}
    typed = {name: header[name] for name in ("typ", "cty") if name in header}
    seen = f"asks for {show(sorted(extensions))}" if extensions else "no extension asked for"
    findings.ask("crit", lambda: jws.check_header({"alg": "", **extensions}), seen)
    alg = findings.ask("alg", lambda: jws.check_header(named), text.member(header, "alg"))
    seen = ", ".join(text.member(header, name) for name in ("typ", "cty", "kid") if name in header)
    findings.ask("header_types", lambda: _check_types(typed, header), seen or "no typ, cty or kid")
    if tenant is None:
        findings.skip("accepted_alg", NO_TENANT)
        findings.skip("typ", NO_TENANT)
        return None
    accepted = None
    if alg is None:
        findings.skip("accepted_alg", "not asked: there is no alg")
    else:
        seen = f"{show(alg)}; this tenant accepts {', '.join(sorted(tenant.accepted_algorithms))}"
        accepted = findings.ask("accepted_alg", partial(_check_accepted, alg, tenant), seen)
    findings.ask("typ", lambda: jws.check_type(header, require_typ=tenant.require_typ), text.member(header, "typ"))
    return accepted


def _check_types(typed: Members, header: Members) -> None:
    jws.check_header({"alg": "", **typed})
    if not isinstance(header.get("kid"), str | None):
        raise LogoutTokenError(Code.MALFORMED, "header member kid is not a string")


def _check_accepted(alg: str, tenant: Tenant) -> str:
    lt.check_algorithm(alg, tenant)
    return alg


def _examine_issuer(findings: Findings, claims: Members, case: Case) -> None:
    iss = text.member(claims, "iss")
    try:
        tenant = lt.peek_tenant(bare(claims), case.tenants)
    except LogoutTokenError as error:
        findings.fail("issuer", error, f"{iss}; {text.configured(claims.get('iss'), case.tenants)}")
        if case.path_tenant is not None:
            findings.skip("path", "not asked: the token is no configured tenant's")
        return
    tid = f", {text.member(claims, 'tid')}" if TENANT_ID_PLACEHOLDER in tenant.issuer else ""
    findings.ask("issuer", lambda: rules.check_issuer(claims, tenant), f"{iss}, tenant {tenant.name}{tid}")
    if case.path_tenant is not None:
        seen = f"the path would name {case.path_tenant.name}"
        findings.ask("path", lambda: check_path(tenant, case.path_tenant), seen)


def _examine_client(findings: Findings, claims: Members, alg: str | None, tenant: Tenant | None) -> None:
    if tenant is None:
        findings.skip("audience", NO_TENANT)
        return
    ours = ", ".join(show(client_id) for client_id in sorted(tenant.client_ids)[:5])
    client_id = findings.ask(
        "audience", lambda: rules.check_audience(claims, tenant), f"{text.member(claims, 'aud')}; client_ids {ours}"
    )
    if not tenant.client_algorithms:
        return
    if client_id is None or alg is None:
        findings.skip("client_alg", "not asked: aud or alg is not ours")
        return
    registered = ", ".join(sorted(tenant.algorithms_for(client_id)))
    findings.ask(
        "client_alg",
        lambda: rules.check_client_algorithm(alg, client_id, tenant),
        f"{show(alg)}; client {show(client_id)} uses {registered}",
    )


def _examine_times(findings: Findings, claims: Members, tenant: Tenant | None, now_s: float) -> None:
    if tenant is None:
        for rule in ("iat", "exp", "nbf"):
            findings.skip(rule, NO_TENANT)
        return
    seen = {name: text.numeric_date(claims, name, now_s) for name in ("iat", "exp", "nbf")}
    findings.ask("iat", lambda: rules.check_issued_at(claims, tenant, now_s), seen["iat"])
    findings.ask("exp", lambda: rules.check_expiry(claims, tenant, now_s), seen["exp"])
    findings.ask("nbf", lambda: rules.check_not_before(claims, tenant, now_s), seen["nbf"])


def _examine_content(findings: Findings, claims: Members, tenant: Tenant | None, *, show_subject: bool) -> None:
    findings.ask("events", lambda: rules.check_events(claims), text.events(claims))
    findings.ask("nonce", lambda: rules.check_no_nonce(claims), "nonce present" if "nonce" in claims else "no nonce")
    if tenant is None:
        findings.skip("subject", NO_TENANT)
    else:
        seen = text.subject(claims, show_values=show_subject)
        findings.ask("subject", lambda: rules.check_subject(claims, tenant), seen)
    findings.ask("jti", lambda: rules.check_token_id(claims), text.member(claims, "jti"))


def _examine_keys(findings: Findings, token: jws.UnverifiedToken | None, case: Case) -> None:
    keys, tenant = case.keys, case.tenant
    if isinstance(keys, KeySet):
        unusable = f", {len(keys.unusable)} unusable" if keys.unusable else ""
        findings.ask("jwks", lambda: keys, f"{len(keys.keys)} usable{unusable}")
    elif keys is not None:
        findings.fail("jwks", keys)
    else:
        findings.skip("jwks", NO_TENANT)
    if not isinstance(keys, KeySet) or token is None or tenant is None:
        why = "not asked: header, payload or alg cannot be used" if token is None else "not asked: there are no keys"
        findings.skip("key", why)
        findings.skip("signature", why)
        return
    seen = f"{text.member(token.header, 'kid')}; usable: {show([key.kid for key in keys.keys][:8])}"
    chosen = findings.ask("key", lambda: select_keys(keys, token.kid, token.alg), seen)
    if chosen is None:
        findings.skip("signature", "not asked: there is no key to verify with")
        return
    if tenant.require_key_issuer:
        _examine_key_issuer(findings, token, chosen)
    any_issuer = replace(tenant, require_key_issuer=False)
    findings.ask("signature", lambda: lt.verify(token, any_issuer, keys), f"{token.alg}, {len(token.signature)} bytes")


def _examine_key_issuer(findings: Findings, token: jws.UnverifiedToken, chosen: tuple[VerificationKey, ...]) -> None:
    def check() -> None:
        for key in chosen:
            check_key_issuer(key, str(token.claims.get("iss")), token.claims.get("tid"))

    findings.ask("key_issuer", check, f"the key is for {show([key.issuer for key in chosen])}")
