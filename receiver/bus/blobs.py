"""Rewrite one string value without losing another writer's change: compare-and-set, keeping its lifetime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

SWAP_SCRIPT = """
local value = redis.call('GET', KEYS[1])
if not value or redis.sha1hex(value) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""
"""KEYS: the value. ARGV: SHA-1 (hex) of the bytes that were read, the new bytes."""

ATTEMPTS = 5
"""Tries before the whole value is deleted: dropping too much signs people in again, dropping too little
leaves a signed-out user's tokens."""


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
        read = hashlib.sha1(value, usedforsecurity=False).hexdigest()
        if client.eval(SWAP_SCRIPT, 1, key, read, changed):
            return
    client.unlink(key)
