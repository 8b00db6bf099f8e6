"""Mutants of a Lua script: each differs in one comparison, one `and` or `or`, one number or one command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.mutations.mutant import Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator

OPPOSITES = {"==": "~=", "~=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "and": "or", "or": "and"}
"""What stands in place of an operator."""

COMMANDS = ("redis.call", "redis.pcall")

NO_COMMAND = "no_command"
"""The function in place of a command: it does nothing, and says what Redis says of a key that is not there."""

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*)
    | (?P<text>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<operator>==|~=|<=|>=|<|>)""",
    re.VERBOSE,
)


def mutants(script: str) -> Iterator[Mutant]:
    """All of them, in the order of the text. Comments and strings stay as they are."""
    for token in _TOKEN.finditer(script):
        there = token[0]
        match token.lastgroup:
            case "operator":
                instead = OPPOSITES[there]
            case "number":
                instead = str(int(float(there)) + 1)
            case "name" if there in {"and", "or"}:
                instead = OPPOSITES[there]
            case "name" if there in COMMANDS:
                instead = NO_COMMAND
            case _:
                continue
        start, end = token.span()
        text = script[:start] + instead + script[end:]
        if instead == NO_COMMAND:
            # On the first line, so that the numbers of lines stay.
            text = f"local function {NO_COMMAND}() return false end " + text
        line = script.count("\n", 0, start) + 1
        yield Mutant(line, start - script.rfind("\n", 0, start), f"{there} to {instead}", text)
