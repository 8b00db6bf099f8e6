"""Whether a write-ahead log of SQLite is whole. Older versions leave one when they are killed.

SQLite stops reading at the first frame with a wrong checksum and says nothing: behind it may be logouts that were
answered 200. A power cut leaves such a frame too, but only in the last transaction, which was not answered yet.

Format: sqlite.org/fileformat2.html, section 4 (The Write-Ahead Log).
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEADER = struct.Struct(">8I")
"""Magic, version, page size, checkpoint, salt twice, checksum twice."""

FRAME = struct.Struct(">6I")
"""Page number, size of the database after a commit or 0, salt twice, checksum twice."""

MAGIC = 0x377F0682
"""Its lowest bit says that checksums are made of big-endian words."""

TORN_COMMITS = 1
"""Commits behind a wrong checksum that a power cut explains."""


def is_damaged(path: Path) -> bool:
    """Whether committed transactions in the log would be skipped."""
    content = path.read_bytes()
    if not any(content):
        return False
    if len(content) < HEADER.size:
        # Its head is written and synced before the first frame.
        return False
    magic, _, page_bytes, _, salt_1, salt_2, *checksum = HEADER.unpack_from(content)
    order = "big" if magic & 1 else "little"
    if magic & ~1 != MAGIC or _checksum(content[: HEADER.size - 8], (0, 0), order) != tuple(checksum):
        return len(content) > HEADER.size
    running = (checksum[0], checksum[1])
    skipped = 0
    whole = True
    for at in range(HEADER.size, len(content) - FRAME.size - page_bytes + 1, FRAME.size + page_bytes):
        _, commits, frame_salt_1, frame_salt_2, *checksum = FRAME.unpack_from(content, at)
        if (frame_salt_1, frame_salt_2) != (salt_1, salt_2):
            # Of an earlier round of the log; unless this head is what was damaged, nothing of this one follows.
            whole = False
            continue
        if whole:
            running = _checksum(content[at : at + 8], running, order)
            running = _checksum(content[at + FRAME.size : at + FRAME.size + page_bytes], running, order)
            whole = running == tuple(checksum)
        if not whole:
            skipped += commits > 0
    return skipped > TORN_COMMITS


def _checksum(content: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    words = array("I", content)
    if sys.byteorder != order:
        words.byteswap()
    first, second = start
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return first, second
