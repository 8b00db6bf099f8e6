"""MSAL Python where less is known: encrypted values, guests, OPs that say little, caches in memory."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from receiver.consumer import Eviction, ThreadSessions, ThreadSubscriber
from receiver.consumer.msal_cache import forget_account
from tests.stacks.python.conftest import tokens_that_need_refreshing
from tests.stacks.python.msal_app import MsalApp
from tests.stacks.python.world import (
    ACCOUNT_PREFIX,
    ENCRYPTED_PREFIX,
    ENCRYPTED_SHARED_KEY,
    PAST_ALL_LOOKS_S,
    SHARED_KEY,
    InFlight,
    World,
)
from tests.support.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msal

    from tests.stacks.op import StackOP


def encrypting(world: World, op: StackOP) -> MsalApp:
    """An app whose values only it can read, each at its account's key."""
    return MsalApp(world, op, lambda account: f"{ENCRYPTED_PREFIX}{account}", fernet=Fernet(Fernet.generate_key()))


def sign_in_until_it_lasts(portal: MsalApp, user: str) -> None:
    """Where nothing tells a new sign-in from what came back, it is taken twice at the most."""
    for _ in range(3):
        portal.sign_in(user)
        with contextlib.suppress(AssertionError):
            stays(lambda: portal.has_token(user), seconds=PAST_ALL_LOOKS_S)
            return
    pytest.fail("signed out again and again")


def test_encrypted_value_is_found_by_the_subject(world: World, names: tuple[str, str]) -> None:
    """Without `client_info` MSAL's account is the `sub`, and the key that ends in it is deleted."""
    alice, bob = names
    op = world.ops["oidc"]
    portal = encrypting(world, op)
    for user in names:
        portal.sign_in(user)

    world.logout(op, alice)
    eventually(lambda: not portal.has_token(alice))

    assert portal.has_token(bob)
    sign_in_until_it_lasts(portal, alice)


def test_encrypted_value_is_found_by_the_registered_account(world: World, names: tuple[str, str]) -> None:
    """With a pairwise `sub` nothing outside the app tells the account, until the app registers its sign-ins."""
    alice, bob = names
    op = world.ops["entra"]
    portal = encrypting(world, op)
    sessions = ThreadSessions(world.redis_url)
    with contextlib.closing(sessions):
        for user in names:
            assert sessions.register(portal.sign_in(user), home_account_id=op.account(user))

    world.logout(op, alice)
    eventually(lambda: not portal.has_token(alice))

    assert portal.has_token(bob)


def test_encrypted_in_flight_refresh(world: World, names: tuple[str, str]) -> None:
    """What a refresh writes back is deleted again although nobody can read it."""
    alice, bob = names
    op = world.ops["oidc"]
    portal = encrypting(world, op)
    for user in names:
        portal.sign_in(user)
    with op.holding_refreshes(user=alice) as held:
        refresh = InFlight(lambda: portal.has_token(alice, refresh=True))
        held.wait_for_one()
        world.logout(op, alice)
        eventually(lambda: not portal.has_token(alice))
        held.release()
        assert refresh.join()

    eventually(lambda: not portal.has_token(alice))
    stays(lambda: not portal.has_token(alice), seconds=PAST_ALL_LOOKS_S)
    assert portal.has_token(bob)


def test_encrypted_value_of_all_users_is_left_alone(world: World, names: tuple[str, str]) -> None:
    """Nobody can take one account out of it, and deleting it would sign out everybody: it is not covered."""
    alice, bob = names
    op = world.ops["oidc"]
    portal = MsalApp(world, op, lambda _: ENCRYPTED_SHARED_KEY, fernet=Fernet(Fernet.generate_key()))
    for user in names:
        portal.sign_in(user)

    world.logout(op, alice)
    assert portal.has_token(bob, refresh=True)

    stays(lambda: portal.has_token(bob), seconds=PAST_ALL_LOOKS_S)
    assert portal.has_token(alice)
    world.redis.delete(ENCRYPTED_SHARED_KEY)


