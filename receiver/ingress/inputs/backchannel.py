"""OIDC back-channel logout: `POST /backchannel-logout[/{tenant}]` with one `logout_token` (BCL §2.5, §2.8)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from receiver.errors import Code, RequestError
from receiver.ingress.http import responses
from receiver.ingress.inputs.message import Message, PromptInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.core.eviction import Eviction
    from receiver.ingress.inputs.token_verifier import TokenVerifier

PATH = "/backchannel-logout"

MAX_FIELDS = 50
"""Form parameters read; unknown ones are ignored, as the specification demands."""


class BackChannel(PromptInput):
    """Logout tokens."""

    name = "backchannel"
    # BCL §2.8: also for a duplicate.
    answer = responses.accepted()

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def read(self, message: Message) -> Sequence[Eviction]:
        """What the token orders; `logout_token_in` and `TokenVerifier.verify` say what may be wrong with it."""
        return await self._verifier.verify(logout_token_in(message.body), message)

    def read_together(self, messages: Sequence[Message]) -> list[Sequence[Eviction] | Exception | None]:
        """The same for tokens that are not encrypted, with keys that are there."""
        asked = []
        for message in messages:
            with contextlib.suppress(RequestError):  # `read` says what is wrong
                asked.append((logout_token_in(message.body), message))
        outcomes = zip(asked, self._verifier.verify_together(asked), strict=True)
        read = {id(message): outcome for (_, message), outcome in outcomes}
        return [read.get(id(message)) for message in messages]


def logout_token_in(form: bytes) -> str:
    """The one `logout_token` of a form body; raises as `one_parameter`."""
    return one_parameter(form, "logout_token")


def one_parameter(form: bytes, name: str) -> str:
    """The one parameter of a form body with this name; the query string is never looked at (BCL §2.5).

    Args:
        form: The body.
        name: For instance `logout_token`.

    Raises:
        RequestError: `malformed`, `missing_token` or `duplicate_param`.
    """
    given, _, value = form.partition(b"=")
    if given == name.encode() and value and value.isascii() and not (b"&" in value or b"%" in value or b"+" in value):
        # Nothing to decode and nothing beside it, as nearly all OPs send it.
        return value.decode("ascii")
    try:
        pairs = parse_qsl(form.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:  # too many fields, or bytes that are not a form's
        raise RequestError(Code.MALFORMED, "the body is not a well-formed form") from error
    tokens = [value for given, value in pairs if given == name]
    if len(tokens) > 1:
        raise RequestError(Code.DUPLICATE_PARAM, f"more than one {name} parameter")
    if not tokens or not tokens[0]:
        raise RequestError(Code.MISSING_TOKEN, f"no {name} parameter in the form body")
    return tokens[0]
