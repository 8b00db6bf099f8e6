"""When a logout is the same as one before, and the id of one that differs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from receiver.core.eviction import Eviction
from receiver.core.repeats import beside, id_if_reused, id_of, is_repeat, subject_of

FIRST = Eviction(
    id="e1", tenant="t", iss="i", client_id="c", sub="ü", sid=None, jti="j", scope="user", logout_at=100,
    received_at=101.0,
)  # fmt: skip
ORDER = replace(FIRST, jti=None)


def digest(text: str) -> str:
    """As every release makes it."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def test_digests_stay() -> None:
    """Releases share one Redis: each has to compute the same of the same logout."""
    assert digest('["i","j","c","\\u00fc",null]') == subject_of(FIRST)
    assert digest('["i","j",null,null,"s"]') == subject_of(replace(FIRST, client_id=None, sub=None, sid="s"))
    assert digest(f"{subject_of(FIRST)}\n100") == id_if_reused(FIRST) == id_of(subject_of(FIRST), 100)
    assert "" == subject_of(ORDER)


@pytest.mark.parametrize(
    ("changes", "repeats"),
    [
        ({}, True),
        ({"id": "e2", "received_at": 999.0, "reason": "again"}, True),
        ({"logout_at": 99}, True),
        ({"logout_at": 101}, False),
        *(({name: "other"}, False) for name in ("iss", "jti", "client_id", "sub", "sid")),
        ({"client_id": None}, False),
        ({"jti": None}, False),
    ],
)
def test_what_repeats_a_logout(changes: dict[str, Any], *, repeats: bool) -> None:
    """The same `jti`, client, `sub` and `sid` of one issuer, and no later date."""
    again = replace(FIRST, **changes)

    assert repeats is is_repeat(again, FIRST)
    assert (again if repeats else replace(again, id=id_if_reused(again))) == beside(again, FIRST.to_json().encode())


def test_order_repeats_by_its_id() -> None:
    """One without a `jti` is what its id says, whatever its date."""
    assert is_repeat(replace(ORDER, logout_at=101), ORDER)


@pytest.mark.parametrize(("stored", "kept"), [(None, True), (b"damaged", False), (b"", False)])
def test_what_is_stored_cannot_be_compared(stored: bytes | None, *, kept: bool) -> None:
    """Where nothing is, the logout keeps its id; beside what cannot be read it gets one of its own."""
    assert ("e1" if kept else id_if_reused(FIRST)) == beside(FIRST, stored).id
