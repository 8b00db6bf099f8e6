"""What the evictor remembers of what it cleared, as removed.lua keeps it."""

from __future__ import annotations

import pytest

from receiver.core.remembered import Remembered, read
from receiver.core.verdict import Removal

NOW = 1000.0
NEVER = float("inf")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({b"at": b"900"}, Remembered(Removal(900.0), fresh=False, again=0, unsure=0, since_unsure_s=NEVER)),
        (
            {
                b"at": b"900", b"until": b"1001", b"again": b"3", b"unsure": b"2", b"unsure_at": b"990",
                b"sid one": b"1", b"sid \xff": b"", b"side": b"1",
            },
            Remembered(
                Removal(900.0, frozenset({"one", "\ufffd"})), fresh=True, again=3, unsure=2, since_unsure_s=10.0
            ),
        ),
        (
            {b"at": b"0", b"until": b"1000", b"of a later version": b"x"},
            Remembered(Removal(0.0), fresh=False, again=0, unsure=0),
        ),
        ({}, None),
        ({b"until": b"1001", b"sid one": b"1"}, None),
    ],
)  # fmt: skip
def test_what_is_remembered(fields: dict[bytes, bytes], expected: Remembered | None) -> None:
    """When, which sessions, whether what was in flight may still write it back, how often it came back and when."""
    assert (expected, False) == read(fields, NOW)


def test_nothing_is_in_flight_without_a_date() -> None:
    """However early it is."""
    found, _ = read({b"at": b"0"}, 0.5)

    assert found is not None
    assert not found.fresh


@pytest.mark.parametrize("damage", [b"", b"soon", b"-1", b"nan", b"\xff"])
@pytest.mark.parametrize("name", [b"at", b"until", b"again", b"unsure", b"unsure_at"])
def test_damaged_field(name: bytes, damage: bytes) -> None:
    """It counts as absent, and the others stay; without the date nothing is remembered."""
    fields = {b"at": b"900", b"until": b"1001", b"again": b"3", b"unsure": b"2", b"unsure_at": b"990"}
    found, damaged = read({**fields, name: damage}, NOW)
    rest, _ = read({known: value for known, value in fields.items() if known != name}, NOW)

    assert (True, rest) == (damaged, found)
    assert (found is None) == (name == b"at")
