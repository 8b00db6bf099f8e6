"""How many bytecodes of Python a call executes: a figure that no load changes."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Count:
    """Executed so far.

    Attributes:
        executed: All.
        by_file: By the file they are from.
    """

    def __init__(self) -> None:
        self.executed = 0
        self.by_file = Counter[str]()

    def __call__(self, frame: FrameType, event: str, _: object) -> Count:
        """Called by the interpreter, once for each of them."""
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.executed += 1
            self.by_file[frame.f_code.co_filename] += 1
        return self


@contextmanager
def counted() -> Iterator[Count]:
    """Count what this thread executes."""
    count = Count()
    sys.settrace(count)
    try:
        yield count
    finally:
        sys.settrace(None)
