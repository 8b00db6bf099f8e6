"""The outbox's file: what it holds is on disk when a call returns, and one process owns it.

SQLite in WAL mode with `synchronous=FULL`: a transaction is fsynced before it counts, and one that was cut
short by a crash never happened. Everything here blocks; `outbox.Outbox` calls it from one thread.

The file names who was signed out, so it is readable by its owner only, and what leaves it is overwritten.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from receiver.errors import PublishError
from receiver.ingress.outbox.database import database, describe, is_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

PROBE_BYTES = 32 * 1024
"""Bytes written to see whether the file can grow again; more than any one entry takes."""


class Put(StrEnum):
    """What became of an eviction offered to the outbox."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Entry:
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
        rows: Evictions in the file.
        waiting: Those of them to be published; the others are set aside.
        oldest_at: NumericDate seconds when the first waiting one was received; None when none waits.
    """

    rows: int = 0
    waiting: int = 0
    oldest_at: float | None = None


class OutboxFile:
    """The open file. Use it in the thread that opened it.

    Args:
        path: The file; made when it is not there, its directory is not.
        max_entries: Evictions kept at most.
        max_bytes: Bytes the file may grow to; its write-ahead log takes some megabytes more.

    Attributes:
        level: How full it is, as of the last transaction.

    Raises:
        ConfigurationError: see `outbox_database.database`.
    """

    def __init__(self, path: Path, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        with contextlib.ExitStack() as opened:
            self._db = opened.enter_context(database(path, max_bytes=max_bytes))
            [rows] = self._db.execute("SELECT count(*) FROM evictions").fetchone()
            self.level = Level(rows, rows, self._oldest_at())
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._opened.close()

    def transact(self, operations: Sequence[Callable[[OutboxFile], object]]) -> list[object]:
        """Run the operations as one transaction; on return it is on disk.

        Returns:
            Their results; PublishError in place of the results of those that could not be written.
        """
        before = self.level
        try:
            self._db.execute("BEGIN IMMEDIATE")
            results = [operation(self) for operation in operations]
            if self.level != before:
                self.level = replace(self.level, oldest_at=self._oldest_at())
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(before)
            if len(operations) > 1 and is_full(error):
                # What does not fit must not take along what does.
                return [result for operation in operations for result in self.transact([operation])]
            return [PublishError(f"the outbox cannot be written: {describe(error)}")] * len(operations)
        except BaseException:
            self._roll_back(before)
            raise
        if before.waiting and not self.level.waiting:
            self._wipe_log()
        return results

    def put(self, event_id: str, event: bytes, received_at: float) -> Put:
        """Store one eviction behind the others, once."""
        there = self._db.execute("SELECT seq, set_aside FROM evictions WHERE id = ?", (event_id,)).fetchone()
        if there is not None:
            seq, is_set_aside = there
            if is_set_aside:
                self._db.execute("UPDATE evictions SET event = ?, set_aside = 0 WHERE seq = ?", (event, seq))
                self._shift(waiting=1)
            return Put.DUPLICATE
        if self.level.rows >= self._max_entries:
            return Put.FULL
        self._db.execute(
            "INSERT INTO evictions (id, event, received_at) VALUES (?, ?, ?)", (event_id, event, received_at)
        )
        self._shift(rows=1, waiting=1)
        return Put.STORED

    def oldest(self, limit: int) -> list[Entry]:
        """The first evictions to be published, in the order they came."""
        query = "SELECT seq, id, event FROM evictions WHERE set_aside = 0 ORDER BY seq LIMIT ?"
        return [Entry(*row) for row in self._db.execute(query, (limit,))]

    def advance(self, published: Iterable[Entry], limit: int) -> list[Entry]:
        """Forget evictions that are published, and return the first of the others as `oldest` does."""
        for entry in published:
            gone = self._db.execute("DELETE FROM evictions WHERE seq = ?", (entry.seq,)).rowcount
            self._shift(rows=-gone, waiting=-gone)
        return self.oldest(limit)

    def set_aside(self, entry: Entry) -> None:
        """Keep an eviction this version cannot read, out of the others' way; the next start tries it again."""
        moved = self._db.execute("UPDATE evictions SET set_aside = 1 WHERE seq = ?", (entry.seq,)).rowcount
        self._shift(waiting=-moved)

    def update_held(self, new: Iterable[HeldRow], gone: Iterable[int]) -> bool:
        """Store held tokens and forget others, by number."""
        self._db.executemany("DELETE FROM held_tokens WHERE number = ?", ((number,) for number in gone))
        self._db.executemany(
            "INSERT INTO held_tokens (number, tenant, token, received_at) VALUES (?, ?, ?, ?)",
            ((row.number, row.tenant, row.token, row.received_at) for row in new),
        )
        return True

    def held(self) -> list[HeldRow]:
        """Every held token, in the order they came."""
        query = "SELECT number, tenant, token, received_at FROM held_tokens ORDER BY number"
        return [HeldRow(*row) for row in self._db.execute(query)]

    def probe(self) -> bool:
        """Write, to see whether the file can grow: True then. `clear_probe` in the next transaction takes it back."""
        self._db.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
        return True

    def clear_probe(self) -> None:
        """Give the space back that `probe` took."""
        self._db.execute("DELETE FROM probe")

    def _shift(self, *, rows: int = 0, waiting: int = 0) -> None:
        self.level = replace(self.level, rows=self.level.rows + rows, waiting=self.level.waiting + waiting)

    def _roll_back(self, before: Level) -> None:
        self.level = before
        # Some errors have rolled back already.
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def _oldest_at(self) -> float | None:
        query = "SELECT received_at FROM evictions WHERE set_aside = 0 ORDER BY seq LIMIT 1"
        row = self._db.execute(query).fetchone()
        return None if row is None else float(row[0])

    def _wipe_log(self) -> None:
        # Nothing depends on it: the log still holds what was just published, and names who it was about.
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
