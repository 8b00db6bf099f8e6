"""Whether this OP's logouts can reach us and pass: pure judgement of what the OP publishes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core.tokens.jwks import KeySet, parse_key_set
from receiver.diagnosis import issuers
from receiver.diagnosis.checks import Area, Check
from receiver.diagnosis.terminal import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.core.tenants import Tenant
    from receiver.core.tokens.jwk import UnusableKey
    from receiver.diagnosis.op import Document, OpDocument

DATE_RESOLUTION_S = 1.0
"""A `Date` header has whole seconds, so a difference of one says nothing."""

MAX_KEYS_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class OPFacts:
    """What was found at one OP.

    Attributes:
        tenant: Our registration with it.
        metadata: Its discovery document; None when `jwks_uri` is configured and discovery is not used.
        jwks: Its JWK Set; None when there was no address to ask.
        ahead_s: Seconds its clock is ahead of ours; None when it does not say.
        metadata_elsewhere: The discovery document, where it is below another path prefix; else None.
        jwks_elsewhere: The JWK Set, likewise.
    """

    tenant: Tenant
    metadata: OpDocument | None
    jwks: OpDocument | None
    ahead_s: float | None
    metadata_elsewhere: OpDocument | None = None
    jwks_elsewhere: OpDocument | None = None


def check_op(facts: OPFacts) -> Iterator[Check]:
    """Every check that can be made of one OP."""
    tenant = facts.tenant
    area = Area(tenant.name)
    document = facts.metadata.document if facts.metadata else None
    if facts.metadata is None:
        yield area.note("discovery", "not used: jwks_uri is configured")
    elif document is None:
        yield _missing_discovery(area, tenant, facts.metadata, facts.metadata_elsewhere)
    else:
        yield area.ok("discovery", f"reachable: {facts.metadata.url}")
        yield _check_issuer(area, tenant, document)
    yield from _check_backchannel(area, tenant, document)
    if is_keycloak(document):
        yield from _check_offline_access(area, document)
    yield from _check_keys(area, facts, document)
    yield _check_clock(area, tenant, facts.ahead_s)
    yield area.note(
        "register", f"logout URL at the OP: https://<your public host>/backchannel-logout/{tenant.name}",
        "Your public host is not known here: take that of your ingress.",
    )  # fmt: skip


def _missing_discovery(area: Area, tenant: Tenant, missing: OpDocument, elsewhere: OpDocument | None) -> Check:
    document = elsewhere.document if elsewhere else None
    if elsewhere is None or document is None:
        return area.failed("discovery", missing.problem, "Check the tenant's issuer and discovery_url.")
    issuer = document.get("issuer")
    prefix = issuers.prefix_of(missing.url, elsewhere.url)
    text = f"{missing.problem}; without the path prefix {prefix} it is there: {elsewhere.url}"
    if len(elsewhere.url) > len(missing.url):
        text = f"{missing.problem}; with the path prefix {prefix} it is there: {elsewhere.url}"
    if issuer == tenant.issuer:
        return area.failed("discovery", text, f"Keep the issuer and set discovery_url: {elsewhere.url}")
    fix = (
        f"Set the tenant's issuer to {show(issuer)} if that is the iss of your tokens; else keep it and set jwks_uri: "
        f"{show(document.get('jwks_uri'))}, as this server has it."
    )
    return area.failed("discovery", text, fix)


def _check_issuer(area: Area, tenant: Tenant, document: Document) -> Check:
    issuer = document.get("issuer")
    apart = issuers.difference(tenant.issuer, issuer)
    if not apart:
        return area.ok("issuer", f"equal letter by letter: {show(issuer)}")
    text = f"the OP says {show(issuer)}, configured is {show(tenant.issuer)}: {apart}"
    if tenant.discovery_url is None:
        return area.failed("issuer", text, "Set the tenant's issuer to what the OP says, if that is your OP.")
    # An OP that is asked by its inner name often publishes that name. Its tokens bear the outer one.
    fix = (
        f"Keep the issuer if it is the iss of your tokens. Set jwks_uri, here {show(document.get('jwks_uri'))}, in "
        "place of discovery_url, or have the OP publish its outer name on the inner address. "
        "Plain http inside a cluster needs allow_http: true."
    )
    return area.failed("issuer", text, fix)


def _check_backchannel(area: Area, tenant: Tenant, document: Document | None) -> Iterator[Check]:
    if tenant.frontchannel is not None:
        yield from _check_frontchannel(area, tenant, document)
        return
    if issuers.is_entra(tenant.issuer):
        yield area.warning(
            "backchannel", "Entra ID sends no back-channel logout, even if one is registered",
            "Take in its front-channel logout (frontchannel, docs/entra.md), or put a broker OP that sends "
            "back-channel logout (Keycloak, Auth0, Duende) in between.",
        )  # fmt: skip
        return
    if document is None:
        return
    if document.get("backchannel_logout_supported") is not True:
        yield area.warning(
            "backchannel", "the OP does not advertise backchannel_logout_supported, which means it sends none",
            "Switch back-channel logout on at the OP; if it has none, take in its front-channel logout (frontchannel), "
            "its security events (ssf), or use a broker OP.",
        )  # fmt: skip
        return
    yield area.ok("backchannel", "the OP advertises back-channel logout")
    if document.get("backchannel_logout_session_supported") is True:
        yield area.ok("session", "the OP can name the session (sid)")
    elif tenant.require_sid:
        text = "the OP does not advertise sid, and this tenant refuses tokens without it"
        yield area.warning("session", text, "Set require_sid: false.")
    else:
        text = "the OP does not advertise sid: a logout may end every session of the user"
        yield area.warning("session", text, "Nothing to do, unless the OP can be told to send sid.")


def _check_frontchannel(area: Area, tenant: Tenant, document: Document | None) -> Iterator[Check]:
    if document is None:
        return
    if document.get("backchannel_logout_supported") is True:
        yield area.ok("backchannel", "the OP advertises back-channel logout")
    elif document.get("frontchannel_logout_supported") is True:
        yield area.ok("frontchannel", "the OP has browsers call a front-channel logout URL, and nothing else")
    else:
        yield area.warning(
            "frontchannel", "the OP advertises neither back-channel nor front-channel logout",
            f"See at the OP whether it has browsers call a URL, and register /frontchannel-logout/{tenant.name} there.",
        )  # fmt: skip


def is_keycloak(document: Document | None) -> bool:
    """Whether the discovery document is a Keycloak realm's; it names no product, but its paths do."""
    endpoint = document.get("authorization_endpoint") if document else None
    return isinstance(endpoint, str) and endpoint.endswith("/protocol/openid-connect/auth")


