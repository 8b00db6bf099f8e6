"""One revocation request (RFC 7009): what is sent, and what the answer means. No I/O, and the time is passed in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from receiver.outbound.fetch import basic_authorization
from receiver.outbound.turns import retry_after_s

if TYPE_CHECKING:
    from receiver.ops.revocation_settings import ClientAuthentication
    from receiver.outbound.fetch import Answer

MAX_TOKEN_CHARS = 16 * 1024
"""Longest refresh token sent; OPs issue a few kilobytes. Bounds what the queue takes of memory."""

MAX_RETRY_AFTER_S = 30.0
"""Seconds waited at most for an OP that names a time; it would hold up the tokens behind this one."""

_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "invalid_token",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_token_type",
        "access_denied",
    }
)
"""Error codes that are logged by name (RFC 6749 §5.2, RFC 7009 §2.2.1, and what OPs add). Any other text in an
answer stays out of the log: it could hold the token."""

_ACTIONS = {
    "invalid_client": "check this client's id, its secret and its method in revocation.clients against the OP's "
    "registration",
    "unsupported_token_type": "this OP does not revoke refresh tokens; take revocation out of this tenant",
    "unauthorized_client": "let this client revoke tokens at the OP, or take it out of revocation.clients",
    "access_denied": "let this client revoke tokens at the OP, or take it out of revocation.clients",
    "redirect": "set revocation.endpoint to the address it redirects to; redirects are not followed",
    "not_found": "set revocation.endpoint to the OP's revocation endpoint",
}
_OTHER_ACTION = "look for the refused revocation in the OP's log; check that the address is its revocation endpoint"


class Outcome(StrEnum):
    """How one refresh token ended, as `logout_revocations_total` counts it."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    DROPPED = "dropped"
    NO_ENDPOINT = "no_endpoint"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RevocationClient:
    """One client's credentials at its OP.

    Attributes:
        method: How it authenticates.
        secret: None for a public client (`none`).
    """

    method: ClientAuthentication
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RevocationRequest:
    """What is sent.

    Attributes:
        form: The fields of the body.
        authorization: The `Authorization` header; None sends none.
    """

    form: dict[str, str] = field(repr=False)
    authorization: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class RevocationAnswer:
    """What an answer means.

    Attributes:
        outcome: None means: try again.
        error: What was wrong; one of a fixed set of words.
        action: What the operator should do about it.
        wait_s: Seconds the OP asks to wait before the next try, bounded; None leaves it to us.
    """

    outcome: Outcome | None
    error: str = ""
    action: str = ""
    wait_s: float | None = None


def is_refresh_token(text: str) -> bool:
    """Whether an OP can have issued this: printable ASCII (RFC 6749 A.17) of a reasonable length."""
    return 0 < len(text) <= MAX_TOKEN_CHARS and text.isascii() and text.isprintable()


def build_request(client_id: str, client: RevocationClient, refresh_token: str) -> RevocationRequest:
    """The request of RFC 7009 §2.1, authenticated as this client is registered."""
    form = {"token": refresh_token, "token_type_hint": "refresh_token"}
    secret = client.secret or ""
    match client.method:
        case "client_secret_basic":
            return RevocationRequest(form, basic_authorization(client_id, secret))
        case "client_secret_post":
            return RevocationRequest({**form, "client_id": client_id, "client_secret": secret}, None)
        case "none":
            return RevocationRequest({**form, "client_id": client_id}, None)


def judge(answer: Answer, now_s: float) -> RevocationAnswer:
    """What the OP's answer means (RFC 7009 §2.2): done, refused for good, or worth another try.

    Args:
        answer: What came back.
        now_s: NumericDate seconds, to read a `Retry-After` that is a date.
    """
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004  # HTTP; some OPs send 204
        return RevocationAnswer(Outcome.OK)
    if status == 429 or status >= 500:  # noqa: PLR2004  # HTTP
        asked_s = retry_after_s(answer.retry_after, now_s)
        wait_s = None if asked_s is None else min(asked_s, MAX_RETRY_AFTER_S)
        return RevocationAnswer(None, f"http_{status}", wait_s=wait_s)
    error = _error(answer)
    return RevocationAnswer(Outcome.REFUSED, error, _ACTIONS.get(error, _OTHER_ACTION))


def _error(answer: Answer) -> str:
    if answer.status < 400:  # noqa: PLR2004  # HTTP
        return "redirect"
    if answer.status in {404, 405}:
        return "not_found"
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str) and error in _ERRORS:
        return error
    return "invalid_client" if answer.status == 401 else f"http_{answer.status}"  # noqa: PLR2004  # HTTP
