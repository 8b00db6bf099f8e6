"""The short way from request to answer is there with what is installed with the image."""

from __future__ import annotations

from receiver.runtime.aiohttp_insides import IS_KNOWN_AIOHTTP


def test_the_locked_aiohttp_is_known() -> None:
    """Else every request would be handed to aiohttp's task, with no test to say so."""
    assert IS_KNOWN_AIOHTTP
