"""Where a request came from, for logs and traces, and for who gives way where room is short."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from receiver.core import trace_context

if TYPE_CHECKING:
    from multidict import MultiMapping


@dataclass(frozen=True, slots=True)
class Sender:
    """What is known of it.

    Attributes:
        peer: Its address, as far as `public.proxies` tells; None where the connection is gone.
        unverified_request_id: What it, or a proxy, calls the request in `X-Request-Id`.
        traceparent: The trace it is part of, as `core.trace_context.parse` returns it.
    """

    peer: str | None
    unverified_request_id: str | None
    traceparent: str | None

    @classmethod
    def of(cls, headers: MultiMapping[str], remote: str | None, proxies: int) -> Sender:
        """The sender of a request that came through so many proxies of ours.

        Args:
            headers: The request's.
            remote: The address its connection came from.
            proxies: How many.
        """
        traces = headers.getall("traceparent", ())
        return cls(
            peer=(_forwarded_for(headers.getall("X-Forwarded-For", ()), proxies) if proxies else None) or remote,
            unverified_request_id=headers.get("X-Request-Id"),
            traceparent=trace_context.parse(traces[0]) if len(traces) == 1 else None,
        )

    def fields(self) -> dict[str, str | None]:
        """Of a log line."""
        return {
            "peer": self.peer,
            "unverified_request_id": self.unverified_request_id,
            "trace_id": trace_context.trace_id(self.traceparent) if self.traceparent else None,
        }


def _forwarded_for(headers: list[str] | tuple[str, ...], proxies: int) -> str | None:
    """What the outermost of our proxies has noted: what stands before it, the sender may have made up."""
    noted = [one.strip() for one in ",".join(headers).split(",")]
    if len(noted) < proxies:
        return None
    try:
        return str(ip_address(noted[-proxies]))
    except ValueError:
        return None
