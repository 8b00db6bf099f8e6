"""What the Java modules' page tells to import is there, and nothing of theirs is used without."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, blocks

JAVA = ROOT / "clients" / "java"
SOURCES = {path.stem: path for path in JAVA.glob("*/src/main/java/**/*.java")}


def test_imports_of_the_code() -> None:
    """Each block of code that makes an object of ours, or calls one's static method, says where its class is."""
    code = "\n".join(blocks((JAVA / "README.md").read_text(), "java"))
    imported = dict(re.findall(r"import ([\w.]+\.(\w+));", code))
    used = {name for name in re.findall(r"\b(?:new )?([A-Z]\w+)[.(]", code) if name in SOURCES}

    assert used == used & set(imported.values())
    for place, name in imported.items():
        assert SOURCES[name].as_posix().endswith(place.replace(".", "/") + ".java")
