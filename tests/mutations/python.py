"""Mutants of a Python module: each differs in one condition, constant or returned value, or lacks one statement.

What a person reads stays: docstrings, what a `raise` says, texts with spaces. So do types, decorators and imports.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.mutations.mutant import Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
"""What stands in place of a comparison."""

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
}  # fmt: skip

FUNCTIONS = {"any": "all", "all": "any", "min": "max", "max": "min"}

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

SKIPPED = {"annotation", "returns", "decorator_list", "format_spec", "type_params"}
"""Fields of nodes that say nothing of what a program does."""

SHOWN_CHARS = 60
"""Characters of the code shown of a change."""

_WORD = re.compile(r"[\w@:/.+-]+", re.ASCII)
"""A text that a program compares or looks up; anything with a space is for a person."""


def mutants(module: str, file: str = "") -> Iterator[Mutant]:
    """All of them, in the order of the text.

    Args:
        module: Its source.
        file: What its functions are to be known by.
    """
    tree = ast.parse(module)
    at_import = {"", *_called(tree), *_closed_over(tree)}
    for place in [*_places(tree, "")]:
        for change, instead in _instead_of(place.node):
            place.put(ast.copy_location(instead, place.node))
            code = compile(ast.fix_missing_locations(tree), file, "exec")
            place.put(place.node)
            line, column = place.node.lineno, place.node.col_offset + 1
            anew = place.function in at_import or _names_super(place.node)
            yield Mutant(line, column, change, code, at_import=anew)


def _called(owner: ast.AST) -> Iterator[str]:
    """The functions that are called when the module is imported."""
    for node in ast.iter_child_nodes(owner):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        if not isinstance(node, FUNCTION):
            yield from _called(node)


def _closed_over(tree: ast.AST) -> Iterator[str]:
    """The functions that make others, which may live already."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = (one for part in node.body for one in ast.walk(part))
            if any(isinstance(one, FUNCTION) for one in inner):
                yield node.name


def _names_super(node: ast.AST) -> bool:
    """Without it a function closes over less, and cannot be changed in place."""
    return any(isinstance(one, ast.Name) and one.id == "super" for one in ast.walk(node))


class _Place(NamedTuple):
    """A node, where it hangs, and in which function; an empty name for none."""

    owner: ast.AST
    field: str
    place: int | None
    node: Any
    function: str

    def put(self, node: ast.AST) -> None:
        """Hang another node there."""
        if self.place is None:
            setattr(self.owner, self.field, node)
        else:
            getattr(self.owner, self.field)[self.place] = node


def _places(owner: ast.AST, function: str) -> Iterator[_Place]:
    """Every node but those that are left as they are."""
    for field, value in ast.iter_fields(owner):
        if field in SKIPPED:
            continue
        inside = function
        # Defaults of arguments are of the time when the function is made.
        if isinstance(owner, FUNCTION) and field == "body":
            inside = inside or getattr(owner, "name", "<lambda>")
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _stays(node, owner, function=inside):
                continue
            if hasattr(node, "lineno"):
                yield _Place(owner, field, index, node, inside)
            if not isinstance(node, ast.Raise):
                yield from _places(node, inside)


def _stays(node: Any, owner: Any, *, function: str) -> bool:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assert() | ast.Expr(value=ast.Constant()):
            stays = True
        case ast.Subscript(value=ast.Name(id="Literal")) | ast.Call(func=ast.Name(id="NewType" | "TypeVar")):
            stays = True
        case ast.Return(ast.Constant(value=None)):
            # The last one says what is so without it.
            stays = isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef) and node is owner.body[-1]
        case ast.Constant(value=str() as text):
            stays = not function or _is_shown(owner) or _WORD.fullmatch(text) is None
        case ast.keyword(arg="shows"):
            stays = True
        case _:
            stays = False
    return stays


def _is_shown(owner: ast.AST) -> bool:
    """Whether a text in it is part of what a person reads: a longer text, or a rule's number, name and section."""
    is_rule = isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "Rule"
    return is_rule or isinstance(owner, ast.JoinedStr)


def _instead_of(node: Any) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in place of a node, and how that is called."""
    match node:
        case ast.BoolOp(op, values):
            for place, value in enumerate(values):
                rest = [*values[:place], *values[place + 1 :]]
                yield f"without {_shown(value)}", rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.If(test) | ast.IfExp(test) | ast.While(test) if isinstance(test, ast.Name | ast.Attribute | ast.Call):
            fields = {name: value for name, value in ast.iter_fields(node) if name != "test"}
            yield f"if {_shown(test)} to if not", type(node)(test=ast.UnaryOp(ast.Not(), test), **fields)
        case ast.Return(None) | ast.Return(ast.Constant(None)) | ast.Raise() | ast.Expr() | ast.AugAssign():
            yield f"without {_shown(node)}", ast.Pass()
        case ast.Continue() | ast.Break():
            yield f"without {_shown(node)}", ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() | ast.Tuple(elts=[ast.Attribute(), *_])]):
            yield f"without {_shown(node)}", ast.Pass()
        case ast.Return(value) if not (isinstance(value, ast.Constant) and isinstance(value.value, bool)):
            yield f"{_shown(node)} to return None", ast.Return(ast.Constant(None))
        case ast.Lambda(args):
            yield f"{_shown(node)} to None", ast.Lambda(args, ast.Constant(None))
        case _:
            for instead in _other_values(node):
                yield f"{_shown(node)} to {_shown(instead)}", instead


def _other_values(node: Any) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left, ops, comparators):
            for place, op in enumerate(ops):
                others = [*ops[:place], COMPARISONS[type(op)](), *ops[place + 1 :]]
                yield ast.Compare(left, others, comparators)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str() as value):
            yield ast.Constant(f"{value}x")
        case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
            yield ast.BinOp(left, ARITHMETIC[type(op)](), right)
        case ast.Call(ast.Name(id=name), args, keywords) if name in FUNCTIONS:
            yield ast.Call(ast.Name(FUNCTIONS[name], ast.Load()), args, keywords)


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 3]}..."
