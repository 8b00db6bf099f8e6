"""From error to answer: one table for each endpoint (BCL §2.8; decisions in docs/architecture.md).

docs/errors.md is made from these tables. A body says no more than the stable code: enough for an OP's log, nothing
about tokens, claims or keys.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from aiohttp import web

from receiver.core.signals import security_event
from receiver.core.tokens.logout_token import RULES
from receiver.errors import Code, DependencyError, ReceiverError
from receiver.runtime.same_response import Same, SameResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome = Literal["ok", "duplicate", "rejected", "error"]

NO_STORE = {"Cache-Control": "no-store"}
"""BCL §2.8 asks for it on every answer."""


SERVER = "logout-receiver"
"""The `Server` header of every answer: no software version for scanners."""

MAX_REFUSALS = 128
"""Refusals kept ready to be sent, some 500 bytes each: more than there are codes. More serve only callers that are
told a sentence."""

_ACCEPTED = Same(HTTPStatus.OK, {**NO_STORE, "Server": SERVER})


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """How one code is answered.

    Attributes:
        status: HTTP status.
        passing: Whether the same request may succeed later: the answer then has `Retry-After`, and its `error` is
            `temporarily_unavailable` in place of `invalid_request`.
        ours: Whether the fault is on this side: logged as an error in place of a warning, counted as `error` in place
            of `rejected`.
    """

    status: int
    passing: bool = False
    ours: bool = False

    @property
    def error(self) -> str:
        """The member `error` of the body."""
        return "temporarily_unavailable" if self.passing else "invalid_request"

    @property
    def outcome(self) -> Outcome:
        """How metrics and logs count it."""
        return "error" if self.ours else "rejected"

    @property
    def level(self) -> int:
        """The level of the log line."""
        return logging.ERROR if self.ours else logging.WARNING


# BCL §2.8: "If the request is invalid or the logout failed, the RP MUST respond with HTTP 400 Bad Request". OPs that
# retry take 400 as final, and rightly so.
REFUSED = ErrorAnswer(400)
# Where the fault is ours a repeat may succeed, and 503 is how OPs that retry are told.
OURS = ErrorAnswer(503, passing=True, ours=True)

_REQUEST: Mapping[Code, ErrorAnswer] = {
    Code.METHOD: ErrorAnswer(405),
    Code.NO_ROUTE: ErrorAnswer(404),
    Code.MEDIA_TYPE: REFUSED,
    Code.ENCODING: REFUSED,
    Code.TOO_LARGE: ErrorAnswer(413),
    Code.TIMEOUT: ErrorAnswer(408),
    Code.MALFORMED: REFUSED,
    Code.PUBLISH: OURS,
    Code.INTERNAL: OURS,
}
"""What is about the request and its body, or about us, is answered alike everywhere."""

BACKCHANNEL: Mapping[Code, ErrorAnswer] = {
    # A rule on tokens needs no row here: everything wrong with a token is 400, its size included.
    **{code: REFUSED for rule in RULES for code in rule.refusals},
    **_REQUEST,
    Code.MISSING_TOKEN: REFUSED,
    Code.DUPLICATE_PARAM: REFUSED,
    Code.FRONTCHANNEL: ErrorAnswer(405),
    Code.HEADER_TOO_LARGE: ErrorAnswer(431),
    Code.BUSY: ErrorAnswer(429, passing=True),
    Code.UNAUTHORIZED: ErrorAnswer(401),
    Code.UNKNOWN_USER: ErrorAnswer(404),
    Code.UNSUPPORTED_COMMAND: REFUSED,
    Code.NOT_DONE: OURS,
    Code.REDIS: OURS,
    Code.JWKS_UNAVAILABLE: OURS,
}
"""The answers of the public listener."""

SSF: Mapping[Code, ErrorAnswer] = {
    **{code: REFUSED for rule in security_event.RULES for code in rule.refusals},
    **_REQUEST,
    Code.STATE: REFUSED,
    Code.STREAM: REFUSED,
    # RFC 8935 §2.3: everything wrong with a SET or its sender is 400; the body says which.
    Code.UNAUTHORIZED: REFUSED,
    Code.HEADER_TOO_LARGE: ErrorAnswer(431),
    Code.BUSY: ErrorAnswer(429, passing=True),
    Code.JWKS_UNAVAILABLE: OURS,
}
"""The answers to pushed security events."""

API: Mapping[Code, ErrorAnswer] = {
    **_REQUEST,
    Code.DUPLICATE_MEMBER: REFUSED,
    Code.TENANT: REFUSED,
    Code.ISSUER: REFUSED,
    Code.AUDIENCE: REFUSED,
    Code.NO_SUBJECT: REFUSED,
    Code.UNAUTHORIZED: ErrorAnswer(401),
    Code.INSUFFICIENT_SCOPE: ErrorAnswer(403),
    Code.UNKNOWN_EVENT: ErrorAnswer(404),
    Code.UNKNOWN_USER: ErrorAnswer(404),
    Code.SEARCH_LIMIT: ErrorAnswer(404),
    Code.BUSY: ErrorAnswer(429, passing=True),
    Code.REDIS: OURS,
    Code.FEED_LIMIT: OURS,
}
"""The answers of the API on the internal listener."""


def answer_to(error: ReceiverError, table: Mapping[Code, ErrorAnswer] = BACKCHANNEL) -> ErrorAnswer:
    """The answer to this error; a code that the endpoint does not list is answered by the side at fault."""
    return table.get(error.code) or (OURS if isinstance(error, DependencyError) else REFUSED)


@dataclass(frozen=True, slots=True)
class Policy:
    """An endpoint's table, and the operator's choices for its answers.

    Attributes:
        unavailable_status: In place of 503; 400 for the letter of the specification.
        retry_after_s: Seconds, sent with 429 and 503.
        answers: The table.
    """

    unavailable_status: int = 503
    retry_after_s: int = 5
    answers: Mapping[Code, ErrorAnswer] = field(default_factory=lambda: BACKCHANNEL)

    def status_of(self, error: ReceiverError) -> int:
        """The HTTP status this error is answered with."""
        status = answer_to(error, self.answers).status
        return self.unavailable_status if status == OURS.status else status


def accepted() -> Same:
    """BCL §2.8: "If the logout succeeded, the RP MUST respond with HTTP 200 OK"."""
    return _ACCEPTED


def probed(*, draining: bool) -> web.Response:
    """The answer to a balancer's probe of the public port: 503 once it shall look elsewhere."""
    return web.Response(status=503 if draining else 200, headers=NO_STORE)


