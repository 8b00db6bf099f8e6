"""A Keycloak realm, watched: what it tells no application reaches every app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.ingress.inputs.poller import LEASE_S
from receiver.ops.settings import Settings
from receiver.outbound.keycloak import MOST, OVERLAP
from tests.support.clock import NOW, Clock
from tests.support.realm import Realm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    import redis.asyncio

    from tests.watches.conftest import Watching

    Start = Callable[..., AbstractAsyncContextManager[Watching]]

INTERVAL_S, SWEEP_S = 5.0, 60.0
LONG_AGO, DAY_S = 3600.0, 86_400.0
LOGGED_OUT, DELETED, DISABLED = "realm logged out", "account deleted", "account disabled"


@pytest.fixture
async def realm(clock: Clock) -> AsyncIterator[Realm]:
    """A realm whose events and users are from before the watch."""
    async with Realm(clock) as running:
        running.log_out_all()
        running.disable(running.add())
        clock.advance(LONG_AGO)
        yield running


async def test_the_realm_is_logged_out(realm: Realm, watch: Start, clock: Clock) -> None:
    """Every user of it is signed out, as of the moment when it was, and once."""
    users = sorted(realm.add() for _ in range(MOST + 5))
    async with watch(realm.tenant()) as watching:
        assert INTERVAL_S == await watching.job.turn()
        assert [] == await watching.told()
        clock.advance(2)
        realm.log_out_all()
        clock.advance(3)
        await watching.job.turn()
        await watching.job.turn()
        told = await watching.told()
        assert {(LOGGED_OUT, NOW + LONG_AGO + 2)} == {one[1:] for one in told}
        assert sorted(realm.users) == sorted(one[0] for one in told)
        assert set(users) <= {one[0] for one in told}
        data = (await watching.receiver.events())[0]["data"]
        assert ("revocation", "keycloak", "user", realm.issuer) == (
            data["input"], data["origin"], data["scope"], data["iss"],
        )  # fmt: skip


@pytest.mark.parametrize("deleted", [1, OVERLAP, OVERLAP + 1, MOST, 2 * MOST])
async def test_users_who_are_deleted_while_all_are_read(realm: Realm, watch: Start, deleted: int) -> None:
    """Those behind them move up a page, and are signed out with the realm all the same."""
    for _ in range(5 * MOST):
        realm.add()
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        realm.log_out_all()
        realm.deletes_after_page = deleted
        await watching.job.turn()
        told = [one[0] for one in await watching.told()]
        assert set(realm.users) <= set(told)
        assert len(set(told)) == len(told)


async def test_accounts_that_end(realm: Realm, watch: Start, clock: Clock) -> None:
    """Deleted and disabled by an administrator: at the next look; disabled by LDAP: when the users are read again."""
    deleted, disabled, by_ldap, _ = (realm.add() for _ in range(4))
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        clock.advance(INTERVAL_S)
        realm.delete(deleted)
        realm.disable(disabled)
        await watching.job.turn()
        now = NOW + LONG_AGO + INTERVAL_S
        assert [(deleted, DELETED, now), (disabled, DISABLED, now)] == await watching.told()
        realm.users[by_ldap] = False
        clock.advance(SWEEP_S - 1)
        await watching.job.turn()
        assert 2 == len(await watching.told())
        clock.advance(1)
        await watching.job.turn()
        assert (by_ldap, DISABLED, now + SWEEP_S) == (await watching.told())[-1]


async def test_disabled_again(realm: Realm, watch: Start, clock: Clock) -> None:
    """An account that was enabled in between ends again; one that is still disabled does not."""
    user = realm.add()
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        for enabled in (False, False, True, False):
            realm.users[user] = enabled
            clock.advance(SWEEP_S)
            await watching.job.turn()
        assert [(user, DISABLED), (user, DISABLED)] == [one[:2] for one in await watching.told()]


async def test_a_successor_goes_on(realm: Realm, watch: Start, clock: Clock) -> None:
    """What happened while no receiver watched is taken in afterwards; what was told makes no second event."""
    first, second = realm.add(), realm.add()
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        realm.delete(first)
        await watching.job.turn()
        await watching.job.release()
    clock.advance(LONG_AGO)
    realm.delete(second)
    clock.advance(LONG_AGO)
    async with watch(realm.tenant()) as one, watch(realm.tenant()) as other:
        await one.job.turn()
        assert LEASE_S / 3 == await other.job.turn()
        assert [(first, DELETED, NOW + LONG_AGO), (second, DELETED, NOW + 2 * LONG_AGO)] == await one.told()


async def test_event_that_is_dated_ahead(realm: Realm, watch: Start, clock: Clock) -> None:
    """A node whose clock is an hour ahead hides nothing that the others date rightly; its event is taken in once."""
    ahead, first, second = (realm.add() for _ in range(3))
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        realm.delete(ahead)
        realm.events[-1]["time"] += int(LONG_AGO * 1000)
        await watching.job.turn()
        for user in (first, second):
            clock.advance(SWEEP_S)
            realm.delete(user)
            await watching.job.turn()
        assert [ahead, first, second] == [one[0] for one in await watching.told()]
    async with watch(realm.tenant()) as successor:
        await successor.job.turn()
        assert 3 == len(await successor.told())


async def test_clock_that_was_a_day_ahead(realm: Realm, watch: Start, clock: Clock) -> None:
    """What the receiver noted by it, a pause too, holds nothing up once it is set back."""
    user = realm.add()
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        clock.advance(DAY_S)
        await watching.job.turn()
        realm.answers = [(503, "90")]
        assert 90.0 == await watching.job.turn()
        clock.advance(-DAY_S)
        assert INTERVAL_S == await watching.job.turn()
        realm.users[user] = False
        clock.advance(SWEEP_S)
        await watching.job.turn()
        assert [(user, DISABLED)] == [one[:2] for one in await watching.told()]


async def test_many_events(realm: Realm, watch: Start) -> None:
    """They are read page by page, and others than those that matter do nothing."""
    users = [realm.add() for _ in range(3)]
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        for number in range(MOST):
            realm.note("UPDATE", f"clients/{number}", "CLIENT")
            realm.note("DELETE", f"users/{users[0]}/role-mappings/realm", "REALM_ROLE_MAPPING")
        realm.delete(users[2])
        await watching.job.turn()
        assert [users[2]] == [one[0] for one in await watching.told()]


async def test_what_is_not_durable_comes_again(realm: Realm, watch: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """While events cannot be published the position stands still; then each is published once."""
    deleted, disabled = realm.add(), realm.add()
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        realm.delete(deleted)
        realm.disable(disabled)
        with watching.nothing_published(monkeypatch):
            await watching.job.turn()
            assert watching.job.problem
        await watching.job.turn()
        await watching.job.turn()
        assert [(deleted, DELETED), (disabled, DISABLED)] == [one[:2] for one in await watching.told()]


async def test_realm_that_is_away(realm: Realm, watch: Start, clock: Clock) -> None:
    """A realm that does not answer, or wants a pause, is asked again, and nothing is missed."""
    user = realm.add()
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        realm.delete(user)
        realm.answers = [(500, None), (503, "90")]
        assert [INTERVAL_S, 90.0] == [await watching.job.turn() for _ in range(2)]
        clock.advance(90)
        assert INTERVAL_S == await watching.job.turn()
        assert [user] == [one[0] for one in await watching.told()]


@pytest.mark.parametrize("answer", [{}, [1], [{"id": "x"}], [{"id": "x", "time": "1"}], [{"id": "x", "time": -1}]])
async def test_answer_that_is_none(realm: Realm, watch: Start, answer: Any) -> None:
    """What cannot be read whole is taken in not at all, and the position stands still."""
    user = realm.add()
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        realm.delete(user)
        realm.bodies = [answer]
        await watching.job.turn()
        assert watching.job.problem
        await watching.job.turn()
        assert [user] == [one[0] for one in await watching.told()]


async def test_without_admin_events(realm: Realm, watch: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A realm that keeps none is told at start, once."""
    realm.keeps_events = False
    async with watch(realm.tenant()) as watching:
        await watching.job.turn()
        await watching.job.turn()
    assert 1 == [one.message for one in caplog.records].count("keycloak.no_admin_events")


