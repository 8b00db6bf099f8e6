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
"""Outside of Git. One line for each verdict: a word, and the name of what was tried."""


class Verdicts:
    """Those that are known. A line is written at once, so a run may be stopped at any time.

    Args:
        file: Where they are; made when it is missing.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self._known = {name: word == "killed" for word, _, name in (line.partition(" ") for line in lines)}

    def killed(self, name: str) -> bool | None:
        """Whether a test noticed this mutant; None if it has to be tried."""
        return self._known.get(name)

    def note(self, name: str, *, killed: bool) -> None:
        """For the next run."""
        self._known[name] = killed
        with self._file.open("a") as file:
            file.write(f"{'killed' if killed else 'survived'} {name}\n")


def digest_of(files: Iterable[Path]) -> str:
    """Of the file that is changed and of its tests. Comments and the shape of Python files do not count."""
    texts = ((file.suffix, file.read_text()) for file in files)
    parts = [ast.dump(ast.parse(text)) if suffix == ".py" else text for suffix, text in texts]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
