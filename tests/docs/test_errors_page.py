"""docs/errors.md says of every code what the code does."""

from __future__ import annotations

import ast
import functools
import json

import pytest

from receiver import errors
from receiver.errors import Code
from receiver.ingress.http.responses import OURS, REFUSED, Policy, answer_to, refused
from tests.docs import errors_table
from tests.docs.pages import ROOT, names, read, rows

ROOM_ONLY = {"ConfigurationError", "FetchError", "StateLostError", "BadEventError", "BadValueError", "UndoneError"}


@functools.cache
def raised() -> dict[str, set[str]]:
    """Code to the classes it is raised with, read from the source."""
    found: dict[str, set[str]] = {
        "jwks_unavailable": {"JWKSUnavailableError"},
        "fetch": {"FetchError"},
        "publish": {"PublishError", "RedisUnavailableError"},
        "configuration": {"ConfigurationError"},
        "state_lost": {"StateLostError"},
        "bad_event": {"BadEventError"},
        "bad_value": {"BadValueError"},
        "undone": {"UndoneError"},
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


def test_answers_on_the_page_are_those_of_the_tables() -> None:
    """Status at each endpoint and level of the log line are as `python -m tests.docs.errors_table` writes them."""
    assert errors_table.updated_page() == read("errors.md")


@pytest.mark.parametrize("code", [code.value for code in Code])
def test_every_code_that_reaches_a_sender_is_in_a_table(code: str) -> None:
    """An error is answered and logged as its endpoint's table says, whichever class it is raised with."""
    classes = raised()[code]
    tables = [table for table in errors_table.TABLES if Code(code) in table]

    assert bool(tables) == bool(classes - ROOM_ONLY)
    for name in classes - ROOM_ONLY:
        made = error(code, name)
        for table in tables:
            answer = table[Code(code)]
            answered = refused(made, Policy(answers=table))
            assert answer.status == answered.status
            assert {"error": answer.error, "error_description": code}.items() <= json.loads(answered.text or "").items()
            assert ("Retry-After" in answered.headers) == (answered.status in {429, 503})
            # What metrics call rejected is the sender's fault, by the class as well.
            assert (answer.outcome == "rejected") == isinstance(made, errors.RequestRejectedError)


def test_faults_of_ours_are_answered_so_at_any_endpoint() -> None:
    """An error whose code an endpoint does not list is answered by whose fault it is."""
    assert answer_to(errors.DependencyError(Code.REDIS, "why")) == OURS
    assert answer_to(errors.LogoutTokenError(Code.TENANT, "why")) == REFUSED
