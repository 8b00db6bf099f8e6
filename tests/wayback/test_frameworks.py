"""The way back in after an order, in each framework: one prompt, then in; and never round and round."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest
import requests

from tests.wayback.sites import SITES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.wayback.conftest import Town

Serve = "Callable[..., str]"
PAGE = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate"}
MAX_REDIRECTS = 12
"""Of one page opened: more is a loop."""


class Person:
    """A browser with a cookie jar, and a user who signs in when asked."""

    def __init__(self) -> None:
        self._http = requests.Session()
        self._http.max_redirects = MAX_REDIRECTS
        self._http.trust_env = False

    def close(self) -> None:
        self._http.close()

    def open(self, url: str) -> requests.Response:
        """What is shown in the end; a login page is filled in as often as it comes."""
        answer = self._http.get(url, headers=PAGE, timeout=20)
        for _ in range(3):
            found = re.search(r'name="query" value="([^"]*)"', answer.text)
            if found is None:
                break
            login = answer.url.partition("/authorize")[0] + "/login"
            answer = self._http.post(login, data={"query": unescape(found[1])}, headers=PAGE, timeout=20)
        return answer


@pytest.fixture
def alice() -> Iterator[Person]:
    """No user is signed in yet."""
    person = Person()
    yield person
    person.close()


@pytest.mark.parametrize("says", ["new", "old", "none"])
@pytest.mark.parametrize("framework", SITES)
def test_one_prompt_then_in(town: Town, serve: Callable[..., str], alice: Person, framework: str, says: str) -> None:
    """The session at the OP goes on with the same `sid`: the OP asks once, then Alice is in."""
    town.op.says = says
    portal = serve(framework)
    assert "hello alice" == alice.open(portal).text
    town.order()
    before = town.op.prompts, town.op.rounds

    answer = alice.open(portal)

    assert (200, "hello alice") == (answer.status_code, answer.text)
    assert (before[0] + 1, before[1] + 1) == (town.op.prompts, town.op.rounds)
    assert "hello alice" == alice.open(portal).text
    assert before[1] + 1 == town.op.rounds


@pytest.mark.parametrize("framework", SITES)
def test_second_order(town: Town, serve: Callable[..., str], alice: Person, framework: str) -> None:
    """Who authenticated anew is signed out by the next order like all other users, and gets in again."""
    town.op.says = "old"
    portal = serve(framework)
    alice.open(portal)
    for prompts in (2, 3):
        town.order()
        assert "hello alice" == alice.open(portal).text
        assert prompts == town.op.prompts


@pytest.mark.parametrize("framework", SITES)
def test_no_loop(town: Town, serve: Callable[..., str], alice: Person, framework: str) -> None:
    """An app whose requests cannot be changed: the second refusal in a row shows a page, and sends nowhere."""
    portal = serve(framework, "unaware")
    alice.open(portal)
    town.order()
    rounds = town.op.rounds

    answer = alice.open(portal)

    assert 401 == answer.status_code
    assert "text/html" in answer.headers["Content-Type"]
    assert "/login" in answer.text
    assert town.op.rounds - rounds <= 2


@pytest.mark.parametrize("framework", SITES)
def test_order_on_what_is_there(town: Town, serve: Callable[..., str], alice: Person, framework: str) -> None:
    """An order that asks for no new authentication: the app's session ends, and the OP lets in without a prompt."""
    portal = serve(framework)
    alice.open(portal)
    # What is told apart by dates of two clocks is told apart by what was registered before.
    town.order(reauthenticate=False)
    before = town.op.prompts, town.op.rounds

    assert "hello alice" == alice.open(portal).text

    assert before[1] + 1 == town.op.rounds


@pytest.mark.parametrize("framework", SITES)
def test_pushed_request(town: Town, serve: Callable[..., str], alice: Person, framework: str) -> None:
    """An app that pushes its request adds the value it is offered: one prompt, then in."""
    town.op.says = "old"
    portal = serve(framework, "pushed")
    alice.open(portal)
    town.order()

    assert "hello alice" == alice.open(portal).text
    assert 2 == town.op.prompts
