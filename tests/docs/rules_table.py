"""The table of rules in docs/protocol.md, made from the rules; run it to bring the page up to date.

`python -m tests.docs.rules_table`, from the root of the repository.
"""

from __future__ import annotations

from receiver.core.tokens.logout_token import RULES
from tests.docs.pages import DOCS

BEGIN, END = "<!-- rules: begin -->\n", "<!-- rules: end -->\n"
PAGE = DOCS / "protocol.md"


def table() -> str:
    """One row for each rule."""
    rows = "| Number | Rule | Section | Refuses with |\n|---|---|---|---|\n"
    for rule in RULES:
        codes = ", ".join(f"`{code.value}`" for code in rule.refusals)
        rows += f"| {rule.number} | `{rule.name}` | {rule.section} | {codes} |\n"
    return rows


def updated_page() -> str:
    """The page with its table replaced by the current one."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(updated_page(), encoding="utf-8")
