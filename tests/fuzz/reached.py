"""What of the package an input reaches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

PACKAGE = str(Path(receiver.__file__).parent)

Place = tuple[str, str, int]
"""File, qualified name of the function, line."""


def reached(play: Callable[[bytes], None], data: bytes) -> set[Place]:
    """Every line of the package that is run."""
    found: set[Place] = set()

    def trace(frame: FrameType, event: str, _: object) -> object:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return None
        found.add((code.co_filename, code.co_qualname, frame.f_lineno if event == "line" else 0))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]  # it may return None
    try:
        play(data)
    finally:
        sys.settrace(before)
    return found


def fewest(play: Callable[[bytes], None], inputs: Iterable[bytes]) -> list[bytes]:
    """Those that reach a line which none before them reached, the smallest first."""
    seen: set[Place] = set()
    kept = []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        new = reached(play, data) - seen
        if new:
            kept.append(data)
            seen |= new
    return kept


def functions(places: Iterable[Place]) -> set[str]:
    """The functions, as `module:name`."""
    root = Path(PACKAGE).parent
    return {f"{'.'.join(Path(file).relative_to(root).with_suffix('').parts)}:{name}" for file, name, _ in places}
