"""What came of mutants in earlier runs, so that a run goes on where one stopped, and tries only what has changed.

A verdict holds as long as the changed file and the tests that the table gives it stay as they are. Other files are not
looked at: run with `--anew` after a change of `tests/support`, or of what the changed file calls.
"""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT_IN = Path(__file__).parents[2] / ".tools" / "mutations.txt"
"""Outside of Git. One line for each verdict: a word and a digest."""


class Verdicts:
    """Those that are known. A line is written at once, so a run may be stopped at any time.

    Args:
        file: Where they are; made when it is missing.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self._known = {digest: word == "killed" for word, _, digest in (line.partition(" ") for line in lines)}

    def killed(self, digest: str) -> bool | None:
        """Whether a test noticed it; None if it has to be tried."""
        return self._known.get(digest)

    def note(self, digest: str, *, killed: bool) -> None:
        """For the next run."""
        self._known[digest] = killed
        with self._file.open("a") as file:
            file.write(f"{'killed' if killed else 'survived'} {digest}\n")


def digest_of(files: Iterable[Path], change: str) -> str:
    """What a verdict is kept under. Comments and the shape of Python files do not count.

    Args:
        files: The one that is changed, and its tests.
        change: Names the one change among the others of the file.
    """
    texts = ((file.suffix, file.read_text()) for file in files)
    parts = [change, *(ast.dump(ast.parse(text)) if suffix == ".py" else text for suffix, text in texts)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
