"""docs/architecture.md and docs/development.md name what is really there."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs import rules_table
from tests.docs.pages import DOCS, ROOT, names, read, rows, section


def test_rooms_are_those_of_the_import_contract() -> None:
    """The table of rooms is the layers import-linter holds, in their order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [layers] = [c["layers"] for c in project["tool"]["importlinter"]["contracts"] if c["id"] == "layers"]

    assert [layer.split(" | ") for layer in layers] == [
        names(row[0]) for row in rows(section(read("architecture.md"), "Rooms"))
    ]


def test_every_target_is_described() -> None:
    """The table of targets has every target of the Makefile, and no other."""
    [phony] = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    [table, *_] = read("development.md").split("\n## ")

    assert set(phony.split()) == {names(row[0])[0].removeprefix("make ") for row in rows(table)}


def test_every_lock_file_is_described() -> None:
    """The table of lock files has every one, and no other."""
    described = {names(row[0])[0] for row in rows(section(read("development.md"), "Lock files"))}

    assert {path.name for path in (ROOT / "requirements").glob("*.lock")} == described


def test_places_named_on_development_exist() -> None:
    """Every path in the table of tests is there."""
    for row in rows(section(read("development.md"), "Tests")):
        for path in names(row[0]):
            assert (ROOT / path).exists(), path


def test_version_stands_where_the_page_says() -> None:
    """All four places say the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    places = names(section(read("development.md"), "Version"))

    assert len(places) == 4
    for place in places:
        assert project["project"]["version"] in (ROOT / place).read_text(encoding="utf-8"), place


def test_table_of_rules_is_up_to_date() -> None:
    """docs/protocol.md has every rule on tokens, as `python -m tests.docs.rules_table` writes them."""
    assert rules_table.updated_page() == read("protocol.md")


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_page_opens_with_its_readers(page: str) -> None:
    """Before the first heading a page says what it is for, and who reads it."""
    opening = read(page).split("\n## ")[0].split("\n| ")[0]

    assert re.search(r"\b[Ff]or (people|readers)\b", opening)
