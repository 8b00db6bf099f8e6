"""The decisions given to other languages are those of the core."""

from __future__ import annotations

from tests.listeners.vectors import FILE, text


def test_the_file_is_current() -> None:
    """`python -m tests.listeners.vectors` writes it anew."""
    assert text() == FILE.read_text(encoding="utf-8")
