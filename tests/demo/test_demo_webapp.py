"""The sample apps in front of scripted browsers, on a running stage."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from demo import timeline
from demo.person import Person
from demo.stage import APPS, Stage
from demo.timeline import Happened

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Redis, OP, receiver and both apps."""
    with Stage(stable_ports=False) as running:
        yield running


@pytest.fixture
def alice(stage: Stage) -> Iterator[Person]:
    """A new browser of alice's; signed out at the OP in the end."""
    with Person("alice", stage.users["alice"]) as person:
        yield person
        person.sign_out(stage.sign_out_url)


def wait_until_all_have_heard(stage: Stage) -> None:
    """Every app has acted on every logout token posted so far."""
    deadline = time.monotonic() + 10
    while True:
        kinds = Counter(entry.kind for entry in timeline.read_all(stage.redis))
        if kinds[Happened.APP_FORGOT] == kinds[Happened.LOGOUT_POSTED] * len(APPS):
            return
        assert time.monotonic() < deadline


def test_stranger_is_not_signed_in(stage: Stage, alice: Person) -> None:
    """A browser that never signed in gets no user and no token call, whatever the shared cache holds."""
    status = alice.status(stage.urls["portal"])

    assert (status["signed_in_as"], status["silent_call"]) == (None, None)


def test_new_sign_in_revives_no_old_session(stage: Stage, alice: Person) -> None:
    """After a sign-out, signing in again at portal leaves the browser's old session at orders ended."""
    portal, orders = stage.urls["portal"], stage.urls["orders"]
    alice.sign_in(portal)
    alice.sign_in(orders)
    alice.sign_out(stage.sign_out_url)
    wait_until_all_have_heard(stage)
    alice.sign_in(portal)

    assert alice.status(portal)["signed_in_as"] == "alice"
    assert alice.status(orders)["signed_in_as"] is None


def test_callback_of_another_browser_signs_nobody_in(stage: Stage, alice: Person) -> None:
    """A callback whose state this browser never sent ends at the start page, signed out."""
    portal = stage.urls["portal"]

    page = alice._get(f"{portal}/callback?code=stolen&state=made-up")

    assert page.url == f"{portal}/"
    assert "Nobody is signed in" in page.text
    assert alice.status(portal)["signed_in_as"] is None


def test_stage_ends_what_it_started() -> None:
    """When the stage closes, its processes are gone and its directory with settings and secrets too."""
    with Stage(stable_ports=False) as stage:
        processes = [part.process for part in stage._parts]
        running = [process.poll() for process in processes]
        directory = stage.directory

    assert running == [None] * 5
    assert all(process.poll() is not None for process in processes)
    assert not directory.exists()