@pytest.mark.parametrize("key", [SHARED_KEY, None])
def test_guest(world: World, names: tuple[str, str], key: str | None) -> None:
    """A guest's account is that of the home tenant, which no claim of the logout token tells."""
    alice, bob = names
    op = world.ops["entra"]
    op.home_tenants[alice] = "0d1c1dbb-95bd-4b43-a8a1-1d0b9e1d6d4f"
    portal = MsalApp(world, op, lambda account: key or f"{ACCOUNT_PREFIX}{account}")
    for user in names:
        portal.sign_in(user)

    world.logout(op, alice)
    eventually(lambda: not portal.has_token(alice, remembered=True))

    assert portal.has_token(bob)


@pytest.fixture
def laconic(world: World) -> Iterator[StackOP]:
    """An OP whose ID tokens say neither which session they are of nor when it began."""
    op = world.ops["oidc"]
    op.sid = op.auth_time = False
    yield op
    op.sid = op.auth_time = True


@pytest.mark.parametrize("key", [SHARED_KEY, None])
def test_neither_sid_nor_auth_time(world: World, names: tuple[str, str], laconic: StackOP, key: str | None) -> None:
    """The logout takes the tokens; a sign-in after it may have to be repeated, but never more than a few times."""
    alice, bob = names
    portal = MsalApp(world, laconic, lambda account: key or f"{ACCOUNT_PREFIX}{account}")
    for user in names:
        portal.sign_in(user)
    world.logout(laconic, alice)
    eventually(lambda: not portal.has_token(alice))
    # Tokens of the very second of the logout are taken for older ones.
    second = int(time.time())
    eventually(lambda: time.time() > second + 1)

    sign_in_until_it_lasts(portal, alice)

    assert portal.has_token(bob)


@pytest.mark.parametrize("key", [SHARED_KEY, None])
def test_neither_sid_nor_auth_time_in_flight(
    world: World, names: tuple[str, str], laconic: StackOP, key: str | None
) -> None:
    """What was there before the logout is told by the age of its tokens."""
    alice, bob = names
    portal = MsalApp(world, laconic, lambda account: key or f"{ACCOUNT_PREFIX}{account}")
    for user in names:
        portal.sign_in(user)
    with laconic.holding_refreshes(user=alice) as held:
        refresh = InFlight(lambda: portal.has_token(alice, refresh=True))
        held.wait_for_one()
        world.logout(laconic, alice)
        eventually(lambda: not portal.has_token(alice))
        held.release()
        assert refresh.join()

    eventually(lambda: not portal.has_token(alice))
    stays(lambda: not portal.has_token(alice), seconds=PAST_ALL_LOOKS_S)
    assert portal.has_token(bob)


class InMemory(MsalApp):
    """An app whose cache is one object in its own memory, for all users."""

    def __init__(self, world: World, op: StackOP) -> None:
        super().__init__(world, op, lambda account: account)
        self.cache: msal.SerializableTokenCache = super()._load("")

    def _load(self, key: str) -> msal.SerializableTokenCache:
        del key
        return self.cache

    def _save(self, cache: msal.SerializableTokenCache, key: str) -> None:
        """Nothing is saved anywhere."""


def test_cache_in_memory(world: World, names: tuple[str, str]) -> None:
    """No evictor reaches it; a subscriber that calls `forget_account` in each process does."""
    alice, bob = names
    op = world.ops["oidc"]
    portal = InMemory(world, op)

    def forget(eviction: Eviction) -> None:
        for account in eviction.accounts:
            forget_account(portal.cache, account, logout_at=eviction.logout_at)

    subscriber = ThreadSubscriber(world.redis_url, forget, app="in-memory")
    subscriber.start()
    try:
        for user in names:
            portal.sign_in(user)

        world.logout(op, alice)
        eventually(lambda: not portal.has_token(alice, remembered=True))

        assert portal.has_token(bob)
        portal.sign_in(alice)
        with tokens_that_need_refreshing(op):
            assert portal.has_token(alice, refresh=True)
    finally:
        subscriber.stop()
