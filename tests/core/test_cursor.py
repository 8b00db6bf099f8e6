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


@pytest.mark.parametrize(
    ("entry_id", "parts"),
    [
        ("0-0", (0, 0)), ("5", (5, 0)), ("5-7", (5, 7)), ("007-08", (7, 8)),
        (f"{2**64 - 1}-{2**64 - 1}", (2**64 - 1, 2**64 - 1)),
    ],
)  # fmt: skip
def test_order_of_ids(entry_id: str, parts: tuple[int, int]) -> None:
    """By milliseconds, then by the counter, which may be left out; each has 64 bits."""
    assert parts == order(entry_id)


@pytest.mark.parametrize(
    "entry_id", ["", "-", "5-", "-5", "$", ">", "5-7-9", "\u0665", " 5", "5\n", f"{2**64}-0", f"0-{2**64}"]
)
def test_what_is_no_id(entry_id: str) -> None:
    """It is refused, and not compared."""
    with pytest.raises(ValueError, match="not an entry id"):
        order(entry_id)


@pytest.mark.parametrize(
    ("known", "unnumbered", "number", "follows", "missing"),
    [
        # Entries are numbered without gaps.
        (4, 0, 5, True, 0),
        (4, 0, 6, False, 1),
        (4, 0, 9, False, 4),
        # A number again, or an earlier one: the numbering began anew.
        (4, 0, 4, False, 0),
        (4, 0, 1, False, 0),
        # Each entry without a readable number may have used one up.
        (4, 2, 5, True, 0),
        (4, 2, 7, True, 0),
        (4, 2, 8, False, 1),
        # Where a number is not known, nothing is known to be missing.
        (4, 0, None, True, 0),
        (None, 3, 9, True, 0),
        (None, 0, None, True, 0),
    ],
)
def test_which_number_comes_next(
    known: int | None, unnumbered: int, number: int | None, missing: int, *, follows: bool
) -> None:  # fmt: skip
    """The next one; what is between has been trimmed unread."""
    cursor = Cursor("9-0", known, unnumbered)

    assert (follows, missing) == (cursor.follows(number), cursor.missing_before(number))


def test_position_behind_an_entry() -> None:
    """Its number is the last one known; entries without one are counted until the next that has one."""
    assert Cursor("2-0", 4, 2) == Cursor("0-0", 4).after("1-0", None).after("2-0", None)
    assert Cursor("3-0", 7, 0) == Cursor("2-0", 4, 2).after("3-0", 7)


@pytest.mark.parametrize(
    ("view", "cursor"),
    [
        (View((Seen("9-0", 4), Seen("8-0", 3)), (), 9), Cursor("9-0", 4)),
        (View((Seen("9-0", None), Seen("8-0", 3)), (), 9), Cursor("9-0", 3, 1)),
        # Before the first entry that is left: all numbers below its own are read, or will never be.
        (View((), (Seen("8-0", 5), Seen("9-0", 6)), 9), Cursor("0-0", 4)),
        (View((), (Seen("8-0", None), Seen("9-0", 6)), 9), Cursor("0-0", 5)),
        (View((), (Seen("8-0", None),), 9), Cursor("0-0", None)),
        # An empty stream begins after the last number that was given.
        (View((), (), 9), Cursor("0-0", 9)),
        (View((), (), None), Cursor("0-0", None)),
    ],
)
def test_where_a_reader_starts(view: View, cursor: Cursor) -> None:
    """Behind what is there, or before all of it."""
    assert cursor == Cursor.starting(view)


READ = Cursor("9-0", 4)


@pytest.mark.parametrize(
    ("cursor", "view", "misses"),
    [
        # The last entry before the position is the one that was read, with the same number.
        (READ, View((Seen("9-0", 4),), (), 4), False),
        (READ, View((Seen("9", 4),), (), 4), False),
        (READ, View((Seen("8-0", 4),), (), 4), True),
        (READ, View((Seen("9-0", 5),), (), 5), True),
        (READ, View((Seen("9-0", None),), (), 5), True),
        (Cursor("9-0", 4, 1), View((Seen("9-0", None),), (), 4), False),
        (Cursor("9-0", 4, 1), View((Seen("9-0", 4),), (), 4), True),
        # It was trimmed: the first that is left has to be the next.
        (READ, View((), (Seen("10-0", 5),), 5), False),
        (READ, View((), (Seen("10-0", 6),), 6), True),
        (READ, View((), (Seen("10-0", 4),), 4), True),
        (READ, View((), (Seen("10-0", None), Seen("11-0", 6)), 6), False),
        (READ, View((), (Seen("10-0", None), Seen("11-0", 7)), 7), True),
        (READ, View((), (Seen("10-0", None),), 5), False),
        # Nothing is left: the last number that was given has to be the one that was read.
        (READ, View((), (), 4), False),
        (READ, View((), (), 5), True),
        (READ, View((), (), 0), True),
        (READ, View((), (), None), True),
        (Cursor(), View((), (), None), False),
    ],
)
def test_what_was_missed(cursor: Cursor, view: View, *, misses: bool) -> None:
    """Entries that were trimmed unread, and a stream that is not the one that was read."""
    assert misses is cursor.misses(view)
