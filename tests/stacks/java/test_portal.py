"""The example app: without the listener beside the evictor, with the listener and no evictor, and with both."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import requests

from tests.stacks.java.portal import Browser, Portal
from tests.support.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.java, pytest.mark.timeout(450)]


@pytest.fixture(scope="session")
def hearing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """With the listener, at a generic OP."""
    world, directory = request.getfixturevalue("quiet_world"), tmp_path_factory.mktemp("portal")
    with Portal("portal-hears", world, directory, shape="oidc", hears=True, evicted=False) as app:
        yield app


@pytest.fixture(scope="session")
def unchanged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """Without the listener."""
    world = request.getfixturevalue("world")
    with Portal("portal-plain", world, tmp_path_factory.mktemp("portal"), hears=False, evicted=True) as app:
        yield app


@pytest.fixture(scope="session")
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """With the listener, and the evictor beside it."""
    world = request.getfixturevalue("world")
    with Portal("portal-both", world, tmp_path_factory.mktemp("portal"), hears=True, evicted=True) as app:
        yield app


@pytest.fixture(scope="session")
def both_on_3(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """With the listener and the evictor, on Spring Boot 3.5."""
    world, directory = request.getfixturevalue("world"), tmp_path_factory.mktemp("portal")
    with Portal("portal-both-on-3", world, directory, hears=True, evicted=True, spring_boot_3=True) as app:
        yield app


@pytest.fixture(params=["hearing", "unchanged", "both", "both_on_3"])
def portal(request: pytest.FixtureRequest) -> Portal:
    """Each of them."""
    app: Portal = request.getfixturevalue(request.param)
    return app


@pytest.fixture
def browse() -> Iterator[Callable[[Portal, str], Browser]]:
    """A user's browser, signed in; closed with the test."""
    with contextlib.ExitStack() as open_browsers:

        def sign_in(portal: Portal, user: str) -> Browser:
            browser = Browser(portal, user)
            open_browsers.callback(browser.close)
            browser.sign_in()
            return browser

        yield sign_in


def test_a_logout_ends_the_session_and_the_tokens_of_one_user(
    portal: Portal, browse: Callable[[Portal, str], Browser], names: tuple[str, str]
) -> None:
    """Alice is asked to sign in, Bob is not."""
    alice, bob = (browse(portal, name) for name in names)
    bobs = bob.token()
    assert alice.token()
    assert bobs

    portal.world.logout(portal.op, names[0])

    eventually(lambda: not alice.is_signed_in())
    assert alice.token() is None
    assert bob.is_signed_in()
    assert bob.token() == bobs


def test_a_logout_addressed_to_another_client_counts_too(
    portal: Portal, browse: Callable[[Portal, str], Browser], names: tuple[str, str]
) -> None:
    """The `sub` is another one there, the `sid` is the same."""
    alice = browse(portal, names[0])

    portal.world.logout(portal.op, names[0], client_id="orders")

    eventually(lambda: not alice.is_signed_in())


@pytest.mark.parametrize("portal", ["unchanged", "both", "both_on_3"], indirect=True)
def test_a_request_in_flight_does_not_bring_the_user_back(
    portal: Portal, browse: Callable[[Portal, str], Browser], names: tuple[str, str]
) -> None:
    """A refresh that was under way stores no tokens that stay, and its request no session."""
    alice, bob = (browse(portal, name) for name in names)
    before = portal.sessions()
    with portal.op.holding_refreshes(user=names[0]) as held:
        request = alice.begin_refresh()
        held.wait_for_one()
        portal.world.logout(portal.op, names[0])
        # The evictor has deleted the session; an app that hears needs no more than to have heard.
        eventually(lambda: portal.sessions() < before or not alice.is_signed_in())
        held.release()
        failure = request.exception(30)

    # Spring Session's indexed repository may fail this request when its session was deleted under it.
    assert failure is None or (portal.is_evicted and isinstance(failure, requests.RequestException))
    eventually(lambda: not alice.is_signed_in() and not portal.holds_tokens_of(names[0]))
    stays(lambda: not alice.is_signed_in() and not portal.holds_tokens_of(names[0]), seconds=3)
    assert bob.token()


def test_a_new_sign_in_stays(portal: Portal, browse: Callable[[Portal, str], Browser], names: tuple[str, str]) -> None:
    """It is neither refused nor removed by a later look."""
    alice = browse(portal, names[0])
    portal.world.logout(portal.op, names[0])
    eventually(lambda: not alice.is_signed_in())

    alice.sign_in()

    stays(lambda: alice.is_signed_in() and alice.token(), seconds=3)
