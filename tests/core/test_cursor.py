"""The cursor's rules against a stream that is played through entry by entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.core.cursor import BEGINNING, Cursor, Seen, View, order, read_number

NUMBERED, CORRUPTED, FOREIGN = "numbered", "corrupted", "foreign"
"""An entry with its number; one whose number was made unreadable; one that no publisher wrote."""

written = st.lists(st.sampled_from([NUMBERED, CORRUPTED, FOREIGN]), max_size=30)


def played(kinds: list[str], *, from_number: int = 0) -> tuple[list[Seen], int]:
    """The entries these are, and the last number given."""
    number, entries = from_number, []
    for index, kind in enumerate(kinds, 1):
        number += kind != FOREIGN
        entries.append(Seen(f"{index}-0", number if kind == NUMBERED else None))
    return entries, number


def read(entries: list[Seen], cursor: Cursor) -> tuple[Cursor, bool]:
    """The cursor behind these entries, and whether it missed any on the way."""
    missed = False
    for seen in entries:
        missed = missed or not cursor.follows(seen.number)
        cursor = cursor.after(*seen)
    return cursor, missed


def view(entries: list[Seen], cursor: Cursor, sequence: int | None) -> View:
    """What the stream shows at this cursor."""
    before = tuple(reversed([seen for seen in entries if order(seen.entry_id) <= order(cursor.entry_id)]))
    return View(before, () if before else tuple(entries), sequence)


@given(kinds=written, begins=st.integers(0, 30))
def test_nothing_missed_is_no_gap(kinds: list[str], begins: int) -> None:
    """A reader that begins anywhere in an intact stream and reads on misses nothing, wherever it looks around."""
    entries, sequence = played(kinds, from_number=7)
    start = Cursor(entries[min(begins, len(entries)) - 1].entry_id) if entries and begins else Cursor()
    cursor = Cursor.starting(view(entries, start, sequence))
    for seen in entries:
        assert not cursor.misses(view(entries, cursor, sequence))
        assert not cursor.misses(view(entries, cursor, None))
        if order(seen.entry_id) > order(cursor.entry_id):
            assert cursor.follows(seen.number)
            cursor = cursor.after(*seen)
    assert not cursor.misses(view(entries, cursor, sequence))


@given(kinds=written, read_to=st.integers(0, 30), trimmed=st.integers(0, 30))
def test_trimmed_unread_is_a_gap(kinds: list[str], read_to: int, trimmed: int) -> None:
    """Where a numbered entry is trimmed before it is read, the view or the next number tells; else neither does."""
    entries, sequence = played(kinds)
    cursor, _ = read(entries[:read_to], Cursor(number=0))
    left = entries[trimmed:]
    looked = cursor.misses(view(left, cursor, sequence))
    _, missed = read([seen for seen in left if order(seen.entry_id) > order(cursor.entry_id)], cursor)
    unread = entries[read_to:trimmed]
    # Entries without numbers before and behind the gap excuse as many missing ones as there are.
    excuses = sum(seen.number is None for seen in entries)
    gone = sum(kind != FOREIGN for kind in kinds[read_to:trimmed])
    if not unread:
        assert not looked
        assert not missed
    if gone > excuses and (not left or any(seen.number for seen in left)):
        assert looked or missed


@given(kinds=written, kept=st.integers(0, 30), after=st.integers(0, 40), steps_back=st.booleans())
def test_older_data_is_told(kinds: list[str], kept: int, after: int, *, steps_back: bool) -> None:
    """A stream that came back shorter, and grew again by any number of entries, is not the one that was read."""
    entries, _ = played([NUMBERED, *kinds, NUMBERED])
    cursor, _ = read(entries, Cursor(number=0))
    kept = min(kept, len(entries) - 1)
    older = entries[:kept]
    last = max((seen.number for seen in older if seen.number), default=0)
    # New ids come after those that are left, and may be lower than those lost, where the clock stepped back.
    first_id = kept + 1 if steps_back else len(entries) + 1
    grown = [*older, *(Seen(f"{first_id + index}-1", last + 1 + index) for index in range(after))]
    told = cursor.misses(view(grown, cursor, last + after))
    _, missed = read([seen for seen in grown if order(seen.entry_id) > order(cursor.entry_id)], cursor)
    assert told or missed


def test_empty_streams() -> None:
    """The sequence tells what became of entries that are all gone; where it cannot be seen, the worst is assumed."""
    empty = {sequence: View((), (), sequence) for sequence in (0, 4, 5, None)}
    assert (Cursor(number=5), Cursor()) == (Cursor.starting(empty[5]), Cursor.starting(empty[None]))
    cursor = Cursor("9-0", 4)
    assert {0: True, 4: False, 5: True, None: True} == {number: cursor.misses(seen) for number, seen in empty.items()}
    assert not Cursor().misses(empty[None])


@pytest.mark.parametrize(
    "text", [None, b"", b"0", b"-1", b"01", b" 1", b"1 ", b"1.5", b"1e3", b"abc", b"\xff", b"9" * 16]
)
def test_what_is_no_number(text: bytes | None) -> None:
    """Decimal from 1, without padding, exact in a double."""
    assert read_number(text) is None


def test_numbers() -> None:
    """The smallest and the largest."""
    assert (1, 10**15 - 1) == (read_number(b"1"), read_number(b"9" * 15))
    assert (0, 0) == order(BEGINNING)
