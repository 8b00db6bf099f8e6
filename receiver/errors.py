"""Every error raised on purpose, each with a stable code.

The families say which side is at fault, and so what the sender should do:

* `RequestRejectedError`: the OP's message is wrong; sending the same bytes again will not help.
* `DependencyError`: ours, or the OP's key endpoint; the same request may succeed later.
* `ConfigurationError`: the operator's; found at start-up, ends the process with exit code 2.
* `StateLostError`: something this process cannot go on without is gone; ends it with exit code 3.

Codes are API: they appear in the response's `error_description`, in the log field `code`, in the metric
label `code` and in docs/errors.md. Messages are for the operator's log only and never contain a token,
a `sub` or a `sid`. HTTP statuses belong to the one table in `ingress.http.responses`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """What exactly was wrong, one word per rule."""

    # The HTTP request and its form (BCL §2.5)
    METHOD = "method"
    NO_ROUTE = "no_route"
    FRONTCHANNEL = "frontchannel"
    HEADER_TOO_LARGE = "header_too_large"
    MEDIA_TYPE = "media_type"
    ENCODING = "content_encoding"
    MISSING_TOKEN = "missing_token"
    DUPLICATE_PARAM = "duplicate_param"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    BUSY = "busy"
    # The token's shape (RFC 7515, RFC 7516, RFC 7519)
    MALFORMED = "malformed"
    TOKEN_TOO_LARGE = "token_too_large"
    DUPLICATE_MEMBER = "duplicate_member"
    ALG = "alg"
    CRIT = "crit"
    TYP = "typ"
    ENCRYPTED = "encrypted"
    NOT_ENCRYPTED = "not_encrypted"
    NOT_SIGNED = "not_signed"
    DECRYPTION = "decryption"
    # Keys and signature
    UNKNOWN_KID = "unknown_kid"
    WEAK_KEY = "weak_key"
    KEY_ISSUER = "key_issuer"
    SIGNATURE = "signature"
    # Claims (BCL §2.4, §2.6)
    ISSUER = "issuer"
    ISSUER_MISMATCH = "issuer_mismatch"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    EXP_MISSING = "exp_missing"
    NOT_YET_VALID = "not_yet_valid"
    IAT_MISSING = "iat_missing"
    IAT_FUTURE = "iat_future"
    TOO_OLD = "too_old"
    JTI_MISSING = "jti_missing"
    NO_SUBJECT = "no_subject"
    SID_MISSING = "sid_missing"
    NONCE = "nonce"
    EVENTS = "events"
    UNSUPPORTED_COMMAND = "unsupported_command"
    # Claims of a security event that logout tokens have no rule on (RFC 8417, SSF 1.0)
    EXP_PRESENT = "exp_present"
    SUB_PRESENT = "sub_present"
    STATE = "state"
    STREAM = "stream"
    # Ours, or the OP's endpoints
    JWKS_UNAVAILABLE = "jwks_unavailable"
    FETCH = "fetch"
    PUBLISH = "publish"
    NOT_DONE = "not_done"
    REDIS = "redis"
    FEED_LIMIT = "feed_limit"
    INTERNAL = "internal"
    # The API on the internal listener
    UNAUTHORIZED = "unauthorized"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    TENANT = "tenant"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_USER = "unknown_user"
    SEARCH_LIMIT = "search_limit"
    # The operator's
    CONFIGURATION = "configuration"
    STATE_LOST = "state_lost"
    # The app's, in the consumer library
    BAD_EVENT = "bad_event"
    # A cache's, in the evictor
    BAD_VALUE = "bad_value"
    UNDONE = "undone"


_PASSWORD = re.compile(r"(?<=://)([^\s/?#@:]*):[^\s/?#]*@")
"""User and password before a host."""


class ReceiverError(Exception):
    """Base of every deliberate error.

    Attributes:
        code: The stable code.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def message(self) -> str:
        """One sentence for the operator: what is wrong and what to do."""
        return str(self.args[0])

    def to_be_answered(self) -> Self:
        """The same error, which is not raised again: it no longer says where it was raised.

        A traceback holds frames, and one of them holds the error to be answered. Until the garbage collector comes,
        which is seldom, all that a refused request was made of would stay in memory: 8 KiB for a logout token.
        """
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


class RequestRejectedError(ReceiverError):
    """The sender's message is wrong, and stays wrong when it is sent again."""


class RequestError(RequestRejectedError):
    """The HTTP request is not of the form asked for (BCL §2.5), lacks a right, or comes at a bad time."""


class LogoutTokenError(RequestRejectedError):
    """The logout token fails a rule (BCL §2.6)."""


class DependencyError(ReceiverError):
    """Something we need is down; the same request may succeed later."""


class JWKSUnavailableError(DependencyError):
    """The tenant's keys cannot be had: nothing cached, and the OP's endpoint does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.JWKS_UNAVAILABLE, message)


class RedisUnavailableError(DependencyError):
    """Redis with the events cannot be read."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.PUBLISH, message)


def without_passwords(text: str) -> str:
    """The text, with the passwords in its addresses hidden: it goes to logs, and to a readiness that all can ask."""
    return _PASSWORD.sub(r"\1:***@", text)


class FetchError(DependencyError):
    """A document of the OP cannot be had, or is not what it should be; the message names its address."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.FETCH, without_passwords(message))


class SourceError(DependencyError):
    """A transmitter, a directory or a realm did not do what it was asked for.

    Attributes:
        status: HTTP status of its answer; None when there was none.
        pause_s: Seconds it wants not to be asked again; None when it has not said.
    """

    def __init__(self, message: str, status: int | None = None, pause_s: float | None = None) -> None:
        super().__init__(Code.FETCH, without_passwords(message))
        self.status = status
        self.pause_s = pause_s


class PublishError(DependencyError):
    """The eviction could not be made durable, so it must not be acknowledged."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.PUBLISH, message)


class PublishFaultError(PublishError):
    """The eviction could not be made durable for a fault in this service; the exception is logged."""

    def __init__(self) -> None:
        super().__init__("a fault in this service; please report the exception logged with it")
        self.code = Code.INTERNAL


class EventRefusedError(PublishError):
    """Redis answered and refused the event; it may refuse every other one too, or this one only."""


class ConfigurationError(ReceiverError):
    """The configuration is wrong; the process does not start."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.CONFIGURATION, message)


class StateLostError(ReceiverError):
    """What a running process cannot work without is gone, and only a new start brings it back."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.STATE_LOST, message)


class BadEventError(ReceiverError):
    """A stream entry is not an eviction event this version understands."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.BAD_EVENT, message)


class BadValueError(ReceiverError, ValueError):
    """A value that another program wrote to Redis is not what it should be, or is beyond a limit.

    Attributes:
        reason: One word, as docs/operations.md lists them; never anything from the value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(Code.BAD_VALUE, f"a value in a cache cannot be read: {reason}")
        self.reason = reason


class UndoneError(DependencyError):
    """A value in a cache could not be cleared of a user for now, so the eviction must not be acknowledged."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.UNDONE, message)


class UnknownEventTypeError(BadEventError):
    """An event of another type than this version reads; a newer version may know it."""

    def __init__(self) -> None:
        super().__init__("an event of a type that this version does not read; upgrade the logout-receiver package")
