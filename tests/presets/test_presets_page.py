"""docs/presets.md tells the presets as they are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from receiver.core.presets import PRESETS
from receiver.ops import settings
from tests.docs.pages import blocks, names, read, rows

if TYPE_CHECKING:
    import pathlib

PAGE = read("presets.md")
TABLE = rows(PAGE.partition("\n## Keycloak\n")[0])
ROWS = {names(row[0])[0]: row for row in TABLE}
SETS = 4
"""The column that says what the preset sets."""


def test_every_preset_has_a_row() -> None:
    """The table has one row for each preset in the code, in its order, and no other."""
    assert list(PRESETS) == list(ROWS)
    assert len(TABLE) == len(ROWS)


@pytest.mark.parametrize("preset", PRESETS)
def test_row_says_what_the_preset_sets(preset: str) -> None:
    """Each setting stands in its preset's row with its value; where there is none, the row begins with Nothing."""
    cell = ROWS[preset][SETS]
    told = re.match(r"Nothing", cell) is None

    for name, value in PRESETS[preset].items():
        shown = f"[{', '.join(value)}]" if isinstance(value, tuple) else json.dumps(value).removesuffix(".0")
        assert f"{name}: {shown}" in names(cell)
    assert told == bool(PRESETS[preset])


@pytest.mark.parametrize("preset", ["entra", "okta"])
def test_row_of_a_silent_op_says_no(preset: str) -> None:
    """An OP that sends no logout tokens is said not to, in bold."""
    assert ROWS[preset][1].startswith("**No.**")


@pytest.mark.parametrize("block", blocks(PAGE, "yaml"))
def test_example_is_a_valid_configuration(tmp_path: pathlib.Path, block: str) -> None:
    """Each example on the page starts a receiver as it stands."""
    file = tmp_path / "receiver.yaml"
    file.write_text(block)

    loaded = settings.load(file)

    assert [tenant["preset"] for tenant in yaml.safe_load(block)["tenants"]] == [t.preset for t in loaded.tenants]
