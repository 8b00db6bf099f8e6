"""Marks: what one says, and which sessions it ends."""

from __future__ import annotations

import pytest

from receiver.core.marks import Beginning, Source, is_ended, read_mark, write_mark


@pytest.mark.parametrize("source", Source)
def test_what_was_written_is_read(source: Source) -> None:
    """A mark says the date of the logout and who set it."""
    found = read_mark(write_mark(1000, source))

    assert found is not None
    assert (1000.0, source) == (found.at, found.source)


def test_mark_of_the_op_has_no_further_digits() -> None:
    """Earlier releases compare such marks as whole seconds."""
    assert "1000" == write_mark(1000, Source.OP)


def test_unknown_age_is_ended() -> None:
    """Signing in again costs the user a moment."""
    assert is_ended(Source.OP, 1000, Beginning(None, None), of_user=True)
