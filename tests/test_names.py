"""Names in the package."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import receiver

EACH_FRAMEWORKS_OWN = {"SignOut", "SignOutMiddleware"}
"""What an app imports has one name in all frameworks."""


def test_a_public_class_has_a_name_of_its_own() -> None:
    """Two of one name would be told apart by their modules only, which a reader of a call does not see."""
    modules = (ast.parse(file.read_text()) for file in Path(receiver.__file__).parent.rglob("*.py"))
    names = Counter(node.name for module in modules for node in ast.walk(module) if isinstance(node, ast.ClassDef))

    twice = {name for name, number in names.items() if number > 1 and not name.startswith("_")}

    assert EACH_FRAMEWORKS_OWN == twice
