"""Rewrite one string value without losing another writer's change: compare-and-set, keeping its lifetime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from receiver.bus.lua import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

SWAP = Script.read("swap")

ATTEMPTS = 5
"""Tries before the whole value is deleted: dropping too much signs people in again, dropping too little
leaves a signed-out user's tokens."""


def fingerprint(value: bytes) -> str:
    """What swap.lua compares values by."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()


def rewrite(client: redis.Redis, key: str, change: Callable[[bytes], bytes | None]) -> None:
    """Replace the value of `key` by `change(value)`; a missing key stays missing.

    Args:
        client: Any redis-py client without response decoding.
        key: A string key.
        change: Pure; returns the new value, or None when nothing has to change. Called once per attempt.
    """
    for _ in range(ATTEMPTS):
        value = client.get(key)
        if not isinstance(value, bytes):
            return
        changed = change(value)
        if changed is None:
            return
        if client.eval(SWAP.text, 1, key, "", fingerprint(value), changed):
            return
    client.unlink(key)
