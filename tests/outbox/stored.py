"""An outbox's file as a test fills and empties it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from receiver.ingress.outbox.file import OutboxFile

if TYPE_CHECKING:
    from collections.abc import Callable


MEGABYTE = 1024 * 1024


EVENT = b"x" * 600


def put(name: str, event: bytes = EVENT) -> Callable[[OutboxFile], object]:
    """One eviction to be stored."""
    return partial(OutboxFile.put, event_id=name, event=event, received_at=1.0)


def ids(file: OutboxFile) -> list[str]:
    """What waits, in order."""
    [entries] = file.transact([partial(OutboxFile.oldest, limit=100_000)])
    return [entry.event_id for entry in entries]  # type: ignore[attr-defined]


def drain(file: OutboxFile) -> list[str]:
    """Take everything out as if it were published, in batches; in order."""
    taken: list[str] = []
    [batch] = file.transact([partial(OutboxFile.oldest, limit=1024)])
    while batch:
        taken += [entry.event_id for entry in batch]  # type: ignore[attr-defined]
        [batch] = file.advance(batch, 1024)  # type: ignore[arg-type]
    return taken
