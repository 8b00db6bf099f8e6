"""MSAL Python itself, its cache as one value for all users and as a value per account; nothing changed in the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stacks.python.conftest import tokens_that_need_refreshing
from tests.stacks.python.msal_app import MsalApp
from tests.stacks.python.world import ACCOUNT_PREFIX, PAST_ALL_LOOKS_S, SHARED_KEY, InFlight, Shape, World
from tests.support.waiting import eventually, stays

if TYPE_CHECKING:
    from tests.stacks.op import StackOP

pytestmark = pytest.mark.parametrize("shape", ["oidc", "entra"])


def key_of(layout: str, account: str) -> str:
    """Where this layout keeps an account."""
    return SHARED_KEY if layout == "shared" else f"{ACCOUNT_PREFIX}{account}"


def app_on(world: World, op: StackOP, layout: str, client_id: str = "portal") -> MsalApp:
    """An app with its tokens kept in this layout."""
    return MsalApp(world, op, lambda account: key_of(layout, account), client_id)


@pytest.mark.parametrize("layout", ["shared", "account"])
def test_silent_call_fails_after_the_logout(world: World, names: tuple[str, str], shape: Shape, layout: str) -> None:
    """Gone for every client that shares the cache, for any account object an app kept; Bob and the app's own stay."""
    alice, bob = names
    op = world.ops[shape]
    portal, orders = app_on(world, op, layout), app_on(world, op, layout, "orders")
    for user in names:
        portal.sign_in(user)
        orders.sign_in(user)
    assert "identity_provider" == portal.app_token_source(bob)
    assert all(app.has_token(user) for app in (portal, orders) for user in names)

    world.logout(op, alice)
    eventually(lambda: not portal.has_token(alice, remembered=True))

    assert not orders.has_token(alice, remembered=True)
    assert not portal.has_token(alice, remembered=True, refresh=True)
    stays(lambda: not orders.has_token(alice), seconds=0.5)
    assert portal.has_token(bob)
    assert orders.has_token(bob, refresh=True)
    assert "cache" == portal.app_token_source(bob)


@pytest.mark.parametrize("layout", ["shared", "account"])
def test_in_flight_refresh_does_not_bring_the_user_back(
    world: World, names: tuple[str, str], shape: Shape, layout: str
) -> None:
    """A refresh that began before the logout writes its tokens after the eviction, and they are taken away again."""
    alice, bob = names
    op = world.ops[shape]
    portal = app_on(world, op, layout)
    portal.sign_in(bob)
    portal.sign_in(alice)
    with op.holding_refreshes(user=alice) as held:
        refresh = InFlight(lambda: portal.has_token(alice, refresh=True))
        held.wait_for_one()
        world.logout(op, alice)
        eventually(lambda: not portal.has_token(alice))
        held.release()
        # It was too late to stop this one: its caller has a token, and has written the cache.
        assert refresh.join()

    eventually(lambda: not portal.has_token(alice))
    stays(lambda: not portal.has_token(alice), seconds=PAST_ALL_LOOKS_S)
    assert portal.has_token(bob)


@pytest.mark.parametrize("layout", ["shared", "account"])
def test_new_sign_in_stays(world: World, names: tuple[str, str], shape: Shape, layout: str) -> None:
    """Alice signs in again at once, under a new `sid`; the evictor's later looks leave her alone."""
    alice, _ = names
    op = world.ops[shape]
    portal = app_on(world, op, layout)
    portal.sign_in(alice)
    world.logout(op, alice)
    eventually(lambda: not portal.has_token(alice))

    portal.sign_in(alice)

    with tokens_that_need_refreshing(op):
        assert portal.has_token(alice, refresh=True)
        stays(lambda: portal.has_token(alice), seconds=PAST_ALL_LOOKS_S)


@pytest.mark.parametrize("layout", ["shared", "account"])
def test_new_sign_in_while_a_refresh_is_in_flight(
    world: World, names: tuple[str, str], shape: Shape, layout: str
) -> None:
    """Alice is signed in again before the old refresh comes back: however that ends, she can sign in and stay."""
    alice, _ = names
    op = world.ops[shape]
    portal = app_on(world, op, layout)
    portal.sign_in(alice)
    with op.holding_refreshes(user=alice) as held:
        refresh = InFlight(lambda: portal.has_token(alice, refresh=True))
        held.wait_for_one()
        world.logout(op, alice)
        eventually(lambda: not portal.has_token(alice))
        portal.sign_in(alice)
        held.release()
        assert refresh.join()

    # The old refresh may have overwritten the new sign-in, which is the app's own race: then once more.
    stays(lambda: True, seconds=PAST_ALL_LOOKS_S)
    if not portal.has_token(alice):
        portal.sign_in(alice)
    stays(lambda: portal.has_token(alice), seconds=PAST_ALL_LOOKS_S)
