"""The mutants themselves, and that a trial tells a test that notices from one that does not."""

from __future__ import annotations

import gc
import threading
from types import CodeType
from typing import TYPE_CHECKING, Any

import pytest

from tests.mutations import lua, python, trial
from tests.mutations.argued import ARGUED
from tests.mutations.lua import NO_COMMAND
from tests.mutations.table import TESTS
from tests.mutations.trial import NOTICED, PACKAGE, SURVIVED, Trial, results
from tests.mutations.verdicts import Verdicts, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mutations.mutant import Mutant

SCRIPT = """-- 1 == 2 and 'x'
local text = 'a < 5 or b'
if #text >= 12 and redis.call('GET', KEYS[1]) then return 1 end
"""

MODULE = '''"""Text with == and 1."""
LIMIT = 3

def check(value: Literal["x"] = 2) -> bool:
    """Whether 1 < 2."""
    if value is None or not value:
        raise ValueError(f"no {value} of 5")
    return value < LIMIT
'''


def test_one_change_of_a_script() -> None:
    """Comparisons, connectives, numbers and commands; nothing in comments and strings."""
    found = list(lua.mutants(SCRIPT))

    changes = [">= to >", "12 to 13", "and to or", f"redis.call to {NO_COMMAND}", "1 to 2", "1 to 2"]
    assert changes == [one.change for one in found]
    assert {3} == {one.line for one in found}
    assert len(found) == len({one.content for one in found})
    assert all(str(one.content).count("\n") == SCRIPT.count("\n") for one in found)


def test_a_command_is_left_out() -> None:
    """A question to Redis is not sent, and answered with nothing."""
    [without] = [str(one.content) for one in lua.mutants(SCRIPT) if NO_COMMAND in one.change]

    assert f"and {NO_COMMAND}('GET', KEYS[1])" in without
    assert "return false end" in without.splitlines()[0]


def in_module(module: str) -> list[Mutant]:
    """Its mutants."""
    return list(python.mutants(module))


def test_one_change_of_a_module() -> None:
    """Conditions, constants, returned values and statements; nothing in types, and nothing that a person reads."""
    changes = {one.change: one.at_import for one in in_module(MODULE)}

    assert {
        "3 to 4": True,
        "2 to 3": True,
        "without value is None": False,
        "without not value": False,
        "value is None to value is not None": False,
        "not value to value": False,
        "without raise ValueError(f'no {value} of 5')": False,
        "return value < LIMIT to return None": False,
        "value < LIMIT to value <= LIMIT": False,
    } == changes


@pytest.mark.parametrize(
    ("change", "value", "result"),
    [("value < LIMIT to value <= LIMIT", 3, True), ("3 to 4", 3, True), ("2 to 3", 1, True)],
)
def test_change_is_in_the_code(change: str, value: int, *, result: bool) -> None:
    """What a mutant is called is what it does."""
    [code] = [one.content for one in in_module(MODULE) if one.change == change]
    assert isinstance(code, CodeType)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  # of the text above

    assert result is names["check"](value)


def test_trials() -> None:
    """One is noticed by tests that fail, that end with an error, or that never end; not by tests that pass."""

    def forever() -> int:
        while True:
            pass

    mutants = [one for one in in_module(MODULE) if not one.at_import][:4]
    ends = (lambda: 0, lambda: 7, lambda: 1 // 0, forever)
    trials = [Trial(mutant, lambda: None, fails) for mutant, fails in zip(mutants, ends, strict=True)]

    noticed = {one.mutant: failed for one, failed in results(trials, jobs=2, cpu_s=1)}
    assert {mutants[0]: SURVIVED, mutants[1]: 7, mutants[2]: NOTICED, mutants[3]: NOTICED} == noticed


def test_trial_that_waits_for_ever() -> None:
    """It takes no processor time, and ends all the same."""
    waits = Trial(in_module(MODULE)[0], lambda: None, lambda: int(threading.Event().wait()))

    assert [(waits, NOTICED)] == [*results([waits], jobs=1, cpu_s=60, wait_s=0.2)]


def test_mutant_that_cannot_be_put_in_place() -> None:
    """It does not count as noticed."""

    def nowhere() -> None:
        raise LookupError

    [(_, failed)] = results([Trial(in_module(MODULE)[0], nowhere, lambda: NOTICED)], jobs=1, cpu_s=60)
    assert SURVIVED == failed


def test_verdicts_outlive_a_run(tmp_path: Path) -> None:
    """What was noticed and what was not is known to the next run; what was not tried is not."""
    first = Verdicts(tmp_path / "tools" / "verdicts")
    first.note("a", killed=True)
    first.note("b", killed=False)

    second = Verdicts(tmp_path / "tools" / "verdicts")

    assert [True, False, None] == [second.killed(digest) for digest in ("a", "b", "c")]


def test_verdict_is_of_one_text(tmp_path: Path) -> None:
    """Another text of the file, or of its tests, is to be tried; a comment is nothing."""
    file, tests = tmp_path / "it.py", tmp_path / "test_it.py"

    def digest(text: str, of_tests: str) -> str:
        file.write_text(text)
        tests.write_text(of_tests)
        return digest_of([file, tests])

    first = digest("a = 1", "b = 1")

    assert 3 == len({first, digest("a = 2", "b = 1"), digest("a = 1", "b = 2")})
    assert first == digest("a = (1)  # why", "b = 1\n")


def changed_and_back(limit: int) -> bool:
    """What the next test changes."""
    return limit < 3


def test_function_is_changed_in_place() -> None:
    """In every module that has imported it, and also where a command has frozen the objects."""
    gc.freeze()
    text = (trial.PACKAGE.parent / __file__).read_text()
    [mutant] = [one for one in python.mutants(text, __file__) if one.change == "limit < 3 to limit <= 3"]
    before, function = changed_and_back.__code__, changed_and_back
    assert isinstance(mutant.content, CodeType)
    try:
        trial.Imported().put_code(compile(text, __file__, "exec"), mutant.content)
        assert function(3)
    finally:
        changed_and_back.__code__ = before
    assert not function(3)


@pytest.mark.parametrize(
    ("file", "name", "is_package"),
    [("core/marks.py", "receiver.core.marks", False), ("core/layouts/__init__.py", "receiver.core.layouts", True)],
)
def test_module_is_imported_with_the_change(file: str, name: str, *, is_package: bool) -> None:
    """Under the name it is imported by, a package's included."""
    code = compile("", file, "exec")
    spec = trial.Changed(PACKAGE / file, code).find_spec(name)

    assert spec is not None
    assert is_package is (spec.submodule_search_locations is not None)
    assert isinstance(spec.loader, trial.Changed)
    assert code is spec.loader.get_code(name)
    assert trial.Changed(PACKAGE / file, code).find_spec("receiver.core") is None


def test_table_names_what_is_there() -> None:
    """Files, tests, and lines of what is argued."""
    for name, tests in TESTS.items():
        assert (PACKAGE / name).is_file(), name
        assert all((PACKAGE.parent / test).is_file() for test in tests), name
    for name, argued in ARGUED.items():
        lines = {line.strip() for line in (PACKAGE / name).read_text().splitlines()}
        assert {line for line, _ in argued} <= lines
