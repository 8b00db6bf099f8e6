"""Reading the documentation: its tables, its code blocks, its generated parts."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def read(name: str) -> str:
    """The text of one page below docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """The part of a page below one heading, up to the next heading of the same level or above."""
    match = re.search(rf"^(#+) {re.escape(heading)}$", page, re.MULTILINE)
    if match is None:
        raise AssertionError(f"no heading {heading!r}")
    rest = page[match.end() :]
    following = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, headings left out; an escaped bar stays in its cell."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = [number for number, line in enumerate(lines) if set(line) <= set("|-: ")]
    skipped = {*rules, *(number - 1 for number in rules)}
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for number, line in enumerate(lines)
        if number not in skipped
    ]


def names(cell: str) -> list[str]:
    """Everything set in code type in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(page: str, language: str) -> list[str]:
    """The fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
