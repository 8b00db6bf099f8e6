"""Pickles that other programs wrote, read opcode by opcode: what is plain data is taken, nothing is ever loaded.

To load a pickle is to run what its writer chose. Here names of classes and functions are passed over; what would be an
object is a mapping of what it would have been made from, so that the text inside it can be searched.
"""

from __future__ import annotations

import pickletools
from itertools import islice
from typing import TYPE_CHECKING, Any

from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MAX_OPERATIONS = 100_000
"""Opcodes read of one pickle: one costs some microseconds, and a session has some hundred."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": list, "EMPTY_SET": list,
}  # fmt: skip
_OF_STACK = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_OBJECTS = {
    "GLOBAL": 0, "EXT1": 0, "EXT2": 0, "EXT4": 0, "PERSID": 0, "NEXT_BUFFER": 0,
    "BINPERSID": 1, "STACK_GLOBAL": 2, "REDUCE": 2, "NEWOBJ": 2, "NEWOBJ_EX": 3,
}  # fmt: skip
"""Opcodes that make what is no plain data, with the number of values they are made from."""
_OBJECTS_OF_MARK = {"INST", "OBJ"}
# They say how a pickle was written. READONLY_BUFFER is about a buffer that is not in it (PEP 574).
_IDLE = {"PROTO", "FRAME", "READONLY_BUFFER"}


def parse(serialised: bytes) -> Any:
    """The value, as far as it is plain data: mappings, lists (for tuples and sets, too), text, bytes and numbers.

    An object is a mapping too: its items by name, and what else it was made from by number.

    Raises:
        BadValueError: `shape` where it is no pickle, `too_many`.
    """
    # Never `pickle.loads`: a pickle is a program, and a value that a visitor had written would run here (CWE-502).
    # `genops` reads opcodes and their arguments, and calls nothing that they name.
    machine = _Machine()
    try:
        for opcode, argument, _ in islice(pickletools.genops(serialised), MAX_OPERATIONS):
            if opcode.name == "STOP":
                return machine.pop()
            machine.run(opcode.name, argument)
    except BadValueError:
        raise
    except (ValueError, IndexError, OverflowError, TypeError, AttributeError) as error:
        # What `pickletools` raises for bytes that are none, and what a stack does that is empty.
        raise BadValueError("shape") from error
    raise BadValueError("too_many")


class _Machine:
    """The stack of values, those below the last marks, and the memo."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        # By numbers of the writer's choice: a list would be as long as the largest of them says.
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        """The value on top."""
        return self._stack.pop()

    def run(self, name: str, argument: Any) -> None:
        """One opcode."""
        if name in _IDLE:
            return
        if name == "MARK":
            self._below.append(self._stack)
            self._stack = []
        elif name in {"POP", "POP_MARK"}:
            self._drop(name)
        elif not (self._adds(name) or self._remembers(name, argument)):
            # Made first: it may begin a new stack.
            made = self._made(name, argument)
            self._stack.append(made)

    def _drop(self, name: str) -> None:
        # As the unpickler does: where nothing is above the mark, POP takes the mark.
        if name == "POP" and self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def _since_mark(self) -> list[Any]:
        found, self._stack = self._stack, self._below.pop()
        return found

    def _taken(self, count: int) -> list[Any]:
        found = self._stack[len(self._stack) - count :]
        if len(found) != count:
            raise BadValueError("shape")
        del self._stack[len(self._stack) - count :]
        return found

    def _adds(self, name: str) -> bool:
        """Whether the opcode adds to the value below; then it has."""
        if name == "SETITEM":
            key, value = self._taken(2)
            _set(self._stack[-1], [key, value])
        elif name == "SETITEMS":
            items = self._since_mark()
            _set(self._stack[-1], items)
        # BUILD gives an object its state, most often the mapping of its attributes, where an app's own class keeps
        # claims.
        elif name in {"APPEND", "BUILD"}:
            [value] = self._taken(1)
            _append(self._stack[-1], [value])
        elif name in {"APPENDS", "ADDITEMS"}:
            items = self._since_mark()
            _append(self._stack[-1], items)
        else:
            return False
        return True

    def _remembers(self, name: str, argument: Any) -> bool:
        """Whether the opcode is the memo's; then it was done."""
        if name == "MEMOIZE":
            # The value itself and no copy: it is remembered while it is empty, and filled later.
            self._memo[len(self._memo)] = self._stack[-1]
        elif name.endswith("PUT"):
            self._memo[int(argument)] = self._stack[-1]
        elif name.endswith("GET"):
            if int(argument) not in self._memo:
                raise BadValueError("shape")
            self._stack.append(self._memo[int(argument)])
        else:
            return False
        return True

    def _made(self, name: str, argument: Any) -> Any:  # noqa: PLR0911  # one for each kind of opcode
        """The value that the opcode puts on the stack."""
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in _EMPTY:
            return _EMPTY[name]()
        if name in _OF_STACK:
            return self._taken(_OF_STACK[name])
        if name in _OBJECTS:
            return dict(enumerate(self._taken(_OBJECTS[name])))
        if name in _OBJECTS_OF_MARK:
            return dict(enumerate(self._since_mark()))
        if name in {"LIST", "TUPLE", "FROZENSET"}:
            return self._since_mark()
        if name == "DICT":
            made: dict[Any, Any] = {}
            _set(made, self._since_mark())
            return made
        if name == "DUP":
            return self._stack[-1]
        # What is left are text, bytes and numbers, which are their own argument.
        return argument


def _set(target: Any, items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if isinstance(target, dict):
            # Under a name that is no text nothing is looked up; the value is looked through all the same.
            target[key if isinstance(key, str) else len(target)] = value


def _append(target: Any, items: Iterable[Any]) -> None:
    for item in items:
        if isinstance(target, dict):
            target[len(target)] = item
        elif isinstance(target, list):
            target.append(item)
