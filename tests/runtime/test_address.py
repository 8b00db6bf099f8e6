"""A Redis is remembered by where it is, whoever connects to it."""

from __future__ import annotations

import pytest

from receiver.runtime.redis_watch import address_digest


@pytest.mark.parametrize("url", ["redis://:old@one:6379/0", "redis://user:n%40w@one:6379/0", "redis://one:6379/0"])
def test_credentials_do_not_count(url: str) -> None:
    """A password that is changed makes no other Redis of it."""
    assert address_digest("redis://one:6379/0") == address_digest(url)


@pytest.mark.parametrize(
    "url", ["redis://two:6379/0", "redis://one:6379/1", "rediss://one:6379/0", "redis://one:6380/0"]
)
def test_every_part_of_the_address_counts(url: str) -> None:
    """Another host, port, database or scheme is another address, which has not answered yet."""
    assert address_digest("redis://one:6379/0") != address_digest(url)
