"""Who gives way where room is short: one peer that takes up much of it, before others that take up little."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Item = TypeVar("Item")

FULL_S = 1.0
"""Seconds after which a place counts in full. What is shorter counts less, so that a storm of requests that are each
read in milliseconds does not give way to slow ones. Longer favours it more, and a burst of slow ones, too."""

NETWORK_BITS = 64
"""Leading bits of an IPv6 address by which peers are told apart: who has one has all addresses of such a network."""


class Place(NamedTuple):
    """Room that is taken.

    Attributes:
        peer: Who takes it (`peer_of`).
        since_s: Since when, by a monotonic clock.
    """

    peer: str
    since_s: float


def peer_of(address: str | None) -> str:
    """Whom an address belongs to; all whose address is not known count as one."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, NETWORK_BITS), strict=False))


def next_to_go(taken: Mapping[Item, Place], now_s: float) -> Item:
    """The one that gives way: the oldest of the peer whose places count most together.

    Args:
        taken: The oldest first; not empty.
        now_s: By the clock of the places.
    """
    together: dict[str, float] = {}
    for peer, since_s in taken.values():
        together[peer] = together.get(peer, 0.0) + min(now_s - since_s, FULL_S)
    most = max(together.values())
    return next(item for item, place in taken.items() if together[place.peer] == most)
