"""What the outbox's file holds, and how full it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Put(StrEnum):
    """What became of an eviction offered to the outbox."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One eviction as stored.

    Attributes:
        seq: Its place in the order.
        event_id: The eviction's id.
        event: Its wire form.
    """

    seq: int
    event_id: str
    event: bytes


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One token that waits for its OP's keys, as stored.

    Attributes:
        number: Its place in the order.
        tenant: The tenant it claimed to be from.
        token: As received.
        received_at: NumericDate seconds.
    """

    number: int
    tenant: str
    token: str
    received_at: float


@dataclass(frozen=True, slots=True)
class Level:
    """How full the outbox is.

    Attributes:
        rows: Evictions in the file; some of them may be published already.
        waiting: Those of them to be published.
        set_aside: Those that are kept out of the others' way.
        early: Those that are not due yet.
        oldest_at: NumericDate seconds when the first waiting one was received; None when none waits.
        used: Share of the room the file may take, from 0 to 1.
    """

    rows: int = 0
    waiting: int = 0
    set_aside: int = 0
    early: int = 0
    oldest_at: float | None = None
    used: float = 0.0