def refused(error: ReceiverError, policy: Policy, *, detail: bool = False) -> web.Response:
    """The answer to a request that was not accepted.

    Args:
        error: Why.
        policy: The endpoint's.
        detail: Say the sentence of the log too; for callers who have shown a token of ours.
    """
    return SameResponse(refusal(error, policy, detail=detail))


def refusal(error: ReceiverError, policy: Policy, *, detail: bool = False) -> Same:
    """What `refused` says; the arguments are the same."""
    answer, status = answer_to(error, policy.answers), policy.status_of(error)
    # A person may see this one, and it says nothing about tokens.
    said = error.message if detail or error.code is Code.FRONTCHANNEL else None
    return _refusal(error.code, answer, status, policy.retry_after_s, said)


@lru_cache(maxsize=MAX_REFUSALS)
def _refusal(code: Code, answer: ErrorAnswer, status: int, retry_after_s: int, said: str | None) -> Same:
    headers = {"Content-Type": "application/json; charset=utf-8", "Server": SERVER, **NO_STORE}
    # Not with 400, which no sender takes for an invitation.
    if answer.passing and status != REFUSED.status:
        headers["Retry-After"] = str(retry_after_s)
    if answer == BACKCHANNEL[Code.METHOD]:
        headers["Allow"] = "POST"
    body = {"error": answer.error, "error_description": code.value}
    if said is not None:
        body["detail"] = said
    return Same(status, headers, json.dumps(body).encode("ascii"))
