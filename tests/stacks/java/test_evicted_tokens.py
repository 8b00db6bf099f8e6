"""msal4j apps in which nothing was changed, and the evictor: blobs of all users, and of one session each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stacks.java.clients import Client, Kind
from tests.support.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stacks.java.driver import Driver
    from tests.stacks.java.world import World

pytestmark = [pytest.mark.java, pytest.mark.timeout(450)]

EVERY_KIND = pytest.mark.parametrize("kind", ["entra", "oidc", "b2c"])

PAST_THE_FIRST_LOOK_S = 3.0
"""The evictor looks again 2 s after a logout."""


@pytest.fixture
def make(driver: Driver, world: World, request: pytest.FixtureRequest) -> Iterator[Callable[..., Client]]:
    """A client of this kind under a key of the test's own; `oidc` and `b2c` with `client_info`."""
    op = world.ops["oidc"]

    def make(kind: Kind, **options: Any) -> Client:
        op.client_info = options.pop("client_info", True)
        key = f"tokens:{request.node.name}:{options.pop('key', '')}"
        return Client(driver, world, world.ops["entra"] if kind == "entra" else op, key, kind=kind, **options)

    yield make
    op.client_info = False


@EVERY_KIND
def test_one_account_goes_out_of_a_blob_of_all_users(
    make: Callable[..., Client], world: World, names: tuple[str, str], kind: Kind
) -> None:
    """The silent call fails after the logout; another user's entries are as they were, and so is the blob's life."""
    alice, bob = names
    client = make(kind)
    alices, bobs = client.sign_in(alice), client.sign_in(bob)
    assert client.silent(alice) == alices
    before = world.blob(client.key)

    world.logout(client.op, alice)
    eventually(lambda: client.silent(alice) is None)

    assert client.silent(bob) == bobs
    of_bob = {
        section: {name: entry for name, entry in entries.items() if entry.get("home_account_id") == client.account(bob)}
        for section, entries in before.items()
    }
    left = world.blob(client.key)
    assert {name: entries for name, entries in of_bob.items() if entries} == {
        name: entries for name, entries in left.items() if entries
    }
    assert 3000 < world.redis.ttl(client.key) <= 3600


def test_a_refresh_in_flight_does_not_bring_the_user_back(
    make: Callable[..., Client], world: World, names: tuple[str, str]
) -> None:
    """What it writes is removed again, and the other user in the blob is not."""
    alice, bob = names
    client = make("entra")
    client.sign_in(alice)
    bobs = client.sign_in(bob)
    with client.op.holding_refreshes(user=alice) as held:
        refresh = client.begin_refresh(alice)
        held.wait_for_one()
        world.logout(client.op, alice)
        eventually(lambda: not world.holds(client, alice))
        held.release()
        refresh.result(30)

    eventually(lambda: not world.holds(client, alice))
    stays(lambda: client.silent(alice) is None, seconds=PAST_THE_FIRST_LOOK_S)
    assert client.silent(bob) == bobs


def test_a_new_sign_in_stays(make: Callable[..., Client], world: World, names: tuple[str, str]) -> None:
    """Also when the evictor looks again."""
    alice, _ = names
    client = make("entra")
    client.sign_in(alice)
    world.logout(client.op, alice)
    eventually(lambda: client.silent(alice) is None)

    again = client.sign_in(alice)

    stays(lambda: client.silent(alice) == again, seconds=PAST_THE_FIRST_LOOK_S)


def test_tokens_without_an_account_go_too(make: Callable[..., Client], world: World, names: tuple[str, str]) -> None:
    """One blob for each session, of a generic OP: found by the `sub` in the ID token."""
    alice, bob = names
    of_alice, of_bob = (make("oidc", client_info=False, key=name) for name in names)
    of_alice.sign_in(alice)
    bobs = of_bob.sign_in(bob)
    assert of_alice.silent(alice)

    world.logout(of_alice.op, alice)
    eventually(lambda: of_alice.silent(alice) is None)

    assert of_alice.stored_secrets() == set()
    assert of_bob.silent(bob) == bobs


def test_application_tokens_stay(make: Callable[..., Client], world: World, names: tuple[str, str]) -> None:
    """A token of the client's own belongs to no user, in a blob with users."""
    alice, _ = names
    client = make("oidc")
    client.sign_in(alice)
    own = client.app_token()
    assert own in client.stored_secrets()

    world.logout(client.op, alice)
    eventually(lambda: not world.holds(client, alice))

    assert client.app_token() == own


def test_a_client_object_that_outlives_its_request_keeps_the_tokens(
    make: Callable[..., Client], world: World, names: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    """The limit: nobody outside can clear msal4j's memory. The old one lets go when it reads what is left."""
    alice, _ = names
    client = make("entra", long=True)
    alices = client.sign_in(alice)

    world.logout(client.op, alice)
    eventually(lambda: not world.holds(client, alice))

    old = "old" in request.node.name
    assert client.silent(alice) == (None if old else alices)
