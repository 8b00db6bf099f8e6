"""Our calls to what an input polls or watches: with a bearer token, a new one after 401, and JSON in the answer."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from receiver.errors import SourceError
from receiver.outbound.fetch import Answer, Fetcher, NoAnswer
from receiver.outbound.turns import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.core.tenants import Tenant

LONGEST_PAUSE_S = 3600.0
"""The longest `Retry-After` that is obeyed, seconds."""

UNAUTHORIZED = 401


class Tokens(Protocol):
    """Where the token comes from."""

    async def authorization(self) -> str:
        """The header's value."""

    def forget(self) -> None:
        """This one was refused."""


class AuthorizedSource:
    """One source.

    Args:
        tokens: Our access to it.
        fetcher: Open.
        tenant: The tenant of the proxy and CAs that the calls use.
        timeout_s: Seconds one call may take; None takes `outbound.timeout_s`.
        on_answer: Told the HTTP status of each answer, or `none`.
    """

    def __init__(
        self, tokens: Tokens, fetcher: Fetcher, tenant: Tenant, *, timeout_s: float | None = None,
        on_answer: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._tokens = tokens
        self._fetcher = fetcher
        self._tenant = tenant
        self._timeout_s = timeout_s
        self._on_answer = on_answer

    async def send(self, method: str, url: str, body: Mapping[str, object] | None = None) -> Any:
        """The JSON of a good answer; None where it has no body.

        Raises:
            SourceError: it is no good answer. The message names the address without its query.
            ConfigurationError: a file cannot be read.
        """
        place = url.partition("?")[0]
        sent = None if body is None else json.dumps(body).encode()
        answer = await self._try(method, url, sent)
        if answer.status == UNAUTHORIZED:
            # The token may have been withdrawn, or have ended earlier than was said.
            self._tokens.forget()
            answer = await self._try(method, url, sent)
        if answer.status // 100 != 2:  # noqa: PLR2004  # HTTP
            pause_s = retry_after_s(answer.retry_after, time.time())
            pause_s = None if pause_s is None else min(pause_s, LONGEST_PAUSE_S)
            raise SourceError(f"{place}: HTTP {answer.status}", answer.status, pause_s)
        try:
            return json.loads(answer.body) if answer.body.strip() else None
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{place}: the answer is not JSON") from error

    async def _try(self, method: str, url: str, body: bytes | None) -> Answer:
        answer = await self._fetcher.call(
            method, url, self._tenant, body, authorization=await self._tokens.authorization(),
            timeout_s=self._timeout_s,
        )  # fmt: skip
        self._on_answer("none" if isinstance(answer, NoAnswer) else str(answer.status))
        if isinstance(answer, NoAnswer):
            raise SourceError(answer.reason)
        return answer
