"""The mutants themselves."""

from __future__ import annotations

from tests.mutations.lua import NO_COMMAND, mutants

SCRIPT = """-- 1 == 2 and 'x'
local text = 'a < 5 or b'
if #text >= 12 and redis.call('GET', KEYS[1]) then return 1 end
"""


def test_one_change_each() -> None:
    """Comparisons, connectives, numbers and commands; nothing in comments and strings."""
    found = list(mutants(SCRIPT))

    changes = [">= to >", "12 to 13", "and to or", f"redis.call to {NO_COMMAND}", "1 to 2", "1 to 2"]
    assert changes == [one.change for one in found]
    assert {3} == {one.line for one in found}
    assert len(found) == len({one.text for one in found})
    assert all(one.text.count("\n") == SCRIPT.count("\n") for one in found)


def test_a_command_is_left_out() -> None:
    """A question to Redis is not sent, and answered with nothing."""
    [without] = [one.text for one in mutants(SCRIPT) if NO_COMMAND in one.change]

    assert f"and {NO_COMMAND}('GET', KEYS[1])" in without
    assert "return false end" in without.splitlines()[0]
