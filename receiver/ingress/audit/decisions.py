"""What the audit log says of one message: a record for each eviction it ordered, or one for all when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.ingress.http.responses import answer_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from receiver.core.tenants import Tenant
    from receiver.errors import ReceiverError
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.audit.log import AuditLog
    from receiver.ingress.inputs.message import Message
    from receiver.ingress.keys.held_token import HeldToken

    Record = Mapping[str, object]

MAX_TEXT_CHARS = 256
"""Characters kept of a text that a sender or an operator chose."""


def note(
    audit: AuditLog, source: str, accepted: Sequence[Accepted], error: ReceiverError | None, *,
    message: Message | None, status: int | None,
) -> None:  # fmt: skip
    """Note what was decided about one message.

    Args:
        audit: Where.
        source: Name of the input.
        accepted: What is durable.
        error: Why the message was refused; None when it was accepted.
        message: The request, where it was one.
        status: Its answer's.
    """
    if error is None:
        shared = {"input": source, "status": status, "caller": message.caller if message else None}
        for one in accepted:
            audit.add(_accepted(one, shared))
        if accepted:
            return
        if message is None or message.tenant is None:
            audit.count_junk()
        else:
            audit.add({"decision": "none", **shared, "code": "ok", "tenant": message.tenant.name})
    elif message is None or (message.tenant is None and message.caller is None):
        audit.count_junk()
    else:
        decision = "held" if message.held else _refusal(error)
        audit.add_refusal(
            {
                "decision": decision, "input": source, "status": status, "caller": message.caller,
                **_refused(message.tenant, error), **_unverified(message),
            }
        )  # fmt: skip


def note_held(
    audit: AuditLog, source: str, held: HeldToken, outcome: str, *, accepted: Sequence[Accepted],
    error: ReceiverError | None,
) -> None:  # fmt: skip
    """Note what became of a token that waited for keys, and was recorded as `held` when it came.

    Args:
        audit: Where.
        source: Name of the input.
        held: The token.
        outcome: `accepted`, `refused`, `expired` or `displaced`.
        accepted: What is durable.
        error: Why it was refused.
    """
    for one in accepted:
        audit.add(_accepted(one, {"input": source}))
    if not accepted:
        audit.add_refusal(
            {"decision": outcome, "input": source, **_refused(held.tenant, error), **_claimed(held.token.claims)}
        )  # fmt: skip


def _accepted(one: Accepted, shared: Record) -> Record:
    eviction = one.eviction
    return {
        "decision": "duplicate" if one.duplicate else "accepted",
        **shared,
        "origin": eviction.origin,
        "code": "ok",
        "tenant": eviction.tenant,
        "client_id": eviction.client_id,
        "sub": eviction.sub,
        "sid": eviction.sid,
        "jti": eviction.jti,
        "scope": eviction.scope,
        "applies_to": eviction.applies_to,
        "logout_at": eviction.logout_at,
        "event_id": eviction.id,
        "entry_id": one.entry_id or "outbox",
        "reason": _short(eviction.reason),
    }


def _refusal(error: ReceiverError) -> str:
    return "failed" if answer_to(error).ours else "refused"


def _refused(tenant: Tenant | None, error: ReceiverError | None) -> Record:
    return {"code": error.code.value if error else None, "tenant": tenant.name if tenant else None}


def _unverified(message: Message) -> Record:
    if message.token is not None:
        return _claimed(message.token.claims)
    if message.tenant is None:
        return {}
    return {"sub": message.unverified_sub, "sid": message.unverified_sid, "verified": False}


def _claimed(claims: Record) -> Record:
    """Who is meant, by the sender's word alone."""
    texts = {name: value if isinstance(value := claims.get(name), str) else None for name in ("sub", "sid", "jti")}
    return {"sub": texts["sub"], "sid": texts["sid"], "jti": _short(texts["jti"]), "verified": False}


def _short(text: str | None) -> str | None:
    return text if text is None else text[:MAX_TEXT_CHARS]
