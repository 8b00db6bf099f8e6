"""How a stream's events come, and what a transmitter is asked to change (SSF 1.0 §6.1, §8.1.1)."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.signals.delivery import POLL, PUSH, changes, delivery_of, is_delivered, is_method, is_reachable

OURS = {"method": PUSH, "endpoint_url": "https://receiver/ssf", "authorization_header": "Bearer x"}
"""What we ask for, where events are pushed."""

POLLED = {"method": POLL}
"""What we ask for, where we poll: the address is the transmitter's to say."""

EVENTS = ["https://schemas.openid.net/a", "https://schemas.openid.net/b"]


@pytest.mark.parametrize(
    ("stream", "delivery"),
    [({"delivery": POLLED}, POLLED), ({}, {}), ({"delivery": None}, {}), ({"delivery": "push"}, {})],
)
def test_delivery_of_a_stream(stream: dict[str, Any], delivery: dict[str, Any]) -> None:
    """The member of that name, where it is an object."""
    assert delivery == delivery_of(stream)


@pytest.mark.parametrize(
    ("method", "is_push", "is_poll"),
    [
        ("urn:ietf:rfc:8935", True, False),
        ("urn:ietf:rfc:8936", False, True),
        ("https://schemas.openid.net/secevent/risc/delivery-method/push", True, False),
        ("https://schemas.openid.net/secevent/risc/delivery-method/poll", False, True),
        ("push", False, False),
        (None, False, False),
    ],
)
def test_methods_and_their_former_names(method: object, *, is_push: bool, is_poll: bool) -> None:
    """RFC 8935 and RFC 8936; drafts of SSF called them by addresses of their own."""
    assert [is_push, is_poll] == [is_method({"method": method}, one) for one in (PUSH, POLL)]


@pytest.mark.parametrize(
    ("delivery", "method", "reachable"),
    [
        ({"method": PUSH}, PUSH, True),
        ({"method": PUSH}, POLL, False),
        ({"method": POLL, "endpoint_url": "https://op/poll"}, POLL, True),
        ({"method": POLL, "endpoint_url": "https://op/poll"}, PUSH, False),
        ({"method": POLL}, POLL, False),
        ({"method": POLL, "endpoint_url": None}, POLL, False),
        ({}, PUSH, False),
    ],
)
def test_stream_that_reaches_us(delivery: dict[str, Any], method: str, *, reachable: bool) -> None:
    """By the method, and for a poll only with the address to poll."""
    assert reachable is is_reachable({"delivery": delivery}, method)


@pytest.mark.parametrize(
    ("there", "asked", "delivered"),
    [
        (OURS, OURS, True),
        ({**OURS, "further": 1}, OURS, True),
        ({**OURS, "endpoint_url": "https://elsewhere"}, OURS, False),
        ({**OURS, "authorization_header": "Bearer y"}, OURS, False),
        # A header that we ask for and it does not send, and one that it sends and we no longer ask for.
        ({"method": PUSH, "endpoint_url": OURS["endpoint_url"]}, OURS, False),
        (OURS, {"method": PUSH, "endpoint_url": OURS["endpoint_url"]}, False),
        ({**OURS, "method": POLL}, OURS, False),
        ({"method": POLL, "endpoint_url": "https://op/poll"}, POLLED, True),
        ({"method": POLL, "endpoint_url": "https://op/poll", "authorization_header": "x"}, POLLED, True),
        (POLLED, POLLED, False),
        (OURS, POLLED, False),
    ],
)
def test_events_come_as_asked(there: dict[str, Any], asked: dict[str, str], *, delivered: bool) -> None:
    """A push to our address with our header; a poll at the transmitter's own address."""
    assert delivered is is_delivered({"delivery": there}, asked)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ({"delivery": OURS, "events_requested": EVENTS}, {}),
        ({"delivery": OURS, "events_requested": EVENTS[::-1]}, {}),
        ({"delivery": POLLED, "events_requested": EVENTS}, {"delivery": OURS}),
        ({"delivery": OURS, "events_requested": EVENTS[:1]}, {"events_requested": EVENTS}),
        ({"delivery": OURS, "events_requested": [*EVENTS, "c"]}, {"events_requested": EVENTS}),
        ({"delivery": OURS, "events_requested": [*EVENTS, 5]}, {"events_requested": EVENTS}),
        ({"delivery": OURS, "events_requested": None}, {"events_requested": EVENTS}),
        ({"delivery": OURS}, {"events_requested": EVENTS}),
        ({}, {"delivery": OURS, "events_requested": EVENTS}),
    ],
)
def test_what_to_change(stream: dict[str, Any], expected: dict[str, Any]) -> None:
    """What differs, and nothing of what is right: a transmitter may take that for an order to forget its address."""
    assert expected == changes(stream, OURS, EVENTS)
