"""The outbox's file: what it was given is on disk when a call returns, and one process owns it.

SQLite with `synchronous=FULL`: a transaction is fsynced before it counts, and one that was cut short by a crash never
happened. Everything here blocks; `store.Outbox` calls it from one thread.

An eviction of a token that is not valid yet is in the file before it is answered for, apart from those that wait, and
joins them when its time has come. When that is stands in the column `set_aside`.

What is published is first forgotten in memory and then on disk. A disk that refuses the second stops nothing: at the
next start those evictions are offered once more, and the publish script recognises them by their id.

The file names who was signed out, so it is readable by its owner only, and what leaves it is overwritten.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from receiver.core.tenants import LONGEST_AHEAD_S
from receiver.errors import PublishError
from receiver.ingress.outbox.database import Database
from receiver.ingress.outbox.faults import describe, is_damage, is_full
from receiver.ingress.outbox.records import HeldRow, Level, OutboxEntry, Put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

FORGET_BATCH = 1024
"""Evictions forgotten on disk in one transaction; fewer where the disk has no room for its journal."""

PROBE_BYTES = 32 * 1024
"""Bytes written to see whether the file can grow again; more than any one entry takes."""


_EARLY = "SELECT seq, set_aside FROM evictions WHERE set_aside > 1"
# A 1 is an older version's, and no date.


class OutboxFile:
    """The open file. Use it in the thread that opened it.

    Args:
        path: The file; made when it is not there, its directory is not.
        max_entries: Evictions kept at most.
        max_bytes: Bytes the file may grow to; its journal takes some megabytes more.

    Attributes:
        level: How full it is, as of the last transaction.
        redis_seen: Digests of the Redis addresses that have answered once.

    Raises:
        ConfigurationError: see `database.Database`.
    """

    _db: sqlite3.Connection

    def __init__(self, path: Path, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._published: set[int] = set()
        self._aside: set[int] = set()
        self._early: dict[int, float] = {}
        self._passed = 0
        self._rows = 0
        self._damage: sqlite3.Error | None = None
        self.level = Level()
        self.redis_seen: set[str] = set()
        self._database = Database(path, max_bytes=max_bytes)
        if self._database.is_open:
            self.transact([OutboxFile._read_state])

    @property
    def restored(self) -> int:
        """Times the file was made anew because it had been deleted."""
        return self._database.restored

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._database.close()

    def transact(self, operations: Sequence[Callable[[OutboxFile], object]]) -> list[object]:
        """Run the operations as one transaction; on return it is on disk.

        Returns:
            Their results; PublishError in place of the results of those that could not be carried out.
        """
        waiting = self.level.waiting
        try:
            results = self._run(operations)
            if not self._database.is_in_place():
                # Deleted meanwhile. What is answered now has to be there at the next start.
                self._db = self._database.connection
            self._measure()
        except sqlite3.Error as error:
            self._roll_back()
            if is_damage(error):
                self._damage = error
            elif len(operations) > 1 and is_full(error):
                # What does not fit must not take along what does.
                return [result for operation in operations for result in self.transact([operation])]
            return [PublishError(f"the outbox's file cannot be used: {describe(error)}")] * len(operations)
        except BaseException:
            self._roll_back()
            raise
        if waiting and not self.level.waiting and not self._published:
            self._database.wipe_journal()
        return results

    def event(self, event_id: str) -> bytes | None:
        """The wire form stored under this id."""
        row = self._db.execute("SELECT event FROM evictions WHERE id = ?", (event_id,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, event_id: str, event: bytes, received_at: float, not_before: float = 0.0) -> Put:
        """Store one eviction behind the others, once; one with a `not_before` waits apart, until `release`."""
        there = self._db.execute("SELECT seq FROM evictions WHERE id = ?", (event_id,)).fetchone()
        if there is not None:
            [seq] = there
            if seq in self._aside:
                self._db.execute("UPDATE evictions SET event = ? WHERE seq = ?", (event, seq))
                self._bring_back(seq)
            return Put.DUPLICATE
        if self._rows >= self._max_entries:
            return Put.FULL
        added = self._db.execute(
            "INSERT INTO evictions (id, event, received_at, set_aside) VALUES (?, ?, ?, ?)",
            (event_id, event, received_at, math.ceil(not_before)),
        )
        if not_before and added.lastrowid is not None:
            self._early[added.lastrowid] = not_before
        self._rows += 1
        return Put.STORED

    def oldest(self, limit: int) -> list[OutboxEntry]:
        """The first evictions to be published, in the order they came."""
        found: list[OutboxEntry] = []
        query = "SELECT seq, id, event FROM evictions WHERE seq > ? ORDER BY seq"
        for row in self._db.execute(query, (self._passed,)):
            if not self._is_out(row[0]):
                found.append(OutboxEntry(*row))
                if len(found) == limit:
                    break
            elif not found:
                self._passed = row[0]
        return found

    def entry(self, seq: int) -> OutboxEntry | None:
        """One eviction that is set aside; None when it is not, any more."""
        row = self._db.execute("SELECT seq, id, event FROM evictions WHERE seq = ?", (seq,)).fetchone()
        return OutboxEntry(*row) if row is not None and seq in self._aside else None

    def advance(self, published: Iterable[OutboxEntry], limit: int) -> list[object]:
        """Forget evictions that are published, and return the first of the others as `oldest` does.

        Returns:
            As `transact`: the evictions, or PublishError when the file cannot be read.
        """
        for entry in published:
            self._published.add(entry.seq)
            self._aside.discard(entry.seq)
        self._forget()
        return self.transact([partial(OutboxFile.oldest, limit=limit)])

    def set_aside(self, entry: OutboxEntry) -> None:
        """Keep an eviction out of the others' way until it is published, comes again, or the file is opened again."""
        self._aside.add(entry.seq)

    def release(self, now_s: float) -> None:
        """Put those that are due among those that wait; infinity releases all of them."""
        for seq, not_before in list(self._early.items()):
            # One that is further off than any may be tells of a clock that was set back.
            if not now_s < not_before <= now_s + LONGEST_AHEAD_S:
                del self._early[seq]
                self._passed = min(self._passed, seq - 1)

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

    def note_redis_seen(self, url_digest: str) -> None:
        """Remember, also for the next start, that this Redis has answered."""
        self._db.execute("INSERT OR IGNORE INTO redis_seen VALUES (?)", (url_digest,))

    def probe(self) -> bool:
        """Write, to see whether the file can grow: True then. `clear_probe` in the next transaction takes it back."""
        self._db.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
        return True

    def clear_probe(self) -> None:
        """Give the space back that `probe` took."""
        self._db.execute("DELETE FROM probe")

    def _run(self, operations: Sequence[Callable[[OutboxFile], object]]) -> list[object]:
        if self._damage is not None:
            raise self._damage
        self._db = self._database.connection
        self._db.execute("BEGIN")
        results = [operation(self) for operation in operations]
        self._db.execute("COMMIT")
        return results

    def _forget(self) -> None:
        batch = FORGET_BATCH
        while self._published:
            seqs = heapq.nsmallest(batch, self._published)
            self._published.difference_update(seqs)
            [result] = self.transact([partial(OutboxFile._delete, seqs=seqs)])
            if not isinstance(result, PublishError):
                continue
            self._published.update(seqs)
            if len(seqs) > 1:
                batch = max(1, len(seqs) // 4)
            else:
                self._start_anew()
                return

    def _delete(self, seqs: Iterable[int]) -> None:
        self._rows -= self._db.executemany("DELETE FROM evictions WHERE seq = ?", ((seq,) for seq in seqs)).rowcount

    def _start_anew(self) -> None:
        """Give up a file that cannot forget, once nothing in it is needed."""
        if len(self._published) < self._rows or self._damage is not None:
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            held = self.held()
            self._database.start_anew()
            self._published.clear()
            self._rows = self._passed = 0
            self.transact([partial(OutboxFile.update_held, new=held, gone=[])])
            for url_digest in self.redis_seen:
                self.transact([partial(OutboxFile.note_redis_seen, url_digest=url_digest)])

    def _read_state(self) -> None:
        [self._rows] = self._db.execute("SELECT count(*) FROM evictions").fetchone()
        self._early = dict(self._db.execute(_EARLY))
        with contextlib.suppress(sqlite3.OperationalError):
            # A full disk kept the table from being made.
            self.redis_seen = {digest for [digest] in self._db.execute("SELECT url_digest FROM redis_seen")}

    def _bring_back(self, seq: int) -> None:
        self._aside.discard(seq)
        self._passed = min(self._passed, seq - 1)

    def _is_out(self, seq: int) -> bool:
        return seq in self._published or seq in self._aside or seq in self._early

    def _measure(self) -> None:
        waiting = self._rows - len(self._published) - len(self._aside) - len(self._early)
        [pages] = self._db.execute("PRAGMA page_count").fetchone()
        [free] = self._db.execute("PRAGMA freelist_count").fetchone()
        [limit] = self._db.execute("PRAGMA max_page_count").fetchone()
        self.level = Level(
            rows=self._rows,
            waiting=waiting,
            set_aside=len(self._aside),
            early=len(self._early),
            oldest_at=self._oldest_at() if waiting else None,
            used=max(self._rows / self._max_entries, (pages - free) / limit),
        )

    def _oldest_at(self) -> float | None:
        query = "SELECT seq, received_at FROM evictions WHERE seq > ? ORDER BY seq"
        for seq, received_at in self._db.execute(query, (self._passed,)):
            if not self._is_out(seq):
                return float(received_at)
        return None

    def _roll_back(self) -> None:
        # Some errors have rolled back already, and some come after the commit.
        with contextlib.suppress(sqlite3.Error, AttributeError):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            stored = dict(self._db.execute(_EARLY))
            self._early = {seq: at for seq, at in self._early.items() if seq in stored}
            [self._rows] = self._db.execute("SELECT count(*) FROM evictions").fetchone()
