"""The Go listener, written from the contract and the kit's help alone, does what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.bus.events.acks import ACKNOWLEDGE
from tests.listeners.run import play
from tests.listeners.situations import SITUATIONS, Situation
from tests.support.needed import missing

EXAMPLE = Path(__file__).parents[3] / "examples" / "go"

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_situation(situation: Situation, listener: Path) -> None:
    """It does what the contract says."""
    row = await play(situation, str(listener), logouts=2_000)
    if row.outcome == "not tried":
        missing(row.said)
    assert "ok" == row.outcome, (row.said, row.log)


def test_the_script_is_the_receivers() -> None:
    """It acknowledges with the very script of this package, but for comments."""
    code = [line for line in ACKNOWLEDGE.text.splitlines() if line and not line.lstrip().startswith("--")]
    assert code == (EXAMPLE / "acknowledge.lua").read_text().splitlines()
