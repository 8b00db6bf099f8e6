"""Damaged notes of removals and damaged marks: what cannot be read counts as absent, and stops nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.removals import Removals
from receiver.bus.keys import KeyNames
from receiver.bus.link.trips import Trips
from receiver.core.layouts.cached_sign_in import CachedSignIn
from receiver.core.marks import digest
from receiver.core.remembered import Remembered
from receiver.core.verdict import Marks, Removal
from tests.support.clock import NOW

if TYPE_CHECKING:
    import redis.asyncio

ISS = "https://op.example"
KEY = KeyNames().removal("name")
DAMAGE = (b"", b"x", b"-1", b"1.5e9.", b"nan", b"inf", b"9" * 30, b"\xff")


@pytest.fixture
def reported() -> list[tuple[str, str]]:
    """What was reported."""
    return []


@pytest.fixture
def removals(redis_client: redis.asyncio.Redis, reported: list[tuple[str, str]]) -> Removals:
    """Removals at a fixed time."""
    return Removals(
        Trips(redis_client), KeyNames(), in_flight_s=60, mark_s=600, clock=lambda: float(NOW),
        report=lambda what, why: reported.append((what, why)),
    )  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_field_leaves_the_others(
    redis_client: redis.asyncio.Redis, removals: Removals, reported: list[tuple[str, str]], damage: bytes
) -> None:
    """Each number counts for itself; without the logout's time nothing is remembered. All of it is reported."""
    whole: dict[Any, Any] = {"at": 5, "until": NOW + 1, "again": 3, "unsure": 1, "sid x": "", b"sid \xff": ""}
    sids = frozenset({"x", "\ufffd"})
    expected = {
        "at": None,
        "until": Remembered(Removal(5, sids), fresh=False, again=3, unsure=1),
        "again": Remembered(Removal(5, sids), fresh=True, again=0, unsure=1),
        "unsure": Remembered(Removal(5, sids), fresh=True, again=3, unsure=0),
    }
    found = {}
    for field in expected:
        await redis_client.delete(KEY)
        await redis_client.hset(KEY, mapping={**whole, field: damage})
        [found[field]] = await removals.remembered(["name"])

    assert expected == found
    assert [("removal", "shape")] * 4 == reported


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_removal_is_noted_over_a_damaged_one(
    redis_client: redis.asyncio.Redis, removals: Removals, reported: list[tuple[str, str]], damage: bytes
) -> None:
    """The next removal is remembered, and counts from one."""
    await redis_client.hset(KEY, mapping={"at": damage, "again": damage, "unsure": damage})

    await removals.note(["name"], logout_at=7, sids=["x"], again=True, unsure=True)

    noted = Remembered(Removal(7, frozenset({"x"})), fresh=False, again=1, unsure=1, since_unsure_s=0.0)
    assert [noted] == await removals.remembered(["name"])
    assert [] == reported


@pytest.mark.parametrize("damage", [*DAMAGE, b"1e99"])
async def test_a_damaged_mark_is_dated_anew(
    redis_client: redis.asyncio.Redis, removals: Removals, damage: bytes
) -> None:
    """An account found for a logout is marked, no matter what was there."""
    sign_in = CachedSignIn(iss=ISS, sub="u1", account="a.b")
    await removals.mark_account(ISS, "a.b", "9")
    await redis_client.set(KeyNames().mark(digest("account", ISS, "a.b")), damage)

    await removals.mark_account(ISS, "a.b", "9")

    assert [Marks(9, None, None)] == await removals.marks([sign_in], [ISS])
