"""The one table from error to response (BCL §2.8; decisions in docs/architecture.md).

A body says no more than the stable code: enough for an OP's log, nothing about tokens, claims or keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from receiver.errors import Code, DependencyError, MalformedRequestError, ReceiverError, RequestRejectedError

Outcome = Literal["ok", "duplicate", "rejected", "error"]

NO_STORE = {"Cache-Control": "no-store"}
"""BCL §2.8 asks for it on every answer."""

_STATUS = {
    Code.TOO_LARGE: 413,
    Code.METHOD: 405,
    Code.FRONTCHANNEL: 405,
    Code.HEADER_TOO_LARGE: 431,
    Code.NO_ROUTE: 404,
    Code.TIMEOUT: 408,
    Code.BUSY: 429,
    Code.UNAUTHORIZED: 401,
    Code.INSUFFICIENT_SCOPE: 403,
    Code.UNKNOWN_EVENT: 404,
}
"""Codes that are about the HTTP request; everything wrong with the token itself is 400, its size included: OPs
that retry take 400 as final, and rightly so."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's choices for answers.

    Attributes:
        unavailable_status: 503, or 400 for the letter of the specification.
        retry_after_s: Seconds, sent with 429 and 503.
    """

    unavailable_status: int = 503
    retry_after_s: int = 5


def accepted() -> web.Response:
    """BCL §2.8: "If the logout succeeded, the RP MUST respond with HTTP 200 OK"."""
    return web.Response(status=200, headers=NO_STORE)


def probed(*, draining: bool) -> web.Response:
    """The answer to a balancer's probe of the public port: 503 once it shall look elsewhere."""
    return web.Response(status=503 if draining else 200, headers=NO_STORE)


def refused(error: ReceiverError, policy: Policy, *, detail: bool = False) -> web.Response:
    """The answer to a request that was not accepted.

    Args:
        error: Why.
        policy: The operator's choices.
        detail: Say the sentence of the log too; for callers who have shown a token of ours.
    """
    status = status_for(error, policy)
    headers = dict(NO_STORE)
    if status in {429, 503}:
        headers["Retry-After"] = str(policy.retry_after_s)
    if status == _STATUS[Code.METHOD]:
        headers["Allow"] = "POST"
    ours = isinstance(error, DependencyError) or error.code is Code.BUSY
    body = {
        "error": "temporarily_unavailable" if ours else "invalid_request",
        "error_description": error.code.value,
    }
    # A person may see this one, and it says nothing about tokens.
    if detail or error.code is Code.FRONTCHANNEL:
        body["detail"] = error.message
    return web.json_response(body, status=status, headers=headers)


def status_for(error: ReceiverError, policy: Policy) -> int:
    """The HTTP status: 400 for anything wrong with the token, 503 only when the fault is ours."""
    if isinstance(error, DependencyError):
        return policy.unavailable_status
    return _STATUS.get(error.code, 400) if isinstance(error, MalformedRequestError) else 400


def outcome_of(error: ReceiverError) -> Outcome:
    """How metrics and logs count it: `rejected` is the sender's fault, `error` is ours."""
    return "rejected" if isinstance(error, RequestRejectedError) else "error"
