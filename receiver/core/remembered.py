"""What the worker remembers of accounts and keys that it cleared, as it is kept in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core.layouts.cached_sign_in import seconds
from receiver.core.verdict import Removal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of one account or key.

    Attributes:
        removal: For `verdict.judge`.
        fresh: Whether what was in flight then may still write it back.
        again: How often it was removed again since.
        unsure: How often of these nothing proved that it was the old one.
        since_unsure_s: Seconds since the last of these.
    """

    removal: Removal
    fresh: bool
    again: int
    unsure: int
    since_unsure_s: float = float("inf")


def read(fields: Mapping[bytes, bytes], now_s: float) -> tuple[Remembered | None, bool]:
    """What is remembered, and whether some of it is damaged: that counts as absent.

    Args:
        fields: As removed.lua writes them.
        now_s: NumericDate seconds.
    """
    # Each may be missing: earlier releases wrote fewer.
    names = (b"at", b"until", b"again", b"unsure", b"unsure_at")
    numbers = {name: _number(fields[name]) for name in names if name in fields}
    damaged = None in numbers.values()
    at = numbers.get(b"at")
    if at is None:
        return None, damaged
    sids = frozenset(name[4:].decode("ascii", "replace") for name in fields if name.startswith(b"sid "))
    fresh = now_s < (numbers.get(b"until") or 0)
    again, unsure = (int(numbers.get(name) or 0) for name in (b"again", b"unsure"))
    since_unsure_s = now_s - (numbers.get(b"unsure_at") or float("-inf"))
    return Remembered(Removal(at, sids), fresh, again, unsure, since_unsure_s=since_unsure_s), damaged


def _number(value: bytes) -> float | None:
    return seconds(value.decode("ascii", "replace"))
