"""What an operator is told is there to its end, and can be done."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from receiver import errors
from receiver.ops.logs import MAX_FIELD_CHARS
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUE = "x" * 8
"""Stands for a value in a sentence; most are a number or a name."""

SOURCES = sorted((ROOT / "receiver").rglob("*.py"))


def text(node: ast.expr) -> str:
    """The sentence that the expression is, "" where it is none."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def sentences() -> Iterator[tuple[str, str]]:
    """Every sentence of an error or of a log line's field that stands in the source, with its place."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                fields = [field.value for field in node.keywords] if node.func.id == "emit" else []
                for part in [*fields, *(node.args if hasattr(errors, node.func.id) else [])]:
                    yield f"{file.relative_to(ROOT)}:{part.lineno}", text(part)


def test_no_sentence_is_cut() -> None:
    """Each fits into a field of the log, so that what to do, which comes last, is not cut off."""
    found = dict(sentences())

    assert len(found) > 200
    assert [] == [place for place, sentence in found.items() if len(sentence) > MAX_FIELD_CHARS]


def test_nothing_is_installed_by_name() -> None:
    """The package is on no index: a command that installs it by name would install what others put there."""
    assert [] == [str(file) for file in SOURCES if "logout-receiver[" in file.read_text(encoding="utf-8")]
