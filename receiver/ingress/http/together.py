"""The short way from request to answer, for requests that came in together and need to wait for Redis alone.

What is wrong with a request, and what takes longer, is left to the dispatcher, which knows every case: a request that
no input reads, a body of another kind, a token to be decrypted, keys to be fetched, more work than is let in.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from receiver import tracing
from receiver.ingress.http import responses
from receiver.ingress.http.body import bounded, check_kind
from receiver.ingress.http.sender import Sender
from receiver.ingress.inputs import Message, PromptInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from receiver.bus.events.publish import Published
    from receiver.core.eviction import Eviction
    from receiver.errors import ReceiverError
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.http.in_flight import InFlight
    from receiver.ingress.http.routes import PublicRoutes
    from receiver.ingress.intake import Intake
    from receiver.ops.listener_settings import PublicSettings
    from receiver.runtime.connection import Whole


class Together:
    """Works on whole requests, those of one turn of the event loop in one go.

    Args:
        routes: Of the public listener.
        intake: Takes what the inputs read.
        in_flight: Limits them, together with those that go the dispatcher's way.
        settings: Of the public listener.
        policy: Of its refusals.
        clock: NumericDate seconds.
        told: What a sender is told of an exception, which may be a fault of ours.
    """

    def __init__(
        self, routes: PublicRoutes, intake: Intake, in_flight: InFlight, settings: PublicSettings, *,
        policy: responses.Policy, clock: Callable[[], float], told: Callable[[BaseException], ReceiverError],
    ) -> None:  # fmt: skip
        self.routes = routes
        self.intake = intake
        self.in_flight = in_flight
        self.policy = policy
        self.told = told
        self._proxies = settings.proxies
        self._clock = clock
        # Set up before a server is, and for good.
        self._is_traced = tracing.is_on()
        self._ended: list[_Work] = []

    def __call__(self, requests: Sequence[Whole]) -> None:
        """Answer each now or once its eviction is durable, or leave it to the dispatcher."""
        of_input: dict[PromptInput, list[_Work]] = {}
        for request in requests:
            work = self._begun(request)
            if work is not None:
                of_input.setdefault(work.input, []).append(work)
        for prompt, works in of_input.items():
            read = zip(works, self._read(prompt, works), strict=True)
            for work in [work for work, outcome in read if work.is_ready(outcome)]:
                work.hand_over()

    def ended(self, work: _Work) -> None:
        """Have it recorded and answered at the end of this turn of the event loop."""
        self._ended.append(work)
        if len(self._ended) == 1:
            asyncio.get_running_loop().call_soon(self._answer)

    def _answer(self) -> None:
        ended, self._ended = self._ended, []
        # Senders wait for the answers; lines and counts have the time that is left.
        try:
            for work in ended:
                work.answer()
        finally:
            for work in ended:
                work.record()

    @staticmethod
    def _read(prompt: PromptInput, works: Sequence[_Work]) -> list[Sequence[Eviction] | Exception | None]:
        try:
            return prompt.read_together([work.message for work in works])
        except Exception as fault:  # noqa: BLE001  # answered in any case
            return [fault] * len(works)

    def _begun(self, request: Whole) -> _Work | None:
        # Where it fails the dispatcher will, too, and answers it.
        with contextlib.suppress(Exception):
            message = None if self._is_traced or request.url.raw_query_string else self._message(request)
            if message is not None:
                self.in_flight.begin()
                return _Work(self, request, *message)
        request.leave()
        return None

    def _message(self, request: Whole) -> tuple[PromptInput, Message] | None:
        """The input it is for, and what that is given; None, or an error, where anything is unusual."""
        row, name = self.routes.find(self.routes.own(request.url.raw_path))
        if row.body is None or row.prompt is None:
            return None
        path_tenant = self.routes.tenant(name)
        check_kind(request.headers, row.body)
        body = bounded(request.body, row.body)
        sender = Sender.of(request.headers, request.peer, self._proxies)
        return row.prompt, Message(
            received_at=self._clock(), headers=request.headers, query={}, body=body, path_tenant=path_tenant,
            sender=sender,
        )  # fmt: skip


class _Work:
    """One request on its way."""

    __slots__ = (
        "_accepted", "_error", "_eviction", "_handed_over_at", "_request", "_same", "_shared", "_started", "input",
        "message",
    )  # fmt: skip

    def __init__(self, shared: Together, request: Whole, prompt: PromptInput, message: Message) -> None:
        self._shared = shared
        self._request = request
        self.input = prompt
        self.message = message
        self._started = time.perf_counter()

    def is_ready(self, read: Sequence[Eviction] | Exception | None) -> bool:
        """Whether there is an eviction to hand over; where there is none, the request is answered or left."""
        if isinstance(read, Exception):
            self._shared.in_flight.end()
            self._end((), self._shared.told(read))
            return False
        if read is None or len(read) != 1:
            self._shared.in_flight.end()
            self._request.leave()
            return False
        (self._eviction,) = self.message.traced(read)
        return True

    def hand_over(self) -> None:
        """Have it published; the request is answered when that is done."""
        self._handed_over_at = time.perf_counter()
        try:
            self._shared.intake.begin(self._eviction).add_done_callback(self._published)
        except Exception as fault:  # noqa: BLE001  # answered in any case
            self._shared.in_flight.end()
            self._end((), self._shared.told(fault))

    def _published(self, publishing: asyncio.Future[Published]) -> None:
        self._shared.in_flight.end()
        seconds = time.perf_counter() - self._handed_over_at
        try:
            accepted = self._shared.intake.taken(self._eviction, publishing.result(), seconds)
        except (Exception, asyncio.CancelledError) as fault:  # noqa: BLE001  # answered in any case
            self._end((), self._shared.told(fault))
        else:
            self._end((accepted,), None)

    def _end(self, accepted: tuple[Accepted, ...], error: ReceiverError | None) -> None:
        self._accepted, self._error = accepted, error
        self._same = self.input.answer if error is None else responses.refusal(error, self._shared.policy)
        self._shared.ended(self)

    def record(self) -> None:
        """Count, log and audit its end."""
        self._shared.intake.record(
            self.input.name, self._accepted, self._error, seconds=time.perf_counter() - self._started,
            message=self.message, status=self._same.status,
        )  # fmt: skip

    def answer(self) -> None:
        """Write its answer."""
        self._request.answer(self._same)
