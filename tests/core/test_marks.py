"""Marks: their names, what one says, and which sessions it ends."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.marks import (
    CLOCK_SKEW_S,
    Beginning,
    Source,
    anew_name,
    awaited_name,
    client_suffix,
    digest,
    is_ended,
    mark_names,
    read_mark,
    registers_name,
    write_mark,
)

OP = "https://op.example"
NAMES = {
    "sub": "hEwWWyAx7hP24tZn",
    "sid": "zYyjfzY7hdYAxki_",
    "url-safe": "dL0cM_o-ONZ8NKoe",
    "client": ".rdd_iZkK",
    "anew": "cstAdw9S_t5zJPpI",
    "anew, as caches show it": "0RPYVf8Bx6oHxKnR",
    "anew, without a session": "9c_N85-FvKr6vLMH",
    "registers": "M65dqZEb6dPvo90H",
    "awaited": "BghdSzynyLfgkeeY",
}


def test_names_stay() -> None:
    """Processes of every release share one Redis: under another name the logouts noted there would be lost."""
    anew: dict[str, Any] = {"client_id": "c1", "sub": "u1", "auth_time": 900.0}

    assert NAMES == {
        "sub": digest("sub", OP, "u1"),
        "sid": digest("sid", OP, "s1"),
        "url-safe": digest("sub", OP, "u11"),
        "client": client_suffix("c1"),
        "anew": anew_name(OP, sid="s1", issued_at=950.0, **anew),
        "anew, as caches show it": anew_name(OP, sid="s1", **anew),
        "anew, without a session": anew_name(OP, sid=None, **anew),
        "registers": registers_name(OP),
        "awaited": awaited_name("session:1"),
    }


def test_marks_of_a_sign_in() -> None:
    """Of the user and its account, of the session, and of that under one subject; for all clients and its own."""
    names = mark_names(user="U", others=("A", ""), session="S", client_ids=("c1",))
    own = client_suffix("c1")

    assert (("U", ""), ("U", own), ("A", ""), ("A", own)) == names.of_user
    assert (("S", ""), ("S", own), ("S+U", ""), ("S+U", own)) == names.of_session
    assert (("S", ""),) == mark_names(user="", others=(), session="S", client_ids=()).of_session
    assert () == mark_names(user="U", others=(), session="", client_ids=()).of_session


def test_what_clocks_may_differ() -> None:
    """A minute, unless set otherwise: apps and receivers of one Redis have to agree."""
    assert 60.0 == CLOCK_SKEW_S


@pytest.mark.parametrize("source", Source)
def test_what_was_written_is_read(source: Source) -> None:
    """A mark says the date of the logout and who set it."""
    found = read_mark(write_mark(1000, source))

    assert found is not None
    assert (1000.0, source) == (found.at, found.source)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", (1000.0, 1000.0, Source.OP, "1000")),
        (b"1000.0021", (1000.0021, 1000.0, Source.ORDER, "1000.0021")),
        ("1000.0010", (1000.001, 1000.0, Source.OP, "1000.0010")),
        # As a release to come may write it.
        ("1000.0029", (1000.0029, 1000.0, Source.OP, "1000.0029")),
        ("1000.00215", (1000.00215, 1000.0, Source.ORDER, "1000.00215")),
        (None, None), ("", None), ("soon", None), (b"\xff", None), ("-1", None), ("1e3", None), ("9" * 13, None),
    ],
)  # fmt: skip
def test_mark_is_read(text: str | bytes | None, expected: tuple[object, ...] | None) -> None:
    """Seconds, three digits that count, one that says who set it; what is no date says nothing."""
    assert expected == read_mark(text)


def test_mark_of_the_op_has_no_further_digits() -> None:
    """Earlier releases compare such marks as whole seconds."""
    assert ["1000", "1000.0001", "1000.0002"] == [write_mark(1000, source) for source in Source]


@pytest.mark.parametrize(
    ("source", "began", "of_user", "skew_s", "ended"),
    [
        # The OP dates its logouts and its sign-ins: no tolerance.
        (Source.OP, Beginning(1000, None), True, 60, True),
        (Source.OP, Beginning(1001, None), True, 60, False),
        # Without `auth_time` the `iat` of the sign-in decides of the user's mark, and nothing of the session's.
        (Source.OP, Beginning(None, 1001), True, 0, False),
        (Source.OP, Beginning(None, 1001), False, 0, True),
        (Source.OP, Beginning(1000, 1001), True, 0, True),
        (Source.OP, Beginning(None, None), True, 0, True),
        # The receiver dates an order: the clocks may differ.
        (Source.ORDER, Beginning(1060, None), True, 60, True),
        (Source.ORDER, Beginning(1061, None), True, 60, False),
        (Source.ORDER, Beginning(940, None), True, -60, True),
        (Source.ORDER, Beginning(941, None), True, -60, False),
        # Where the session at the OP goes on, what counts is when the app was given it.
        (Source.ORDER_ON_SESSIONS, Beginning(1, 1061), True, 60, False),
        (Source.ORDER_ON_SESSIONS, Beginning(2000, 1060), True, 60, True),
        (Source.ORDER_ON_SESSIONS, Beginning(1061, None), False, 60, False),
        (Source.ORDER_ON_SESSIONS, Beginning(None, None), False, 60, True),
    ],
)
def test_which_sessions_a_mark_ends(
    source: Source, began: Beginning, skew_s: float, *, of_user: bool, ended: bool
) -> None:  # fmt: skip
    """What began until then; one of unknown age is ended, as signing in again costs the user a moment."""
    assert ended is is_ended(source, 1000, began, of_user=of_user, skew_s=skew_s)