def _check_offline_access(area: Area, document: Document | None) -> Iterator[Check]:
    scopes = document.get("scopes_supported") if document else None
    if isinstance(scopes, list) and "offline_access" in scopes:
        yield area.warning(
            "offline_access",
            "Keycloak from 26.1 on sends no logout token to an app that asks for offline_access, as MSAL does",
            "Leave the scope out in each app: docs/presets.md, Keycloak. Nothing to do where no app asks for it.",
        )


def _check_keys(area: Area, facts: OPFacts, document: Document | None) -> Iterator[Check]:
    tenant, jwks, elsewhere = facts.tenant, facts.jwks, facts.jwks_elsewhere
    if jwks is None:
        if document is not None:
            yield area.failed("jwks", "the discovery document has no jwks_uri", "Set the tenant's jwks_uri.")
        return
    if jwks.document is None and elsewhere is not None:
        yield area.failed(
            "jwks", f"{jwks.problem}; below another path prefix they are there: {elsewhere.url}",
            f"Set the tenant's jwks_uri: {elsewhere.url}",
        )  # fmt: skip
        return
    if jwks.document is None:
        yield area.failed("jwks", jwks.problem, "Check jwks_uri; without keys every logout is answered 503.")
        return
    try:
        key_set = parse_key_set(jwks.document)
    except ValueError as error:
        yield area.failed("jwks", f"{jwks.url}: {error}", "Check jwks_uri; it must be the OP's JWK Set.")
        return
    found = f"{len(key_set.keys)} usable keys at {jwks.url}"
    if key_set.keys:
        yield area.ok("jwks", found)
    else:
        reasons = f", of {_shown(key_set.unusable)}" if key_set.unusable else ""
        yield area.failed("jwks", found + reasons, "Have the OP publish a signing key.")
    yield from _check_unusable(area, key_set.unusable)
    yield _check_algorithms(area, tenant, key_set, document)


