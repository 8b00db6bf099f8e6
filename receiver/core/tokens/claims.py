"""The claims of a logout token, one function per sentence of the specification, and the rules made of them.

Every function takes the claims, and the tenant and the time where it needs them; it returns what it found when the
sentence holds and raises `LogoutTokenError` when not. It may be asked before the signature is verified, to refuse
early; only `logout_token.accept`, which verifies as well, may believe the answer.
BCL is OpenID Connect Back-Channel Logout 1.0 incorporating errata set 1; Core is OpenID Connect Core 1.0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeGuard

from receiver.core.eviction import MAX_ID_CHARS
from receiver.core.tenants import TENANT_ID_PLACEHOLDER, Tenant
from receiver.core.tokens import times
from receiver.core.tokens.rule import Examination, Rule, where_tenant
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Claims = Mapping[str, object]

BACKCHANNEL_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
"""The event member of a logout token (BCL §2.4)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_plain_id(value: object) -> TypeGuard[str]:
    """Whether a value can be a `sub`, a `sid` or a `jti`: 1 to `MAX_ID_CHARS` characters, none of them a control."""
    # Core §2: `sub` is a case-sensitive string of at most 255 ASCII characters; some OPs send more. Line breaks are
    # what tells the parts of a digest apart (`marks.digest`), so a name with one could pass for two others. Half a
    # surrogate pair is legal JSON (RFC 8259 §8.2), and no digest, log line or Redis command can be made of it.
    # No control and no half pair is printable, so that most names need no search.
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_ID_CHARS
        and (value.isprintable() or _CONTROL.search(value) is None)
    )


def check_issuer(claims: Claims, tenant: Tenant) -> str:
    """`iss` is the tenant's issuer, byte for byte, and under a template agrees with `tid`.

    Raises:
        LogoutTokenError: `issuer`.
    """
    # Rule 5.1. BCL §2.6 step 4: validated as in an ID Token.
    # Core §3.1.3.7 step 2: the issuer "MUST exactly match the value of the iss (issuer) Claim". No case and no slash
    # is repaired: Auth0's issuer ends with a slash, Entra's v2 issuer does not and its v1 issuer does.
    # Entra, access tokens reference: under {tenantid} the claim `tid` must be a tenant we allow and the one in `iss`,
    # else any Entra tenant could sign out the users of every other.
    iss = claims.get("iss")
    if not isinstance(iss, str) or not tenant.accepts_issuer(iss, claims.get("tid")):
        raise LogoutTokenError(Code.ISSUER, "iss is not this tenant's issuer; compare it with the configured one")
    return iss


def check_audience(claims: Claims, tenant: Tenant) -> tuple[str, ...]:
    """`aud` names at least one of our clients.

    Returns:
        Our client ids in `aud`, sorted: their order in the token means nothing.

    Raises:
        LogoutTokenError: `audience`.
    """
    # Rule 5.2. BCL §2.6 step 4. RFC 8725 §3.9: without it a token made for another client of this OP would count here.
    # Core §3.1.3.7 step 3: "The aud (audience) Claim MAY contain an array with more than one element"; the token is
    # refused when we are not in it. Whole strings are compared: a substring would let `c1` pass for `c12`.
    # RFC 7519 §4.1.3: an array of strings. With an entry of another type it is none, and two readers may differ on it.
    aud = claims.get("aud")
    if isinstance(aud, str):
        ours: tuple[str, ...] = (aud,) if aud in tenant.client_ids else ()
    elif isinstance(aud, list) and all(isinstance(entry, str) for entry in aud):
        ours = tuple(sorted(tenant.client_ids.intersection(aud)))
    else:
        raise LogoutTokenError(Code.AUDIENCE, "aud is missing, or not a string or an array of strings")
    if not ours:
        raise LogoutTokenError(Code.AUDIENCE, "aud names none of the configured client_ids")
    return ours


