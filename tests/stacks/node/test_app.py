"""The example app: as it was, cleared by the evictor; with our piece and no evictor; with both."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.stacks.node.rig import DEADLINE_S, World, in_thread, installed, tokens_that_need_refreshing
from tests.stacks.node.variants import BOTH, PIECE_ALONE, UNCHANGED, Variant
from tests.support.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stacks.node.apps import Browser, NodeApp

    Browse = Callable[[NodeApp, str], Browser]

pytestmark = pytest.mark.node


def every(*variants: Variant) -> pytest.MarkDecorator:
    """Run the test with the app in each of these."""
    return pytest.mark.parametrize("app", variants, indirect=True, ids=[variant.name for variant in variants])


@every(*UNCHANGED, *PIECE_ALONE, *BOTH)
def test_silent_call_fails_after_the_logout(world: World, app: NodeApp, browse: Browse, names: tuple[str, str]) -> None:
    """The silent call fails and the session is over, in each of the user's browsers; another user notices nothing."""
    alice, bob = names
    browsers = [browse(app, alice), browse(app, alice)]
    other = browse(app, bob)

    world.logout(app.op, alice)

    eventually(lambda: not any(browser.has_token() for browser in browsers))
    eventually(lambda: not browsers[1].has_session())
    assert other.has_token()
    assert other.has_session()


@every(*UNCHANGED, *BOTH)
def test_tokens_and_session_are_gone_from_redis(
    world: World, app: NodeApp, browse: Browse, names: tuple[str, str]
) -> None:
    """The evictor deletes the tokens' key and the session's, nobody asking for them; another user's stay."""
    alice, bob = names
    gone, kept = ([app.tokens + app.op.account(user), app.sessions + browse(app, user).session_id] for user in names)
    assert world.redis.exists(*gone) == 2

    world.logout(app.op, alice)

    eventually(lambda: not world.redis.exists(*gone))
    assert world.redis.exists(*kept) == 2
    assert {app.op.account(bob)} == world.accounts_in(kept[0])


@every(*UNCHANGED, *PIECE_ALONE, *BOTH)
def test_in_flight_refresh_does_not_bring_the_user_back(
    world: World, app: NodeApp, browse: Browse, names: tuple[str, str]
) -> None:
    """A request that refreshes tokens during the logout writes them and its session afterwards, and neither stays."""
    alice, bob = names
    with tokens_that_need_refreshing(app.op):
        browser, other = browse(app, alice), browse(app, bob)
    key = app.tokens + app.op.account(alice)

    with app.op.holding_refreshes(user=alice) as held:
        request = in_thread(browser.has_token)
        held.wait_for_one()
        world.logout(app.op, alice)
        eventually(lambda: not browser.has_session())
        held.release()
        # It was too late to stop this one: its caller got a token.
        assert request.result(DEADLINE_S)

    eventually(lambda: not browser.has_token())
    eventually(lambda: not browser.has_session())
    stays(lambda: not browser.has_token() and not browser.has_session(), seconds=app.looked_at_until_s)
    assert world.accounts_in(key) == set()
    assert other.has_token()


@pytest.mark.parametrize("sid", [True, False], ids=["sid", "auth_time"])
@every(*UNCHANGED, *PIECE_ALONE, *BOTH)
def test_a_new_sign_in_lives(world: World, app: NodeApp, browse: Browse, names: tuple[str, str], *, sid: bool) -> None:
    """Told apart by its `sid`, or by `auth_time` where the OP sends no `sid`; it outlives the later looks."""
    app.op.sid = sid
    try:
        browser = browse(app, names[0])
        world.logout(app.op, names[0])
        eventually(lambda: not browser.has_token() and not browser.has_session())

        browser.sign_in()

        stays(lambda: browser.has_token() and browser.has_session(), seconds=app.looked_at_until_s)
    finally:
        app.op.sid = True


@every(*PIECE_ALONE, *BOTH)
def test_an_old_refresh_does_not_overwrite_a_new_sign_in(
    world: World, app: NodeApp, browse: Browse, names: tuple[str, str]
) -> None:
    """A refresh that began before the logout ends after the user has signed in again, whose new tokens stay."""
    alice = names[0]
    with tokens_that_need_refreshing(app.op):
        browser = browse(app, alice)
    with app.op.holding_refreshes(user=alice) as held:
        request = in_thread(browser.has_token)
        held.wait_for_one()
        world.logout(app.op, alice)
        eventually(lambda: not browser.has_session())
        browser.sign_in()
        held.release()
        assert request.result(DEADLINE_S)

    stays(lambda: browser.has_token() and browser.has_session(), seconds=app.looked_at_until_s)


@every(*BOTH)
def test_what_the_op_refuses_is_shown(app: NodeApp) -> None:
    """An OP that does not know a scope sends the browser back with an error and no code."""
    with requests.Session() as http:
        http.trust_env = False
        to_op = http.get(f"{app.url}/sign-in", allow_redirects=False, timeout=DEADLINE_S).headers["Location"]
        state = parse_qs(urlsplit(to_op).query)["state"][0]
        refusal = {"state": state, "error": "invalid_scope", "error_description": "Invalid scopes: orders.read"}
        answer = http.get(f"{app.url}/redirect", params=refusal, timeout=DEADLINE_S)

    assert 400 == answer.status_code
    assert {"error": "invalid_scope", "error_description": "Invalid scopes: orders.read"} == answer.json()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"AUTHORITY": "login.example.com"}, "AUTHORITY is the OP's issuer, with https://"),
        ({"PROTOCOL": "oidc"}, "PROTOCOL is one of AAD, OIDC"),
        ({"RECEIVER_API_URL": "http://127.0.0.1:1"}, "the option api must be"),
        ({"SESSION_SECRET": ""}, "set AUTHORITY, CLIENT_SECRET and SESSION_SECRET"),
    ],
)
def test_wrong_settings(world: World, wrong: dict[str, str], sentence: str) -> None:
    """The app does not start, and says which setting it is."""
    settings = {"PATH": os.environ["PATH"], **world.of("oidc"), "CLIENT_SECRET": "secret", "SESSION_SECRET": "secret"}
    command = ["node", "app.mjs"]
    done = subprocess.run(
        command, cwd=installed("7"), env=settings | wrong, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert sentence in done.stderr


@every(*BOTH)
def test_the_trace_shows_that_the_app_has_acted(
    world: World, app: NodeApp, browse: Browse, names: tuple[str, str]
) -> None:
    """`receiver trace` names the app and does not wait for anybody."""
    browser = browse(app, names[0])
    jti = world.logout(app.op, names[0])
    eventually(lambda: not browser.has_session())

    def traced() -> bool:
        command = [sys.executable, "-m", "receiver", "trace", jti, "--config", str(world.config), "--json"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        return run.returncode == 0 and "shop" in run.stdout

    eventually(traced)
