"""One client object for all requests: it keeps everybody in memory and writes them all under one user's key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stacks.node.rig import DEADLINE_S, World, in_thread
from tests.stacks.node.variants import SHARED_PIECE, SHARED_UNCHANGED, Variant
from tests.support.waiting import eventually, stays

if TYPE_CHECKING:
    from tests.stacks.node.apps import Driver

pytestmark = pytest.mark.node


def every(*variants: Variant) -> pytest.MarkDecorator:
    """Run the test with the driver in each of these."""
    return pytest.mark.parametrize("driver", variants, indirect=True, ids=[variant.name for variant in variants])


def both_signed_in(world: World, driver: Driver, names: tuple[str, str]) -> tuple[str, str, str]:
    """The accounts of Alice and Bob, and the key that holds both: Alice's, who came first."""
    alice, bob = (driver.sign_in(name) for name in names)
    key = driver.tokens + alice
    assert world.accounts_in(key) == {alice, bob} == driver.in_memory()
    return alice, bob, key


@every(*SHARED_UNCHANGED)
def test_one_user_is_taken_out_of_a_value_that_holds_two(world: World, driver: Driver, names: tuple[str, str]) -> None:
    """Whoever signs out goes, whose key it is does not matter; the other one's tokens and the time to live stay."""
    alice, bob, key = both_signed_in(world, driver, names)
    before = world.redis.ttl(key)

    world.logout(driver.op, names[1])
    eventually(lambda: world.accounts_in(key) == {alice})
    assert 0 < world.redis.ttl(key) <= before
    assert "error" not in driver.call("silent", account=alice)

    world.logout(driver.op, names[0])
    eventually(lambda: not world.accounts_in(key))
    assert bob not in world.accounts_in(driver.tokens + bob)


@every(SHARED_UNCHANGED[1])
def test_msal_node_2_answers_from_memory_and_what_it_writes_back_is_cleared(
    world: World, driver: Driver, names: tuple[str, str]
) -> None:
    """Without our piece a client object of MSAL Node 2 that lives on goes on; only what it writes is taken back."""
    alice, bob, key = both_signed_in(world, driver, names)
    world.logout(driver.op, names[0])
    eventually(lambda: world.accounts_in(key) == {bob})

    assert driver.call("silent", account=alice)["fromCache"] is True
    driver.call("silent", account=bob, refresh=True)

    assert alice in driver.in_memory()
    eventually(lambda: world.accounts_in(key) == {bob})


@every(SHARED_UNCHANGED[0])
def test_msal_node_7_reads_the_shared_cache_before_it_answers(
    world: World, driver: Driver, names: tuple[str, str]
) -> None:
    """A client object of MSAL Node 7 that lives on has no tokens for whoever has signed out."""
    alice, bob, key = both_signed_in(world, driver, names)
    world.logout(driver.op, names[0])
    eventually(lambda: world.accounts_in(key) == {bob})
    assert driver.call("silent", account=alice)["error"] == "no_tokens_found"


@every(*SHARED_PIECE)
def test_a_watched_client_forgets_who_signs_out(world: World, driver: Driver, names: tuple[str, str]) -> None:
    """Out of its memory without a call being made, so that the silent call fails; the other user stays."""
    alice, bob, key = both_signed_in(world, driver, names)

    world.logout(driver.op, names[0])

    eventually(lambda: driver.in_memory() == {bob})
    assert driver.call("silent", account=alice)["error"] == "no_tokens_found"
    eventually(lambda: world.accounts_in(key) == {bob})


@every(*SHARED_PIECE)
def test_a_watched_client_forgets_a_refresh_that_was_in_flight(
    world: World, driver: Driver, names: tuple[str, str]
) -> None:
    """What the refresh leaves in memory and writes goes at once, in both places; the other user's tokens stay."""
    alice, bob, key = both_signed_in(world, driver, names)
    with driver.op.holding_refreshes(user=names[0]) as held:
        refresh = in_thread(lambda: driver.call("silent", account=alice, refresh=True))
        held.wait_for_one()
        world.logout(driver.op, names[0])
        eventually(lambda: alice not in driver.in_memory())
        eventually(lambda: world.accounts_in(key) == {bob})
        held.release()
        assert "error" not in refresh.result(DEADLINE_S)

    stays(lambda: alice not in driver.in_memory() | world.accounts_in(key), seconds=0.5)
    assert driver.call("silent", account=alice)["error"] == "no_tokens_found"
    assert bob in world.accounts_in(key)


@every(*SHARED_PIECE)
def test_a_watched_client_serves_a_new_sign_in(world: World, driver: Driver, names: tuple[str, str]) -> None:
    """Whoever signs in again has tokens, and they outlive the later looks."""
    alice, _, _ = both_signed_in(world, driver, names)
    world.logout(driver.op, names[0])
    eventually(lambda: alice not in driver.in_memory())

    assert driver.sign_in(names[0]) == alice

    stays(lambda: alice in driver.in_memory(), seconds=2.6)
