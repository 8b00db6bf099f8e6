"""docs/errors.md says of every code what the code does."""

from __future__ import annotations

import ast

import pytest

from receiver import errors
from receiver.errors import Code
from receiver.ingress.responses import Policy, refused
from tests.docs.pages import ROOT, names, read, rows

PAGE = {names(row[0])[0]: row[1] for row in rows(read("errors.md"))}
ROOM_ONLY = {"ConfigurationError", "StateLostError", "BadEventError", "BadValueError"}


def raised() -> dict[str, set[str]]:
    """Code to the classes it is raised with, read from the source."""
    found: dict[str, set[str]] = {
        "jwks_unavailable": {"JWKSUnavailableError"},
        "publish": {"PublishError"},
        "configuration": {"ConfigurationError"},
        "state_lost": {"StateLostError"},
        "bad_event": {"BadEventError"},
        "bad_value": {"BadValueError"},
    }
    for file in (ROOT / "receiver").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and hasattr(errors, node.func.id)
                and node.args
                and isinstance(node.args[0], ast.Attribute)
                and isinstance(node.args[0].value, ast.Name)
                and node.args[0].value.id == "Code"
            ):
                found.setdefault(Code[node.args[0].attr].value, set()).add(node.func.id)
    # The reason a published key was set aside is raised by value.
    found.setdefault("weak_key", {"LogoutTokenError"})
    return found


def error(code: str, name: str) -> errors.ReceiverError:
    """One error of that class, as the source makes it."""
    build = getattr(errors, name)
    made = build(Code(code), "why") if build.__init__ is errors.ReceiverError.__init__ else build("why")
    assert isinstance(made, errors.ReceiverError)
    assert made.code == code
    return made


def test_every_code_is_on_the_page_once() -> None:
    """The page has exactly the codes there are."""
    assert sorted(code.value for code in Code) == sorted(names(row[0])[0] for row in rows(read("errors.md")))


@pytest.mark.parametrize("code", [code.value for code in Code])
def test_status_on_the_page_is_the_one_answered(code: str) -> None:
    """Each code's status is the one its errors are answered with; codes nobody raises are said to be reserved."""
    classes = raised().get(code, set())
    if not classes:
        assert f"| `{code}` | 503 | nobody | yes | Reserved." in read("errors.md")
    for name in classes:
        answered = "none" if name in ROOM_ONLY else str(refused(error(code, name), Policy()).status)
        assert answered == PAGE[code], name


def test_body_on_the_page_is_the_one_answered() -> None:
    """Codes under Ours, busy, and two of the API, are the ones called temporarily unavailable."""
    passing = {
        code
        for code, classes in raised().items()
        for name in classes - ROOM_ONLY
        if b"temporarily_unavailable" in bytes(refused(error(code, name), Policy()).body)  # type: ignore[arg-type]
    }

    assert {"busy", "jwks_unavailable", "publish", "internal", "redis", "feed_limit"} == passing
