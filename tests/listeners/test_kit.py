"""The kit: this package's listener passes every situation, and each situation notices the fault planted for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.listeners.__main__ import OURS
from tests.listeners.faults import FAULTS
from tests.listeners.run import play
from tests.listeners.situations import SITUATIONS, Situation
from tests.support.needed import missing

if TYPE_CHECKING:
    from collections.abc import Iterator


LOGOUTS = 2_000
"""A short storm."""

pytestmark = [pytest.mark.deep, pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the receiver says while its Redis is killed under it is not looked at."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_python(situation: Situation) -> None:
    """This package's own listener does what the contract says."""
    row = await play(situation, OURS, logouts=LOGOUTS)
    if row.outcome == "not tried":
        missing(row.said)
    assert "ok" == row.outcome, (row.said, row.log)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_planted_fault(situation: Situation) -> None:
    """A listener that does one thing wrong is found out by the situation that is about it."""
    row = await play(situation, f"{OURS} {situation.name}", logouts=LOGOUTS)
    if row.outcome == "not tried":
        missing(row.said)
    assert "WRONG" == row.outcome


def test_every_situation_has_a_fault() -> None:
    """One for each, and none beside them."""
    assert {situation.name for situation in SITUATIONS} == set(FAULTS)