def client_of(claims: Claims, client_ids: tuple[str, ...]) -> str | None:
    """Which of our clients named in `aud` the token says it is for; None where it does not say.

    Args:
        claims: The token's.
        client_ids: Our client ids in `aud`.
    """
    # Core §2: `azp` is "the party to which the ID Token was issued". The order of `aud` says nothing.
    azp = claims.get("azp")
    return next((client_id for client_id in client_ids if client_id == azp), None)


def check_client_algorithm(alg: str, client_id: str, tenant: Tenant) -> None:
    """`alg` is what this client registered for ID tokens.

    Raises:
        LogoutTokenError: `alg`.
    """
    # Rule 5.3. BCL §2.6 step 3, Core §3.1.3.7 step 7: `alg` is the `id_token_signed_response_alg` of this client, not
    # merely one the OP has keys for. The OIDF suite signs with another genuine key of the OP and expects 400.
    if alg not in tenant.algorithms_for(client_id):
        raise LogoutTokenError(Code.ALG, f"alg is not registered for client {client_id}; see client_algorithms")


def check_token_id(claims: Claims) -> str:
    """`jti` is a non-empty string; it is only ever compared.

    Raises:
        LogoutTokenError: `jti_missing`.
    """
    # Rule 5.10. BCL §2.4, and §2.6 step 8: a repeat is known by it. It need not be a UUID; LemonLDAP's has eight
    # characters.
    jti = claims.get("jti")
    if not is_plain_id(jti):
        raise LogoutTokenError(Code.JTI_MISSING, f"no jti, or not a string of 1 to {MAX_ID_CHARS} plain characters")
    return jti


def check_subject(claims: Claims, tenant: Tenant) -> tuple[str | None, str | None]:
    """`sub`, `sid` or both are there, and `sid` where the tenant requires it.

    Null counts as absent, and so does an empty `sub` beside a `sid`.

    Returns:
        (sub, sid), at least one of them not None.

    Raises:
        LogoutTokenError: `no_subject`, `sid_missing` or `malformed`.
    """
    # Rule 5.9. BCL §2.6 step 5.
    # BCL §2.4: "A Logout Token MUST contain either a sub or a sid Claim, and MAY contain both." OPs that leave one out
    # may write null for it (Rauthy its `sub`, early authentik its `sid`).
    # An empty `sub` names no user, and the `sid` beside it says which session ends: to refuse would lose that logout.
    # An empty `sid` beside a `sub` is refused: taken for absent, it would end every session of the user where the OP
    # meant one.
    sub, sid = claims.get("sub"), claims.get("sid")
    if sub in (None, "") and sid in (None, ""):  # tuples: a hostile value may be unhashable
        raise LogoutTokenError(Code.NO_SUBJECT, "neither sub nor sid: no user and no session to sign out")
    if sub == "":
        sub = None
    for name, value in (("sub", sub), ("sid", sid)):
        if value is None:
            continue
        if not is_plain_id(value):
            raise LogoutTokenError(Code.MALFORMED, f"{name} is not a string of 1 to {MAX_ID_CHARS} plain characters")
    # BCL §2.2: `backchannel_logout_session_required` is the RP's wish for a `sid`.
    if sid is None and tenant.require_sid:
        raise LogoutTokenError(Code.SID_MISSING, "no sid, and this tenant requires one (require_sid)")
    return sub, sid  # type: ignore[return-value]  # both were checked to be str or None


def check_events(claims: Claims) -> None:
    """`events` is an object, and so is its logout member.

    Raises:
        LogoutTokenError: `events`.
    """
    # Rule 5.7. BCL §2.6 step 6.
    # BCL §2.4: the member's value "MUST be a JSON object and SHOULD be the empty JSON object {}". An empty object is
    # false in Python, so its type is tested and never its truth.
    # Other members are ignored; Keycloak adds a boolean one (`revoke_offline_access`).
    # This rule is what keeps an ID token, an access token or another security event from signing users out: `typ` is
    # only recommended (rule 4.3), and such tokens are signed with the same keys (BCL §4.1, RFC 8725 §3.12).
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(BACKCHANNEL_LOGOUT_EVENT), dict):
        raise LogoutTokenError(Code.EVENTS, "events does not hold the back-channel logout member as an object")


