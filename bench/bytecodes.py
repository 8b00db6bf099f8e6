"""How many bytecodes of Python a call executes: a figure that no load changes."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Count:
    """Executed so far."""

    def __init__(self) -> None:
        self.executed = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> Count:
        """Called by the interpreter, once for each of them."""
        frame.f_trace_opcodes = True
        self.executed += event == "opcode"
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
