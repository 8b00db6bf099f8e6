"""Who may call: bearer tokens (RFC 6750), each with a name and scopes."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.errors import Code, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from receiver.ops.api_tokens import ApiToken, Scope


class BearerTokens:
    """The tokens accepted, compared in constant time; none of them is kept, only what they are compared by.

    `use` puts others in their place while the API runs.

    Args:
        tokens: Each is good by itself, so that a new one can be rolled out before the old one goes.
    """

    def __init__(self, tokens: Iterable[ApiToken]) -> None:
        self.use(tokens)

    def use(self, tokens: Iterable[ApiToken]) -> None:
        """Accept these from now on, and no other ones."""
        self._tokens = [(_digest(token.value.encode()), replace(token, value="")) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._tokens)

    @property
    def unscoped(self) -> list[str]:
        """Names of those that may do everything."""
        return [token.name for _, token in self._tokens if not token.scoped]

    def caller(self, authorization: str | None) -> ApiToken:
        """Name and scopes of the token the header holds; takes the same time whichever it is.

        Raises:
            RequestError: `unauthorized`.
        """
        scheme, _, value = (authorization or "").partition(" ")
        given = _digest(value.strip(" ").encode("utf-8", "surrogateescape"))
        matches = [token for known, token in self._tokens if hmac.compare_digest(given, known)]
        if scheme.lower() != "bearer" or not matches:
            raise RequestError(Code.UNAUTHORIZED, "no bearer token, or not one of internal.token")
        return matches[0]

    def allows(self, authorization: str | None, scope: Scope) -> bool:
        """Whether the header holds a token with the scope, now."""
        try:
            check_scope(self.caller(authorization), scope)
        except RequestError:
            return False
        return True


def check_scope(token: ApiToken, scope: Scope) -> None:
    """The token has the scope.

    Raises:
        RequestError: `insufficient_scope`.
    """
    if scope not in token.scopes:
        raise RequestError(Code.INSUFFICIENT_SCOPE, f"this call needs a token with the scope {scope}")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
