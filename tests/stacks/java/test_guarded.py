"""What an app does by itself with the module for msal4j: no evictor here, and msal4j current and old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stacks.java.clients import Client, Kind, Listener
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stacks.java.driver import Driver
    from tests.stacks.java.world import World
    from tests.stacks.op import StackOP

pytestmark = [pytest.mark.java, pytest.mark.timeout(450)]

EVERY_KIND = pytest.mark.parametrize("kind", ["entra", "oidc", "b2c"])
LIFETIMES = pytest.mark.parametrize("long", [False, True], ids=["one-per-call", "long-lived"])


@pytest.fixture
def make(
    driver: Driver, quiet_world: World, listener: Listener, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Client]]:
    """A client of this kind under a key of the test's own; `oidc` and `b2c` with `client_info`."""
    op = quiet_world.ops["oidc"]

    def make(kind: Kind, **options: Any) -> Client:
        op.client_info = options.pop("client_info", True)
        key = f"guarded:{request.node.name}:{options.pop('key', '')}"
        which = quiet_world.ops["entra"] if kind == "entra" else op
        return Client(driver, quiet_world, which, key, kind=kind, listener=listener, **options)

    yield make
    op.client_info = False


@pytest.fixture
def names(names: tuple[str, str]) -> tuple[str, str]:
    """With characters that JSON has to escape, or not to."""
    alice, bob = names
    return f'{alice} "\\/\u2028', f"{bob} \u00f3\U0001f600"


@EVERY_KIND
@LIFETIMES
def test_the_silent_call_fails_after_the_logout_and_another_users_works(
    make: Callable[..., Client],
    quiet_world: World,
    listener: Listener,
    names: tuple[str, str],
    *,
    kind: Kind,
    long: bool,
) -> None:
    """Only the user who signed out loses the tokens, in Redis and in memory."""
    alice, bob = names
    client = make(kind, long=long)
    alices, bobs = client.sign_in(alice), client.sign_in(bob)
    assert client.silent(alice) == alices

    quiet_world.logout(client.op, alice)
    eventually(lambda: listener.has_heard_of(client, alice))

    assert client.silent(alice) is None
    assert client.silent(bob) == bobs
    eventually(lambda: alices not in client.memory())
    assert client.accounts() == {client.account(bob)}


@LIFETIMES
def test_a_refresh_in_flight_does_not_bring_the_user_back(
    make: Callable[..., Client], quiet_world: World, listener: Listener, names: tuple[str, str], *, long: bool
) -> None:
    """Its answer reaches the request that waits for it; nothing of it is stored or stays in memory."""
    alice, bob = names
    client = make("entra", long=long)
    client.sign_in(alice)
    bobs = client.sign_in(bob)
    with client.op.holding_refreshes(user=alice) as held:
        refresh = client.begin_refresh(alice)
        held.wait_for_one()
        quiet_world.logout(client.op, alice)
        eventually(lambda: listener.has_heard_of(client, alice))
        held.release()
        late = refresh.result(30)["token"]

    assert late not in client.stored_secrets()
    assert not quiet_world.holds(client, alice)
    eventually(lambda: late not in client.memory())
    assert client.silent(alice) is None
    assert client.silent(bob) == bobs


def test_an_old_refresh_does_not_overwrite_a_new_sign_in(
    make: Callable[..., Client], quiet_world: World, listener: Listener, names: tuple[str, str]
) -> None:
    """A refresh that began before the logout ends after the user has signed in again, whose new tokens stay."""
    alice, bob = names
    client = make("entra")
    client.sign_in(alice)
    bobs = client.sign_in(bob)
    with client.op.holding_refreshes(user=alice) as held:
        refresh = client.begin_refresh(alice)
        held.wait_for_one()
        quiet_world.logout(client.op, alice)
        eventually(lambda: listener.has_heard_of(client, alice))
        again = client.sign_in(alice)
        held.release()
        late = refresh.result(30)["token"]

    assert late not in client.stored_secrets()
    assert client.silent(alice) == again
    assert client.silent(bob) == bobs


@pytest.mark.parametrize("told_by", ["sid", "auth_time"])
def test_a_new_sign_in_works(
    make: Callable[..., Client], quiet_world: World, listener: Listener, names: tuple[str, str], told_by: str
) -> None:
    """It is told from the old one by its `sid` or by its `auth_time`, whichever the OP sends."""
    alice, _ = names
    client = make("entra", long=True)
    op: StackOP = client.op
    op.auth_time, op.sid = told_by == "auth_time", told_by == "sid"
    try:
        client.sign_in(alice)
        quiet_world.logout(op, alice)
        eventually(lambda: listener.has_heard_of(client, alice))
        assert client.silent(alice) is None

        again = client.sign_in(alice)

        assert client.silent(alice) == again
        assert again in client.stored_secrets()
    finally:
        op.auth_time = op.sid = True


@LIFETIMES
def test_tokens_without_an_account_go_too(
    make: Callable[..., Client], quiet_world: World, listener: Listener, names: tuple[str, str], *, long: bool
) -> None:
    """msal4j gives a generic OP's tokens no account; they are told by their ID token. Another session's stay."""
    alice, bob = names
    of_alice = make("oidc", client_info=False, long=long, key="alice")
    of_bob = make("oidc", client_info=False, long=long, key="bob")
    alices, bobs = of_alice.sign_in(alice), of_bob.sign_in(bob)
    assert of_alice.silent(alice) == alices

    quiet_world.logout(of_alice.op, alice)
    eventually(lambda: listener.has_heard_of(of_alice, alice))

    eventually(lambda: of_alice.silent(alice) is None)
    assert of_bob.silent(bob) == bobs


def test_a_logout_of_one_session_leaves_another_sessions_tokens(
    make: Callable[..., Client], quiet_world: World, listener: Listener, names: tuple[str, str]
) -> None:
    """A logout token with a `sid` is that session; tokens of a session with another `sid` stay."""
    alice, _ = names
    client = make("entra")
    token = client.sign_in(alice)

    quiet_world.logout(client.op, None, sid="another-session", sub=client.op.sub(alice, "portal"))
    eventually(lambda: listener.has_heard_of(client, alice))

    assert client.silent(alice) == token


def test_application_tokens_stay(
    make: Callable[..., Client], quiet_world: World, listener: Listener, names: tuple[str, str]
) -> None:
    """A token of the client's own belongs to no user."""
    alice, _ = names
    client = make("oidc", long=True)
    client.sign_in(alice)
    own = client.app_token()

    quiet_world.logout(client.op, alice)
    eventually(lambda: listener.has_heard_of(client, alice))

    eventually(lambda: client.silent(alice) is None)
    assert client.app_token() == own
