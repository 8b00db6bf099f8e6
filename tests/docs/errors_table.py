"""The answers in docs/errors.md, made from the tables of the endpoints; run it to bring the page up to date.

`python -m tests.docs.errors_table`, from the root of the repository. It writes the columns Back-channel,
Security events, API and Log; the others are written by hand.
"""

from __future__ import annotations

import re

from receiver.errors import Code
from receiver.ingress.http.responses import API, BACKCHANNEL, SSF
from tests.docs.pages import DOCS

PAGE = DOCS / "errors.md"
ROW = re.compile(r"^\| `(\w+)` (?:\| [^|]+ ){4}\|", re.MULTILINE)
TABLES = (BACKCHANNEL, SSF, API)
"""Of the endpoints, in the order of the columns."""


def cells(code: Code) -> str:
    """The row of a code as far as it is made."""
    answers = [table.get(code) for table in TABLES]
    statuses = [str(answer.status) if answer else "-" for answer in answers]
    level = next(("error" if answer.ours else "warning" for answer in answers if answer), "-")
    return f"| `{code.value}` | {' | '.join(statuses)} | {level} |"


def updated_page() -> str:
    """The page with these columns replaced by the current ones."""
    return ROW.sub(lambda row: cells(Code(row[1])), PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(updated_page(), encoding="utf-8")
