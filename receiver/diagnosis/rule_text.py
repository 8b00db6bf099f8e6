"""What a rule looked at, in a few safe words: no control characters, and `sub` and `sid` only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.signals.set_claims import SETExamination
from receiver.core.tokens.jwks import KeySet
from receiver.core.tokens.jws import JWE_SEGMENTS
from receiver.diagnosis.claim_text import configured, events, member, numeric_date, personal
from receiver.diagnosis.terminal import show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.core.tokens.rule import Examination, Rule

MAX_KEYS_SHOWN = 8


def seen(rule: Rule, examination: Examination, *, show_subject: bool) -> str:
    """The members the rule shows, and what it compared them with.

    Args:
        rule: The rule.
        examination: After the rule was asked.
        show_subject: Whether the values of `sub` and `sid` may appear.
    """
    members = [_member(shown, examination, show_subject=show_subject) for shown in rule.shows]
    compared = _COMPARED[rule.name](examination) if rule.name in _COMPARED else ""
    return "; ".join(filter(None, (", ".join(filter(None, members)), compared)))


def _member(shown: str, examination: Examination, *, show_subject: bool) -> str:
    part, _, name = shown.partition(".")
    members: Mapping[str, object] = getattr(examination, part)
    match name:
        case "iat" | "exp" | "nbf":
            return numeric_date(members, name, examination.now_s)
        case "sub" | "sid" | "sub_id":
            return personal(members, name, show_values=show_subject)
        case "events":
            return events(members)
        case "nonce":
            return "nonce present" if name in members else "no nonce"
        case "tid" | "azp" | "crit" | "b64" | "cty":
            return member(members, name) if name in members else ""
        case _:
            return member(members, name)


def _issuer(examination: Examination) -> str:
    if hasattr(examination, "issued_by"):
        return f"tenant {examination.issued_by.name}"
    return configured(examination.claims.get("iss"), examination.tenants)


def _path(examination: Examination) -> str:
    return f"the path would name {examination.path_tenant.name}" if examination.path_tenant else ""


def _audience(examination: Examination) -> str:
    if isinstance(examination, SETExamination):
        return f"ssf.audience {', '.join(map(show, sorted(examination.transmitter.audience)))}"
    # All of them: the one that is missing may be any.
    return f"client_ids {', '.join(map(show, sorted(examination.tenant.client_ids)))}"


def _client_algorithms(examination: Examination) -> str:
    tenant = examination.tenant
    return "; ".join(
        f"client {show(client_id)} uses {', '.join(sorted(tenant.algorithms_for(client_id)))}"
        for client_id in examination.client_ids
    )


def _keys(examination: Examination) -> str:
    if not isinstance(examination.keys, KeySet):
        return ""
    unusable = examination.keys.unusable
    reasons = "; ".join(map(str, unusable[:MAX_KEYS_SHOWN]))
    more = f"; and {len(unusable) - MAX_KEYS_SHOWN} more" if len(unusable) > MAX_KEYS_SHOWN else ""
    return f"{len(examination.keys.keys)} usable" + (f", {len(unusable)} unusable: {reasons}{more}" if unusable else "")


_COMPARED: Mapping[str, Callable[[Examination], str]] = {
    "shape": lambda e: f"compact, {len(e.compact)} bytes",
    "encryption": lambda e: "encrypted (five segments)" if e.segments == JWE_SEGMENTS else "not encrypted",
    "header": lambda _: "one JSON object, every name once",
    "payload": lambda _: "one JSON object, every name once",
    "encoding": lambda _: "canonical base64url",
    "crit": lambda e: "" if e.header.keys() & {"crit", "b64"} else "no extension asked for",
    "issuer": _issuer,
    "path": _path,
    "transmitter": lambda e: (
        f"the transmitter is {show(e.transmitter.issuer.issuer)}" if isinstance(e, SETExamination) else ""
    ),
    "accepted_alg": lambda e: f"this tenant accepts {', '.join(sorted(e.tenant.accepted_algorithms))}",
    "audience": _audience,
    "client_alg": _client_algorithms,
    "jwks": _keys,
    "key": lambda e: f"usable: {show([key.kid for key in e.key_set.keys][:MAX_KEYS_SHOWN])}",
    "key_issuer": lambda e: f"the key is for {show([key.issuer for key in e.chosen_keys])}",
    "signature": lambda e: f"{e.alg}, {len(e.signature)} bytes",
}
"""What a rule's members were compared with; rules that are not here show their members only."""
