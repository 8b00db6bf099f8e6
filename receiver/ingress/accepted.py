"""What is made durable, as inputs, held tokens and the audit log are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from receiver.core.eviction import Eviction


class Accepted(NamedTuple):
    """One eviction that is durable, in Redis or in the outbox.

    Attributes:
        eviction: What was ordered, with the id it is published under, as far as that is known.
        entry_id: Its place in the stream; None while it waits in the outbox.
        duplicate: True when an earlier order had already put it there.
    """

    eviction: Eviction
    entry_id: str | None
    duplicate: bool
