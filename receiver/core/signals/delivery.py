"""How the events of a stream come: what we ask a transmitter for, and whether it is so (SSF 1.0 §6.1, §8.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
"""Delivery methods (SSF §6.1)."""

_BEFORE_SSF_1 = {PUSH: "/push", POLL: "/poll"}
"""How the names of the same methods ended before SSF 1.0."""


def delivery_of(stream: Mapping[str, Any]) -> Mapping[str, Any]:
    """The member `delivery` of a stream's configuration; empty where it is none."""
    delivery = stream.get("delivery")
    return delivery if isinstance(delivery, dict) else {}


def is_method(delivery: Mapping[str, Any], method: str) -> bool:
    """Whether a stream is delivered by this method, by today's name or by the one before SSF 1.0."""
    # RFC 8935 and RFC 8936 gave both methods their names; drafts called them by an address of OpenID's.
    return str(delivery.get("method")).endswith((method, _BEFORE_SSF_1[method]))


def is_reachable(stream: Mapping[str, Any], method: str) -> bool:
    """Whether the stream has this method, and for a poll the address, which is the transmitter's to say."""
    delivery = delivery_of(stream)
    return is_method(delivery, method) and (method == PUSH or isinstance(delivery.get("endpoint_url"), str))


def is_delivered(stream: Mapping[str, Any], delivery: Mapping[str, str]) -> bool:
    """Whether events come as asked: by the method, and for a push to our address, with our header or with none."""
    names = ("endpoint_url", "authorization_header") if delivery["method"] == PUSH else ()
    there = delivery_of(stream)
    return is_reachable(stream, delivery["method"]) and all(there.get(name) == delivery.get(name) for name in names)


def changes(stream: Mapping[str, Any], delivery: Mapping[str, str], events: Collection[str]) -> dict[str, Any]:
    """What to ask the transmitter to change of a stream that is there; empty where it is as asked.

    Args:
        stream: Its configuration.
        delivery: Asked for: `method`, and for a push `endpoint_url` and perhaps `authorization_header`.
        events: URIs asked for.
    """
    changed: dict[str, Any] = {}
    # What is right is not sent: Keycloak 26.7 takes a poll's delivery without the address, which is its own, for an
    # order to forget the address, and with it the `aud` of every event.
    if not is_delivered(stream, delivery):
        changed["delivery"] = dict(delivery)
    requested = stream.get("events_requested")
    if not isinstance(requested, list) or set(map(str, requested)) != set(events):
        changed["events_requested"] = list(events)
    return changed
