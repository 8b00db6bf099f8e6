"""Read the JSON body of a call of the API: strict, bounded, and with the name of the member that is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from receiver.core.claims import MAX_ID_CHARS
from receiver.core.numeric_date import numeric_date
from receiver.core.strict_json import parse_object
from receiver.core.tenants import TENANT_ID_PLACEHOLDER, Tenant
from receiver.errors import Code, MalformedRequestError
from receiver.ingress.body import JSON, BodyLimits, read_body

if TYPE_CHECKING:
    from aiohttp import web

    from receiver.core.tenants import TenantDirectory

LIMITS = BodyLimits(media_type=JSON, max_bytes=64 * 1024, timeout_s=5.0)
"""What a body may be; the largest registration that is accepted fits."""

MAX_KEYS = 64
"""Cache and session names one sign-in may register; they come back in every eviction of it."""

_NOT_PLAIN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Members:
    """The members of one JSON object, each taken by the type it must have; null counts as absent.

    Every method raises MalformedRequestError `malformed`, naming the member and never its value.
    """

    def __init__(self, members: dict[str, object], known: frozenset[str]) -> None:
        if unknown := sorted(members.keys() - known):
            name = unknown[0] if unknown[0].isascii() and unknown[0].isidentifier() else "a member"
            raise _malformed(f"{name[:64]} is not a member of this call; known are {', '.join(sorted(known))}")
        self._members = members

    def text(self, name: str) -> str:
        """A string of 1 to 512 plain characters."""
        value = self._members.get(name)
        if not _is_plain(value):
            raise _malformed(f"{name} is not a string of 1 to {MAX_ID_CHARS} plain characters")
        return str(value)

    def optional_text(self, name: str) -> str | None:
        """The same, or None."""
        return None if self._members.get(name) is None else self.text(name)

    def optional_date(self, name: str) -> float | None:
        """Seconds since 1970 up to the year 9999, or None."""
        value = self._members.get(name)
        if value is None:
            return None
        seconds = numeric_date(value)
        if seconds is None:
            raise _malformed(f"{name} is not a number of seconds since 1970")
        return seconds

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self._members.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _malformed(f"{name} is not a whole number from {least} to {most}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of at most 64 such strings; absent is empty."""
        value = self._members.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > MAX_KEYS or not all(map(_is_plain, value)):
            raise _malformed(f"{name} is not a list of at most {MAX_KEYS} strings of 1 to {MAX_ID_CHARS} characters")
        return tuple(value)


async def read_members(request: web.Request, known: frozenset[str]) -> Members:
    """The JSON object in the body.

    Raises:
        MalformedRequestError: `media_type`, `content_encoding`, `too_large`, `timeout` or `malformed`.
        LogoutTokenError: `malformed` or `duplicate_member` for what is not one JSON object.
    """
    return parse_members(await read_body(request, LIMITS), known)


def parse_members(body: bytes, known: frozenset[str]) -> Members:
    """The JSON object in a body that was read.

    Raises:
        MalformedRequestError: `malformed` for a member that is not known.
        LogoutTokenError: `malformed` or `duplicate_member` for what is not one JSON object.
    """
    return Members(parse_object(body, "body"), known)


def issuers(tenant: Tenant) -> list[str]:
    """Every issuer whose tokens this tenant accepts."""
    if TENANT_ID_PLACEHOLDER not in tenant.issuer:
        return [tenant.issuer]
    return [tenant.issuer.replace(TENANT_ID_PLACEHOLDER, guid) for guid in sorted(tenant.allowed_tenant_ids)]


def tenant_of(tenants: TenantDirectory, iss: str) -> Tenant:
    """The configured tenant with this issuer.

    Raises:
        MalformedRequestError: `issuer`.
    """
    for tenant in tenants:
        if iss in issuers(tenant):
            return tenant
    raise MalformedRequestError(Code.ISSUER, "iss is no configured tenant's issuer, byte for byte")


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS and _NOT_PLAIN.search(value) is None


def _malformed(message: str) -> MalformedRequestError:
    return MalformedRequestError(Code.MALFORMED, message)
