"""What an OP publishes, fetched as the service fetches it: discovery document, JWK Set, and its clock."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from receiver.core.tokens.jwks import KeySet, parse_key_set
from receiver.errors import FetchError, JWKSUnavailableError
from receiver.outbound.egress import ways_of
from receiver.outbound.fetch import Fetcher

if TYPE_CHECKING:
    import aiohttp

    from receiver.core.tenants import Tenant
    from receiver.ops.settings import Settings

Document = dict[str, object]

USUAL_PREFIXES = ("auth",)
"""Of Keycloak before 17, and of those that were set up to keep it."""

MAX_SHORTER = 2
"""Parts of a path left out, at most."""

NOT_HERE = re.compile("HTTP (400|403|404|410)|not JSON")
"""In a failure: a server answered, and not with the document."""


class DatingFetcher(Fetcher):
    """A fetcher that also notes how far each host's clock is from ours.

    Attributes:
        ahead_s: Host and port to seconds the `Date` of its last answer was ahead of our clock.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.outbound, ways_of(settings))
        self.ahead_s: dict[str, float] = {}

    async def _read(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        ahead_s = clock_ahead(response.headers.get("Date"), response.headers.get("Age"), time.time())
        if ahead_s is not None:
            self.ahead_s[urlsplit(url).netloc] = ahead_s
        return await super()._read(response, url)


def clock_ahead(date: str | None, age: str | None, now_s: float) -> float | None:
    """Seconds a server's clock is ahead of ours; None when it does not say.

    Args:
        date: The `Date` header (RFC 9110 §6.6.1), whole seconds.
        age: The `Age` header: a cache in between kept the answer, and its `Date`, that many seconds.
        now_s: NumericDate seconds on our clock.
    """
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).timestamp() + (int(age) if age else 0) - now_s
    except (ValueError, TypeError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class OpDocument:
    """A document of the OP, or why it cannot be had.

    Attributes:
        url: Where it was looked for.
        document: Its JSON object; None when it could not be had.
        problem: Why not, and what to do; empty when it could.
        is_elsewhere: Whether something else, or that it is not there, was answered in its place.
    """

    url: str
    document: Document | None
    problem: str = ""
    is_elsewhere: bool = False


async def fetch(fetcher: Fetcher, url: str, tenant: Tenant) -> OpDocument:
    """The document at `url`, or the reason in words; never raises for what the network does."""
    try:
        return OpDocument(url, await fetcher.get_json(url, tenant))
    except FetchError as error:
        return OpDocument(url, None, error.message, is_elsewhere=bool(NOT_HERE.search(error.message)))


async def find_elsewhere(
    fetcher: Fetcher, missing: OpDocument | None, tenant: Tenant, *, has: str
) -> OpDocument | None:
    """The document below another path prefix of the same host, where the one asked for is not what was found there.

    A proxy may add or take away a prefix, and an OP be set up with one or without.

    Args:
        fetcher: As of `fetch`.
        missing: What was looked for; nothing is asked for where it was found, or where nothing answered.
        tenant: The tenant of the OP.
        has: A member that such a document has.
    """
    if missing is None or missing.document is not None or not missing.is_elsewhere:
        return None
    for url in other_prefixes(missing.url):
        found = await fetch(fetcher, url, tenant)
        if found.document is not None and has in found.document:
            return found
    return None


def other_prefixes(url: str) -> list[str]:
    """The same address with fewer parts in front of its path, and with that which some OPs have there."""
    parts = urlsplit(url)
    first, *others = [part for part in parts.path.split("/") if part] or [""]
    shorter = ["/".join(others[skipped:]) for skipped in range(min(MAX_SHORTER, len(others)))]
    # What is left has to be more than the well-known name itself, unless the issuer is only a host.
    kept = [path for path in shorter if path] if first != ".well-known" else []
    longer = [f"{prefix}/{'/'.join([first, *others])}" for prefix in USUAL_PREFIXES if prefix != first]
    return [parts._replace(path=f"/{path}").geturl() for path in (*kept, *longer)]


async def fetch_key_set(fetcher: Fetcher, tenant: Tenant) -> tuple[str, KeySet]:
    """The tenant's keys as the service would have them right after a fetch, and where they came from.

    Raises:
        JWKSUnavailableError: they cannot be had, or cannot be used.
    """
    try:
        jwks_uri = tenant.jwks_uri
        jwks_uri = jwks_uri or await fetcher.discovered("jwks_uri", tenant)
        return jwks_uri, parse_key_set(await fetcher.get_json(jwks_uri, tenant))
    except FetchError as error:
        raise JWKSUnavailableError(error.message) from error
    except ValueError as error:
        raise JWKSUnavailableError(f"{jwks_uri}: {error}") from error