def _check_unusable(area: Area, unusable: tuple[UnusableKey, ...]) -> Iterator[Check]:
    if not unusable:
        return
    text = f"{len(unusable)} keys not used for signatures: {_shown(unusable)}"
    if any(key.alarming for key in unusable):
        yield area.warning("unusable_keys", text, "Tell the operator of the OP.")
    else:
        yield area.note("unusable_keys", text)


def _shown(unusable: tuple[UnusableKey, ...]) -> str:
    return "; ".join(map(str, unusable[:MAX_KEYS_SHOWN]))


def _check_algorithms(area: Area, tenant: Tenant, key_set: KeySet, document: Document | None) -> Check:
    accepted = sorted(tenant.accepted_algorithms)
    advertised = document.get("id_token_signing_alg_values_supported") if document else None
    offered = [alg for alg in advertised if isinstance(alg, str)] if isinstance(advertised, list) else None
    keyed = [alg for alg in accepted if any(key.fits(alg) for key in key_set.keys)]
    both = [alg for alg in keyed if offered is None or alg in offered]
    ours = f"configured {', '.join(accepted)}"
    if not keyed and is_keycloak(document) and set(accepted) & set(offered or ()):
        return area.warning(
            "algorithms", f"{ours}, offered but without a key yet: Keycloak makes some keys when they are first used",
            "Have the OP sign one token with it (sign in once), and run this again.",
        )  # fmt: skip
    if not keyed:
        kinds = ", ".join(sorted({key.alg or key.crv or key.kty for key in key_set.keys})) or "none"
        of = f", of {show(offered)}" if offered else ""
        return area.failed(
            "algorithms", f"{ours}, but no key fits; the OP's keys are for {kinds}",
            f"Set the tenant's algorithms to what the OP signs ID tokens with{of}.",
        )  # fmt: skip
    if not both:
        return area.failed(
            "algorithms", f"{ours}; the OP signs ID tokens with {show(offered)}",
            "Set the tenant's algorithms to what is registered for your client.",
        )  # fmt: skip
    return _check_each_client(area, tenant, both, ours)


def _check_each_client(area: Area, tenant: Tenant, usable: list[str], ours: str) -> Check:
    stranded = sorted(client for client in tenant.client_ids if not tenant.algorithms_for(client) & set(usable))
    if stranded:
        clients = ", ".join(map(show, stranded[:MAX_KEYS_SHOWN]))
        text = f"{ours}; the OP cannot sign for client {clients} with any of its client_algorithms"
        return area.failed("algorithms", text, "Set client_algorithms to what is registered for that client.")
    return area.ok("algorithms", f"{ours}; the OP signs and publishes keys for {', '.join(usable)}")


def _check_clock(area: Area, tenant: Tenant, ahead_s: float | None) -> Check:
    if ahead_s is None:
        return area.note("clock", "the OP's clock cannot be seen")
    apart_s = max(0.0, abs(ahead_s) - DATE_RESOLUTION_S)
    which = "ahead of" if ahead_s > 0 else "behind"
    tolerated = f"clock_skew_s tolerates {tenant.clock_skew_s:g} s"
    text = f"the OP's clock is {abs(ahead_s):.0f} s {which} ours; {tolerated}"
    if apart_s > tenant.clock_skew_s:
        waits = 0 < ahead_s <= tenant.max_ahead_s
        then = "until then each logout waits in the outbox, or is answered 503 without one" if waits else ""
        return area.failed("clock", text, f"Set both clocks by NTP; {then or 'fresh tokens are refused'}.")
    if apart_s > tenant.clock_skew_s / 2:
        return area.warning("clock", text, "Set both clocks by NTP.")
    return area.ok("clock", f"within a second of ours; {tolerated}" if not apart_s else text)