def check_no_nonce(claims: Claims) -> None:
    """`nonce` is not there, not even as null or empty.

    Raises:
        LogoutTokenError: `nonce`.
    """
    # Rule 5.8. BCL §2.6 step 7.
    # BCL §2.4: "A nonce Claim MUST NOT be present. Its use is prohibited to make a Logout Token syntactically invalid
    # if used in a forged Authentication Response". Some RPs pass an empty one; presence is what counts.
    if "nonce" in claims:
        raise LogoutTokenError(Code.NONCE, "a logout token must not carry nonce; is this an ID token?")


def reason_of(claims: Claims) -> str | None:
    """`logout_reason`, which Duende sends, where it is short printable text; it is shown and never acted on."""
    reason = claims.get("logout_reason")
    return reason if isinstance(reason, str) and len(reason) <= MAX_ID_CHARS and reason.isprintable() else None


def find_issuer(e: Examination) -> None:
    """`check_issuer`, noted."""
    e.iss = check_issuer(e.claims, e.issued_by)


def _audience(e: Examination) -> None:
    e.client_ids = check_audience(e.claims, e.tenant)
    e.client_id = client_of(e.claims, e.client_ids)


def _client_algorithms(e: Examination) -> None:
    for client_id in e.client_ids:
        check_client_algorithm(e.alg, client_id, e.tenant)


def _subject(e: Examination) -> None:
    e.sub, e.sid = check_subject(e.claims, e.tenant)


def find_token_id(e: Examination) -> None:
    """`check_token_id`, noted."""
    e.jti = check_token_id(e.claims)


RULES = (
    Rule(
        "5.1", "tid", "BCL §2.6 step 4, Entra, access tokens",
        find_issuer, shows=("claims.tid",),
        refusals={Code.ISSUER: "Operator: add the GUID in tid to allowed_tenant_ids, if that Entra tenant is yours."},
        listed=where_tenant(lambda tenant: TENANT_ID_PLACEHOLDER in tenant.issuer),
    ),
    Rule(
        "5.2", "audience", "BCL §2.6 step 4", _audience, shows=("claims.aud", "claims.azp"),
        refusals={
            Code.AUDIENCE: "Operator: add the client id to client_ids if it is yours; else it is another RP's token."
        },
    ),
    Rule(
        "5.3", "client_alg", "BCL §2.6 step 3", _client_algorithms, shows=("header.alg",),
        refusals={
            Code.ALG: "OP: sign with this client's registered algorithm; operator: or change client_algorithms."
        },
        listed=where_tenant(lambda tenant: bool(tenant.client_algorithms)),
    ),
    *times.RULES,
    Rule(
        "5.7", "events", "BCL §2.6 step 6", lambda e: check_events(e.claims), shows=("claims.events",),
        refusals={Code.EVENTS: f'OP: add events: {{"{BACKCHANNEL_LOGOUT_EVENT}": {{}}}}.'},
    ),
    Rule(
        "5.8", "nonce", "BCL §2.6 step 7", lambda e: check_no_nonce(e.claims), shows=("claims.nonce",),
        refusals={Code.NONCE: "OP: send a logout token, not an ID token."},
    ),
    Rule(
        "5.9", "subject", "BCL §2.6 step 5", _subject, shows=("claims.sub", "claims.sid"),
        refusals={
            Code.NO_SUBJECT: "OP: add sub, sid or both.",
            Code.MALFORMED: "OP: send sub and sid as short strings without control characters.",
            Code.SID_MISSING: "OP: require the session id for this client; operator: or set require_sid: false.",
        },
    ),
    Rule(
        "5.10", "jti", "BCL §2.4", find_token_id, shows=("claims.jti",),
        refusals={Code.JTI_MISSING: "OP: add a jti, a string unique for each token."},
    ),
)  # fmt: skip
"""The claims, in the order they are asked about."""
