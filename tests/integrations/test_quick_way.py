"""The short way of a session that was here before: what it takes for the same, and what it leaves to a closer look."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import flask
import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from receiver.consumer.checkpoint import MARKER, Checkpoint
from receiver.consumer.flask import SignOut
from receiver.consumer.health import STALE_AFTER_S
from receiver.consumer.knowledge import Knowledge, Status
from receiver.consumer.passage import Facts, Passage
from tests.consumer.alice import logout
from tests.integrations.conftest import ISS, World, claims, wait_for
from tests.support.clock import NOW, Clock

if TYPE_CHECKING:
    from receiver.consumer.options import Options

KEYS = ("session:1",)


def registered(checkpoint: Checkpoint, place: str = "_logged_in_user", value: Any = None) -> dict[str, Any]:
    """A session that signed in with this app and came back once."""
    session = {place: value or claims("alice")}
    found = checkpoint.claims_in_session(session)
    assert found is not None
    checkpoint.registered(session, checkpoint.recognise(session, found, KEYS))
    assert checkpoint.recognise(session, found, KEYS).registered
    return session


def copied(session: dict[str, Any]) -> dict[str, Any]:
    """As the next request reads it from its cookie."""
    return {name: dict(value) if isinstance(value, dict) else list(value) for name, value in session.items()}


@pytest.mark.parametrize(("options", "place"), [({}, "_logged_in_user"), ({}, "user"), ({"claims": "me"}, "me")])
def test_session_that_was_here_is_seen(options: Options, place: str) -> None:
    """The same visit, with the claims in each place that is searched."""
    checkpoint = Checkpoint(options)
    session = registered(checkpoint, place)
    visit = checkpoint.seen(copied(session), KEYS)
    assert visit is not None
    assert visit is checkpoint.recognise(copied(session), session[place], KEYS)


@pytest.mark.parametrize(
    "changes",
    [
        {"user": claims("bob")},
        {"user": claims("alice", iat=950)},
        {"user": {"id_token_claims": claims("alice")}},
        {"user": "alice"},
        {"user": None},
        {"_logged_in_user": claims("bob")},
        {MARKER: None},
        {MARKER: []},
        {MARKER: [["x"], 900, None, ""]},
        {MARKER: "x"},
    ],
)
def test_session_that_changed_is_looked_at(changes: dict[str, Any]) -> None:
    """Other claims, in the same place or in one that comes first, or another marker: not the same sign-in."""
    checkpoint = Checkpoint({})
    session = registered(checkpoint, "user")
    assert checkpoint.seen(session | changes, KEYS) is None


def test_another_name_of_the_session_is_looked_at() -> None:
    """A session that was given a new key is registered under it."""
    checkpoint = Checkpoint({})
    session = registered(checkpoint)
    assert checkpoint.seen(session, ("session:2",)) is None


@pytest.mark.parametrize("options", [{}, {"claims": lambda _: claims("alice")}])
def test_claims_elsewhere_are_looked_at(options: Options) -> None:
    """Claims inside another value, or told by a function, have no place in the session."""
    checkpoint = Checkpoint(options)
    session: dict[str, Any] = {"user": {"id_token_claims": claims("alice")}}
    checkpoint.registered(session, checkpoint.recognise(session, claims("alice"), KEYS))
    checkpoint.recognise(session, claims("alice"), KEYS)
    assert checkpoint.seen(session, KEYS) is None


def knowing(clock: Clock, checkpoint: Checkpoint, session: dict[str, Any]) -> Knowledge:
    """A process that has asked about the session, and read the stream just now."""
    knowledge = Knowledge(clock=clock, last_read=lambda: NOW)
    visit = checkpoint.recognise(session, session["_logged_in_user"], KEYS)
    knowledge.learn(visit.sign_in, asked_at=clock())
    return knowledge


def come_to(knowledge: Knowledge, status: Status, clock: Clock) -> None:
    """Something happens, after which no more is known of any session than this."""
    if status == "ended":
        knowledge.note(logout(iss=ISS, sid="sid-alice"))
    elif status == "unknown":
        clock.advance(STALE_AFTER_S)


def passage_of(checkpoint: Checkpoint, knowledge: Knowledge) -> Passage:
    """A request."""
    return Passage(checkpoint, knowledge, lambda: Facts("GET", "/", "", lambda _: None))


@pytest.mark.parametrize(
    ("changed", "status", "then", "goes"),
    [
        (False, 200, "live", True),
        (False, 200, "ended", False),
        (False, 200, "unknown", False),
        (True, 200, "live", False),
        (False, 302, "live", False),
    ],
)
def test_answer_goes_out_without_a_second_look(
    changed: bool, status: int, then: Status, goes: bool, clock: Clock
) -> None:
    """Only of a session as it was, live still, that is sent nowhere."""
    checkpoint = Checkpoint({})
    session = registered(checkpoint)
    knowledge = knowing(clock, checkpoint, session)
    passage = passage_of(checkpoint, knowledge)
    assert passage.goes_in(session, KEYS)
    come_to(knowledge, then, clock)
    assert goes is passage.goes_out(session, changed=changed, status=status)


def test_another_session_is_looked_at_again(clock: Clock) -> None:
    """A view may put a session of its own in its place."""
    checkpoint = Checkpoint({})
    session = registered(checkpoint)
    passage = passage_of(checkpoint, knowing(clock, checkpoint, session))
    assert passage.goes_in(session, KEYS)
    assert not passage.goes_out(dict(session), changed=False, status=200)


@pytest.mark.parametrize(("options", "goes"), [({}, True), ({"claims": lambda _: claims("alice")}, False)])
def test_answer_after_a_closer_look_goes_out_the_same(options: Options, goes: bool, clock: Clock) -> None:
    """Where claims have no place of their own in the session; not where a function tells them, perhaps others now."""
    checkpoint = Checkpoint(options)
    session = registered(checkpoint)
    passage = passage_of(checkpoint, knowing(clock, checkpoint, session))
    assert "live" == passage.look_here(session, session["_logged_in_user"], KEYS)
    assert goes is passage.goes_out(session, changed=False, status=200)


@pytest.mark.parametrize("then", ["ended", "unknown"])
def test_session_not_known_live_does_not_go_in(then: Status, clock: Clock) -> None:
    """It is looked at, and asked about; also where a request went in before."""
    checkpoint = Checkpoint({})
    session = registered(checkpoint)
    knowledge = knowing(clock, checkpoint, session)
    assert passage_of(checkpoint, knowledge).goes_in(session, KEYS)
    come_to(knowledge, then, clock)
    passage = passage_of(checkpoint, knowledge)
    assert not passage.goes_in(session, KEYS)
    assert then == passage.look_here(session, session["_logged_in_user"], KEYS)


def test_request_leaves_nothing_to_the_garbage_collector(world: World) -> None:
    """What a request of a Flask app made is gone with it: it does not hold itself, nor does what listens hold it.

    The first request begins to listen, and a sign-in is registered on a connection that stays open.
    """
    app = flask.Flask("portal", static_folder=None)
    app.secret_key = "k"

    @app.get("/")
    def home() -> str:
        flask.session["_logged_in_user"] = claims("alice")
        return "hello"

    guard = SignOut(app, world.url)
    cookie = ""
    try:
        for _ in range(2):
            environ = EnvironBuilder("/", headers=[("Cookie", cookie)]).get_environ()
            gc.collect()
            gc.disable()
            body, _, headers = run_wsgi_app(app, environ)
            cookie = headers["Set-Cookie"].partition(";")[0]
            del environ, body, headers
            # The thread that registers the sign-in lets go of it a moment after its answer.
            wait_for(lambda: not [one for one in gc.get_objects() if type(one) is Passage])
    finally:
        gc.enable()
        guard.close()
