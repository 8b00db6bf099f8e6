"""No vector is left out, and docs/protocol.md names what exists and counts it right."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.protocol import vector_list
from tests.protocol.vectors import SCENARIOS, Case

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"

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
    values = vars(importlib.import_module(f"tests.protocol.{module}")).values()
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], Case)]
    return [case for cases in lists for case in cases]


def scenarios(module: str) -> set[str]:
    """The vectors whose test functions are in a module."""
    importlib.import_module(f"tests.protocol.{module}")
    return {
        name
        for name, homes in SCENARIOS.items()
        if any(home.__module__ == f"tests.protocol.{module}" for home in homes)
    }


def count_cases() -> int:
    """Rows of all tables, and the test functions beside them, as often as each is run."""
    rows = sum(len(tables(module)) for module in HOMES)
    return rows + sum(map(runs, {home for homes in SCENARIOS.values() for home in homes}))


def runs(function: Any) -> int:
    """How often pytest runs a test function."""
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    return math.prod(len(mark.args[1]) for mark in marks)


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


def rows() -> list[list[str]]:
    """The rows of every table of clauses, heads left out; the generated table of rules has a test of its own."""
    clauses = PAGE.read_text(encoding="utf-8").partition("<!-- rules: end -->")[2]
    lines = [line.strip("|").split("|") for line in clauses.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if line[0].strip() not in {"Section", "Where", "---"}]


def quoted(cell: str) -> list[str]:
    """What is between backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def resolve(dotted: str) -> Any:
    """The function or method of this name."""
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        return getattr(resolve(module), name)


def test_every_function_on_the_page_exists() -> None:
    """What the clause tables name as the place of a rule can be called."""
    functions = {name for row in rows() for name in quoted(row[2]) if name.startswith("receiver.")}

    assert len(functions) > 25
    assert all(callable(resolve(name)) for name in functions)


def test_every_test_on_the_page_exists() -> None:
    """Each row names vectors of the list, or test functions of the modules named here, and nothing else."""
    parts = ("claims", "header", "keys", "encryption", "outcome")
    others = ("tests.protocol.test_reused_jti", "tests.outbox.test_outbox_early")
    modules = (*(f"tests.protocol.test_rules_{part}" for part in parts), *others)
    rules = {name: value for module in modules for name, value in vars(importlib.import_module(module)).items()}
    for row in rows():
        assert quoted(row[3]), row[1]
        for name in quoted(row[3]):
            assert name in vector_list.VECTORS or callable(rules[name]), name


def test_every_vector_is_on_the_page() -> None:
    """No vector is without a clause it stands for."""
    assert set(vector_list.VECTORS) <= {name for row in rows() for name in quoted(row[3])}


def test_every_claim_rule_is_on_the_page() -> None:
    """Each `check_*` of the claims, the header and the keys has its row."""
    named = {name for row in rows() for name in quoted(row[2])}
    for module in ("claims", "times", "jws", "jwks", "registration"):
        for name, value in vars(importlib.import_module(f"receiver.core.tokens.{module}")).items():
            assert not name.startswith("check_") or f"{value.__module__}.{name}" in named, name


def test_page_counts_right() -> None:
    """The page says how many vectors and cases there are."""
    text = PAGE.read_text(encoding="utf-8")

    assert f"{len(vector_list.VECTORS)} vectors in {count_cases()} cases" in text
