"""The tokens of the API: each with a name for the log and the scopes it may use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

Scope = Literal["orders", "sessions", "events", "read"]
"""What a token may do: order evictions; register and check sign-ins; read all events; read who has dropped a user."""

ALL_SCOPES: frozenset[Scope] = frozenset(get_args(Scope))

MIN_TOKEN_CHARS = 16
"""Shortest token: a shorter one can be guessed."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """One token.

    Attributes:
        name: For the log; `line-N` where the line gives none.
        scopes: What it may do.
        scoped: False where the line gives no scopes, so that it may do everything.
        value: The secret.
    """

    name: str
    scopes: frozenset[Scope]
    scoped: bool
    value: str = field(repr=False)


def parse_tokens(text: str) -> list[ApiToken]:
    """The tokens of a setting or a file, one a line: a name, scopes joined by commas, and the token; or a token alone.

    Empty lines and lines that begin with `#` are left out.

    Raises:
        ValueError: no token, a line of another form, a scope that does not exist, a name or token that stands twice,
            or a token that is too short or has characters no header may hold (RFC 6750 §2.1). No token is quoted.
    """
    tokens = [
        _parse(number, line.split())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not tokens:
        raise ValueError("token is empty")
    for what, values in (("name", [t.name for t in tokens]), ("token", [t.value for t in tokens])):
        if len(set(values)) != len(values):
            raise ValueError(f"token: the same {what} stands twice")
    return tokens


def _parse(number: int, words: list[str]) -> ApiToken:
    match words:
        case [value]:
            token = ApiToken(name=f"line-{number}", scopes=ALL_SCOPES, scoped=False, value=value)
        case [name, scopes, value]:
            token = ApiToken(name=_name(number, name), scopes=_scopes(number, scopes), scoped=True, value=value)
        case _:
            raise ValueError(f"token: line {number} is neither a token nor a name, scopes and a token")
    if len(token.value) < MIN_TOKEN_CHARS or _TOKEN.fullmatch(token.value) is None:
        raise ValueError(
            f"token: line {number}: a token is at least {MIN_TOKEN_CHARS} letters, digits or -._~+/; "
            "`openssl rand -hex 32` makes one"
        )
    return token


def _name(number: int, name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"token: line {number}: a name is lower-case letters, digits and -, 63 at most")
    return name


def _scopes(number: int, text: str) -> frozenset[Scope]:
    scopes = frozenset(scope for scope in get_args(Scope) if scope in text.split(","))
    if len(scopes) != len(text.split(",")):
        raise ValueError(f"token: line {number}: scopes are {', '.join(get_args(Scope))}, joined by commas")
    return scopes
