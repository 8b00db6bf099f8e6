"""No vector is left out, none is unknown, and the documents count them right."""

from __future__ import annotations

import importlib

import pytest

from tests.protocol import vector_list
from tests.protocol.vectors import SCENARIOS, Case

HOMES = {
    "test_vectors_positive": vector_list.POSITIVE,
    "test_vectors_http": vector_list.HTTP,
    "test_vectors_header": vector_list.HEADER,
    "test_vectors_keys": vector_list.KEYS | {"pos-jwe": ""},
    "test_vectors_claims": vector_list.CLAIMS,
    "test_vectors_replay": vector_list.REPLAY,
    "test_vectors_entra": vector_list.ENTRA,
}


def tables(module: str) -> list[Case]:
    """Every case of a module's tables. Modules are imported by the name pytest gives them."""
    values = vars(importlib.import_module(module)).values()
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], Case)]
    return [case for cases in lists for case in cases]


def scenarios(module: str) -> set[str]:
    """The vectors whose test functions are in a module."""
    importlib.import_module(module)
    return {name for name, homes in SCENARIOS.items() if any(home.startswith(f"{module}::") for home in homes)}


def count_cases() -> int:
    """Rows of all tables, and test functions beside them."""
    rows = sum(len(tables(module)) for module in HOMES)
    return rows + len({home for homes in SCENARIOS.values() for home in homes})


def test_every_vector_is_played() -> None:
    """The names played are exactly the 168 of the list."""
    played = {case.name for module in HOMES for case in tables(module)}.union(*map(scenarios, HOMES))

    assert 168 == len(vector_list.VECTORS)
    assert set(vector_list.VECTORS) == played


@pytest.mark.parametrize("module", HOMES)
def test_vectors_live_in_the_module_of_their_section(module: str) -> None:
    """A module plays the vectors of its own section of the list."""
    assert {case.name for case in tables(module)} | scenarios(module) <= set(HOMES[module])


@pytest.mark.parametrize("module", HOMES)
def test_cases_are_told_apart(module: str) -> None:
    """No two cases of a module have the same name and variant."""
    names = [str(case) for case in tables(module)]

    assert len(set(names)) == len(names)


def test_names_say_what_must_come_of_them() -> None:
    """A vector named `pos-` is always a success, one named `neg-` never is."""
    for module in HOMES:
        for case in tables(module):
            assert (
                case.name.startswith(("pos-", "ent-")) if case.code is None else case.name.startswith(("neg-", "ent-"))
            )
