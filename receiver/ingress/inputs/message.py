"""What an input is given, and what it has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiohttp import web

from receiver.ingress.http import responses
from receiver.runtime.same_response import Same, SameResponse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from receiver.core.eviction import Eviction
    from receiver.core.tenants import Tenant
    from receiver.core.tokens.jws import UnverifiedToken
    from receiver.core.tokens.rule import Examination
    from receiver.errors import ReceiverError
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.http.sender import Sender


@dataclass(slots=True, kw_only=True)
class Message:
    """One request as an input reads it, and what the input finds out about it for the log line and the metrics.

    Attributes:
        received_at: NumericDate seconds when the request's head was complete.
        headers: Of the request.
        query: Of the request, decoded.
        body: Complete and within the limits of the input's row; empty where the row takes none.
        path_tenant: The tenant the path names; the message must be from it. None where the path names none.
        caller: The name of the API token the request came with; None on the public listener.
        sender: Where the request came from; None where that is of no interest.
        tenant: Set by the input once the message turned out to be about a configured tenant.
        token: Set by the input once a token parsed.
        held: Set by the input when it refuses a message and keeps it, to judge it once it can.
        examined: Set by an input that answers by what the token says, once it is verified.
        is_unknown: Set by an input that found nothing of the user who is meant.
        unverified_sub: Set by an input without tokens once it knows which user is meant, for the audit log.
        unverified_sid: The same for a session.
    """

    received_at: float
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""
    path_tenant: Tenant | None = None
    caller: str | None = None
    sender: Sender | None = None
    tenant: Tenant | None = None
    token: UnverifiedToken | None = None
    held: bool = False
    examined: Examination | None = None
    is_unknown: bool = False
    unverified_sub: str | None = None
    unverified_sid: str | None = None

    def traced(self, evictions: Sequence[Eviction]) -> Sequence[Eviction]:
        """These, as parts of the trace the request is part of."""
        if self.sender is None or self.sender.traceparent is None:
            return evictions
        return [replace(eviction, traceparent=self.sender.traceparent) for eviction in evictions]


class HttpInput(ABC):
    """One way in over HTTP; a row of `inputs.table` says where it is reached.

    Attributes:
        name: In logs and metrics. Its evictions carry one of the kinds of `core.eviction.Input`, and this name as
            `origin` where it is not the kind itself.
        answer_after_s: Seconds from the request's head until it is answered at the earliest, for an input where
            the sender must not learn anything from the time it takes.
        status: HTTP status of an answer without a body, where every eviction is durable.
    """

    name: str
    answer_after_s: float = 0.0
    status: int = 200

    @abstractmethod
    async def read(self, message: Message) -> Sequence[Eviction]:
        """What the message orders, made by `Eviction.for_subject`; none where it is good and orders nothing.

        Raises:
            ReceiverError: the message is wrong, or cannot be judged now. Nothing was published.
        """

    def accepted(self, accepted: Sequence[Accepted]) -> web.Response:
        """The answer once every eviction is durable; by default one that says no more than its status."""
        del accepted
        return web.Response(status=self.status, headers=responses.NO_STORE)

    async def conclude(self, accepted: Sequence[Accepted], message: Message) -> web.Response:
        """`accepted`, for an input that answers by the request, or by what comes about.

        Raises:
            ReceiverError: it does not come about. The evictions are durable all the same.
        """
        del message
        return self.accepted(accepted)

    def refused(self, error: ReceiverError, policy: responses.Policy) -> web.Response:
        """The answer when `read` raised or an eviction could not be made durable; the sender may repeat the whole."""
        return responses.refused(error, policy)

    def complete(self, response: web.Response, message: Message) -> None:  # noqa: B027  # most have nothing to add
        """Add to an answer of either kind what depends on the request."""


class PromptInput(HttpInput):
    """An input that most often need not wait for anything to read a message, and has one answer to all it accepts.

    Its requests are worked on without a task for each. Its refusals are those of its listener, and nothing is added to
    an answer.

    Attributes:
        answer: Once every eviction is durable.
    """

    answer: Same

    @abstractmethod
    def read_together(self, messages: Sequence[Message]) -> list[Sequence[Eviction] | Exception | None]:
        """As `read` for each of them, step by step together, and without waiting.

        Returns:
            For each what it orders, or the error; None where that has to wait for something, or is not usual, and
            `read` shall be asked. Of such a message nothing was noted.
        """

    def accepted(self, accepted: Sequence[Accepted]) -> web.Response:
        """The one answer."""
        del accepted
        return SameResponse(self.answer)


class InputJob(ABC):
    """One way in that polls or watches its source. The supervisor runs it, and starts it again when it fails.

    Attributes:
        name: As `HttpInput.name`; the job is `input:<name>` in readiness and metrics.
        of: The tenant whose source it asks; it is made anew when that tenant's settings change. None for what is of all
            tenants, and is never made anew.
    """

    name: str
    of: str | None = None

    @property
    def problem(self) -> str:
        """Why it does not work now, of a job that waits its failures out itself; empty when it does."""
        return ""

    @abstractmethod
    async def run(self) -> None:
        """Hand each batch to `Intake.accept`, and tell the source only after it returned that the batch is done.

        Never returns. What it raises ends this run; where it went on has to be known to the next one.
        """
