"""Change one value without losing another writer's change, keeping its lifetime.

Some members are cut out of it inside Redis, also while others change; or all of it is replaced by compare-and-set. When
another writer came first nothing is changed: the caller reads again, decides again and tries again after `pause_s`.
"""

from __future__ import annotations

import hashlib
import random
import time
from typing import TYPE_CHECKING

from receiver.bus.lua import Argument, Script
from receiver.errors import UndoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from receiver.core.layouts.layout import Change, Cut

SWAP = Script.read("swap")
CUT = Script.read("cut")

ATTEMPTS = 12
"""Tries before a value is given up for now. Nothing of it is deleted to win: it may hold other users' sign-ins."""

PAUSE_S = 0.005
"""Seconds of the longest pause before the second try; each further one may be twice as long."""

PAUSE_MAX_S = 0.5
"""Seconds of the longest pause between two tries. All of them together take 1.5 seconds in the mean."""


CONTENDED = "other writers kept changing the user's own entries in a value; nothing was changed, try again later"


def fingerprint(value: bytes) -> str:
    """What swap.lua compares values by."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()


def swap_arguments(field: str, read: bytes, new: bytes | None) -> list[Argument]:
    """For swap.lua: put `new` in place of what was read, or delete the key when it is None."""
    return [field, fingerprint(read), new or b""]


def cut_arguments(field: str, cut: Cut) -> list[Argument]:
    """For cut.lua."""
    accounts = [part for name, count in cut.accounts.items() for part in (name, count)]
    return [field, len(cut.accounts), *accounts, *cut.pieces]


def pause_s(attempt: int) -> float:
    """Seconds to wait after this try, counted from 1: at random, so that writers do not meet again."""
    return random.uniform(0, min(PAUSE_MAX_S, PAUSE_S * 2 ** (attempt - 1)))  # noqa: S311  # no secret


def rewrite(client: redis.Redis, key: str, change: Callable[[bytes], Change | None]) -> None:
    """Change the value of `key` as `change(value)` says; a missing key stays missing.

    Args:
        client: Any redis-py client without response decoding.
        key: A string key.
        change: Pure; returns what becomes of the value, or None when nothing has to change. Called once per attempt.

    Raises:
        UndoneError: other writers came first each time; nothing was changed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        value = client.get(key)
        if not isinstance(value, bytes):
            return
        changed = change(value)
        if changed is None:
            return
        if changed.cut is not None:
            done = client.eval(CUT.text, 1, key, *cut_arguments("", changed.cut))
        else:
            done = client.eval(SWAP.text, 1, key, *swap_arguments("", value, changed.new))
        if done:
            return
        time.sleep(pause_s(attempt))
    raise UndoneError(CONTENDED)