async def test_damaged_position(realm: Realm, watch: Start, redis_client: redis.asyncio.Redis) -> None:
    """A position that cannot be read is as good as now."""
    await redis_client.hset("{logout}:watch:keycloak:t1", items=["link", "x", "dates_at", "y"])
    async with watch(realm.tenant()) as watching:
        assert INTERVAL_S == await watching.job.turn()
        assert [] == await watching.told()


@pytest.mark.parametrize(
    ("issuer", "changes"),
    [
        ("https://op.example", {}),
        ("https://op.example/realms/main", {"admin_url": "http://op.example/admin/realms/main"}),
        ("https://op.example/realms/main", {"access": {"client_id": "c"}}),
    ],
)
def test_settings_that_do_not_fit(issuer: str, changes: dict[str, Any]) -> None:
    """The realm's admin API has to be known and https, and access complete."""
    section = {"access": {"token": "t"}, **changes}
    with pytest.raises(ValueError, match="keycloak"):
        Settings(tenants=[{"name": "t1", "issuer": issuer, "client_ids": ["c1"], "keycloak": section}])


def test_admin_api_by_the_issuer() -> None:
    """Its address is made of the issuer, with a path before the realms or none."""
    section = {"access": {"token": "t"}}
    tenant = {"name": "t1", "client_ids": ["c1"], "keycloak": section}
    for base in ("https://op.example", "https://op.example/auth"):
        [made] = Settings(tenants=[{**tenant, "issuer": f"{base}/realms/main"}]).tenants
        assert made.keycloak is not None
        assert f"{base}/admin/realms/main" == made.keycloak.admin_of(made.issuer)
