"""The example apps, as they were and with the line: a logout through the receiver ends what they hold of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stacks.python.conftest import tokens_that_need_refreshing
from tests.stacks.python.world import PAST_ALL_LOOKS_S, InFlight, World
from tests.support.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stacks.python.apps import App, Browser

    Names = tuple[str, str]
    Start = Callable[[str, bool], App]
    Browse = Callable[[App, str], Browser]

COVERED = [
    pytest.param(("flask", False), id="flask-as-it-was"),
    pytest.param(("flask", True), id="flask-with-the-line"),
    pytest.param(("django", False), id="django-as-it-was"),
    pytest.param(("django", True), id="django-with-the-line"),
    pytest.param(("fastapi", False), id="fastapi-as-it-was"),
    pytest.param(("fastapi", True), id="fastapi-with-the-line"),
]
covered = pytest.mark.parametrize("app", COVERED, indirect=True)


@covered
def test_silent_call_fails_after_the_logout(world: World, names: Names, app: App, browse: Browse) -> None:
    """The page that showed a token leads to the sign-in, the key in Redis is gone; Bob's page still shows his."""
    before = world.keys(app.prefix)
    alice = browse(app, names[0])
    hers = world.keys(app.prefix) - before
    bob = browse(app, names[1])
    assert 1 == len(hers)

    world.logout(app.op, alice.user)
    # Nobody asks meanwhile: what is gone from Redis is the evictor's doing.
    eventually(lambda: not hers & world.keys(app.prefix))

    eventually(lambda: not alice.is_signed_in())
    stays(lambda: not alice.is_signed_in(), seconds=0.5)
    assert bob.is_signed_in()


@covered
def test_scopes_left_out(names: Names, app: App, browse: Browse) -> None:
    """MSAL asks for `offline_access`, unless the app is told to leave it out; either way tokens are refreshed."""
    with tokens_that_need_refreshing(app.op):
        alice = browse(app, names[0])

        assert alice.is_signed_in()

    alice.forget_cookies()
    assert app.line == ("offline_access" not in alice.asks_for())


@covered
def test_in_flight_refresh_does_not_bring_the_user_back(world: World, names: Names, app: App, browse: Browse) -> None:
    """A page whose refresh was on its way during the logout saves its session or tokens; they are gone again."""
    before = world.keys(app.prefix)
    with tokens_that_need_refreshing(app.op):
        alice = browse(app, names[0])
        hers = world.keys(app.prefix) - before
        bob = browse(app, names[1])
        with app.op.holding_refreshes(user=alice.user) as held:
            request = InFlight(alice.orders)
            held.wait_for_one()
            world.logout(app.op, alice.user)
            eventually(lambda: not hers & world.keys(app.prefix))
            held.release()
            request.join()
            # Django itself does not save a session that is gone; the others do, and it is deleted again.
            assert app.name != "django" or not hers & world.keys(app.prefix)

        eventually(lambda: not hers & world.keys(app.prefix))
        eventually(lambda: not alice.is_signed_in())
        stays(lambda: not alice.is_signed_in(), seconds=PAST_ALL_LOOKS_S)
        assert bob.is_signed_in()


@covered
def test_new_sign_in_works(world: World, names: Names, app: App, browse: Browse) -> None:
    """Signing in again, at once and in the same browser, works and lasts."""
    alice = browse(app, names[0])
    world.logout(app.op, alice.user)
    eventually(lambda: not alice.is_signed_in())

    alice.sign_in()

    stays(alice.is_signed_in, seconds=PAST_ALL_LOOKS_S)


@pytest.mark.parametrize("name", ["flask", "django"])
def test_other_session_of_the_user_lives(
    world: World, names: Names, start_app: Start, browse: Browse, name: str
) -> None:
    """These stores keep one value per session: a logout that names a `sid` ends that one."""
    app = start_app(name, True)
    phone = browse(app, names[0])
    app.op.sign_in(names[0])
    laptop = browse(app, names[0])

    world.logout(app.op, names[0])
    eventually(lambda: not laptop.is_signed_in())

    stays(phone.is_signed_in, seconds=0.5)


def test_cookie_of_an_app_as_it_was_outlives_the_tokens(
    world: World, names: Names, start_app: Start, browse: Browse
) -> None:
    """FastAPI: a page that asks for no token goes on greeting Alice, unless the app has the line."""
    plain, changed = start_app("fastapi", False), start_app("fastapi", True)
    before = {browse(plain, names[0]): 200, browse(changed, names[0]): 401}
    keys = {f"{app.prefix}:{app.op.account(names[0])}" for app in (plain, changed)}
    assert keys <= world.keys("fastapi-")

    world.logout(plain.op, names[0])
    eventually(lambda: not keys & world.keys("fastapi-"))

    eventually(lambda: all(status == browser.page("/greeting").status_code for browser, status in before.items()))


def test_old_browser_does_not_ride_on_a_later_sign_in(
    world: World, names: Names, start_app: Start, browse: Browse
) -> None:
    """FastAPI keeps tokens by account: with the line, a browser whose session ended stays out when Alice is back."""
    app = start_app("fastapi", True)
    old = browse(app, names[0])
    world.logout(app.op, names[0])
    eventually(lambda: 401 == old.page("/greeting").status_code)

    new = browse(app, names[0])

    assert not old.is_signed_in()
    stays(new.is_signed_in, seconds=0.5)


def test_old_browser_of_an_app_as_it_was_rides_on_it(
    world: World, names: Names, start_app: Start, browse: Browse
) -> None:
    """What the line is for: the old cookie names the account, and the account has tokens again."""
    app = start_app("fastapi", False)
    old = browse(app, names[0])
    world.logout(app.op, names[0])
    eventually(lambda: f"{app.prefix}:{app.op.account(names[0])}" not in world.keys(app.prefix))

    browse(app, names[0])

    assert old.is_signed_in()
