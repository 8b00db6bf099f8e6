"""What the real .NET libraries wrote, and the evictor: what must go is gone, what must stay is there to the byte."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.stacks.dotnet.recorded import API, B2C, ENTRA, LOGOUT_AT, OIDC, ORDERS, PORTAL, Entry, recording, with_claims
from tests.stacks.dotnet.rig import PAST_ALL_LOOKS_S, Rig, eventually, stays

WEB = {"name": "web", "layout": "microsoft-identity-web", "prefix": "webapps:"}
CLASSIC = {"name": "classic", "layout": "microsoft-identity-web", "prefix": "SampleInstance"}
APIS = {"name": "apis", "layout": "microsoft-identity-web", "prefix": "api:"}
OF_B2C = {"name": "b2c", "layout": "microsoft-identity-web", "prefix": "b2c:"}
OF_OIDC = {"name": "oidc", "layout": "microsoft-identity-web", "prefix": "oidc:"}


class Case(NamedTuple):
    """A recording, and who signs out."""

    name: str
    cache: dict[str, Any]
    issuer: str
    user: str
    client_id: str = PORTAL


async def gone(rig: Rig, *entries: Entry) -> None:
    """Wait until all of them are."""
    await eventually(lambda: rig.are_gone(*(entry.key for entry in entries)))


async def all_stand(rig: Rig, *entries: Entry) -> bool:
    """Whether all of them do, to the byte."""
    return all([await entry.stands(rig.redis) for entry in entries])


@pytest.mark.parametrize("names", ["session", "sid", "user"])
@pytest.mark.parametrize(
    "case",
    [
        Case("entra-two-apps", WEB, ENTRA, "alice"),
        Case("entra-two-apps", WEB, ENTRA, "alice", ORDERS),
        Case("entra-expiring", WEB, ENTRA, "alice"),
        Case("entra-guest", WEB, ENTRA, "gina"),
        Case("b2c", OF_B2C, B2C, "alice"),
        Case("generic-oidc", OF_OIDC, OIDC, "alice"),
        Case("classic-aspnet", CLASSIC, ENTRA, "alice"),
    ],
    ids=lambda case: f"{case.name}-{case.client_id[:4]}",
)
async def test_the_users_tokens_go_and_nothing_else(rig: Rig, case: Case, names: str) -> None:
    """Nothing was registered and the sub is pairwise: the value itself says whose it is."""
    recorded = recording(case.name)
    await recorded.write(rig.redis)
    await rig.start(case.cache)

    await rig.logout(
        case.issuer,
        case.client_id,
        sub=None if names == "sid" else recorded.sub(case.user, case.client_id),
        sid=None if names == "user" else recorded.users[case.user]["sid"],
    )

    out = recorded.of(case.user)
    await gone(rig, out)
    for entry in recorded.entries.values():
        assert entry is out or await entry.stands(rig.redis)


async def test_tokens_written_while_the_evictor_runs_are_found(rig: Rig) -> None:
    """Their keys do not name the user; Redis's notifications of the writes are enough."""
    recorded = recording("entra-on-behalf-of")
    await rig.start(APIS)
    await recorded.write(rig.redis)
    await rig.learnt(recorded.users["alice"]["home_account_id"])
    await rig.logout(ENTRA, API, sub=recorded.sub("alice", API), sid=None)
    await gone(rig, *recorded.entries.values())


async def test_on_behalf_of_tokens_go_though_no_key_names_the_user(rig: Rig) -> None:
    """Keys that follow from an assertion, or that the API chose: found by what is in the values."""
    recorded = recording("entra-on-behalf-of")
    await recorded.write(rig.redis)
    await rig.start(APIS)
    await rig.logout(ENTRA, API, sub=recorded.sub("alice", API), sid=None)
    await gone(rig, *recorded.entries.values())


async def test_one_clients_pairwise_sub_reaches_the_others_values(rig: Rig) -> None:
    """The web app's logout token names a sub that the API has never seen; the account joins them."""
    web, api = recording("entra-two-apps"), recording("entra-on-behalf-of")
    await web.write(rig.redis)
    await api.write(rig.redis)
    await rig.start(WEB, APIS)
    await rig.learnt(web.users["alice"]["home_account_id"])
    await rig.logout(ENTRA, PORTAL, sub=web.sub("alice", PORTAL), sid=None)
    await gone(rig, web.of("alice"), *api.entries.values())
    assert await web.of("bob").stands(rig.redis)


async def test_the_event_names_the_account(rig: Rig) -> None:
    """What the apps' own pieces drop: the receiver learns the account from the index before it publishes."""
    recorded = recording("entra-guest")
    await recorded.write(rig.redis)
    await rig.start(WEB)
    account = recorded.users["gina"]["home_account_id"]
    await rig.learnt(account)
    await rig.logout(ENTRA, PORTAL, sub=recorded.sub("gina"), sid=None)
    assert any(account in event["data"]["accounts"] for event in await rig.receiver.events())


async def test_encrypted_tokens_of_a_registered_sign_in_go(rig: Rig) -> None:
    """The value cannot be read; the key is the account, and that was registered."""
    recorded = recording("entra-two-apps-encrypted")
    await recorded.write(rig.redis)
    await rig.start(WEB)
    alice = recorded.users["alice"]
    await rig.register(ENTRA, PORTAL, recorded.sub("alice"), alice["sid"], alice["home_account_id"])
    await rig.logout(ENTRA, PORTAL, sub=None, sid=alice["sid"])
    await gone(rig, recorded.of("alice"))
    for entry in recorded.entries.values():
        assert entry is recorded.of("alice") or await entry.stands(rig.redis)


async def test_encrypted_tokens_go_where_the_sub_is_the_account(rig: Rig) -> None:
    """Every OP but Microsoft's: nothing has to be registered."""
    recorded = recording("entra-two-apps-encrypted")
    out = recorded.of("alice")
    await out.write(rig.redis, key="oidc:alice")
    await recorded.of("bob").write(rig.redis, key="oidc:bob")
    await rig.start(OF_OIDC)
    await rig.logout(OIDC, PORTAL, sub="alice", sid=None)
    await eventually(lambda: rig.are_gone("oidc:alice"))
    assert await recorded.of("bob").stands(rig.redis, key="oidc:bob")


async def test_encrypted_tokens_of_an_unknown_user_stay(rig: Rig) -> None:
    """With a pairwise sub, and nothing registered, nobody can tell whose they are; none is deleted on suspicion."""
    recorded = recording("entra-two-apps-encrypted")
    await recorded.write(rig.redis)
    await rig.start(WEB)
    await rig.logout(ENTRA, PORTAL, sub=recorded.sub("alice"), sid=None)
    await stays(lambda: all_stand(rig, *recorded.entries.values()), seconds=PAST_ALL_LOOKS_S)


async def test_prefixes_that_begin_alike_are_told_apart(rig: Rig) -> None:
    """`web` begins `webapps:` and is another tenant's cache: the same user's tokens in it stay."""
    recorded = recording("entra-two-apps")
    await recorded.write(rig.redis)
    alice = recorded.of("alice")
    neighbour = alice.key.replace("webapps:", "web")
    await alice.write(rig.redis, key=neighbour)
    await rig.start({**WEB, "tenants": ["entra"]}, {**WEB, "name": "neighbour", "prefix": "web", "tenants": ["oidc"]})
    await rig.logout(ENTRA, PORTAL, sub=recorded.sub("alice"), sid=recorded.users["alice"]["sid"])
    await gone(rig, alice)
    await stays(lambda: alice.stands(rig.redis, key=neighbour), seconds=PAST_ALL_LOOKS_S)
    assert await recorded.of("bob").stands(rig.redis)


async def test_a_prefix_without_separator_is_the_classic_apps_own(rig: Rig) -> None:
    """`SampleInstance` begins `SampleInstance2`: in caches of one Redis both lose the user, and only the user."""
    recorded = recording("classic-aspnet")
    alice, bob = recorded.of("alice"), recording("entra-two-apps").of("bob")
    await alice.write(rig.redis)
    await alice.write(rig.redis, key=alice.key.replace("SampleInstance", "SampleInstance2"))
    bobs = [bob.key.replace("webapps:", prefix) for prefix in ("SampleInstance", "SampleInstance2")]
    for key in bobs:
        await bob.write(rig.redis, key=key)
    await rig.start(CLASSIC, {**CLASSIC, "name": "second", "prefix": "SampleInstance2"})
    await rig.logout(ENTRA, PORTAL, sub=None, sid=recorded.users["alice"]["sid"])
    await eventually(lambda: rig.are_gone(alice.key, alice.key.replace("SampleInstance", "SampleInstance2")))
    for key in bobs:
        assert await bob.stands(rig.redis, key=key)


@pytest.mark.parametrize("name", ["entra-two-apps", "entra-two-apps-encrypted"])
async def test_what_a_refresh_in_flight_writes_back_goes_again(rig: Rig, name: str) -> None:
    """The recorded bytes once more, after they were deleted."""
    recorded = recording(name)
    await recorded.write(rig.redis)
    await rig.start(WEB)
    user, out = recorded.users["alice"], recorded.of("alice")
    await rig.register(ENTRA, PORTAL, recorded.sub("alice"), user["sid"], user["home_account_id"])
    await rig.logout(ENTRA, PORTAL, sub=recorded.sub("alice"), sid=user["sid"])
    await gone(rig, out)
    await out.write(rig.redis)
    await gone(rig, out)
    assert await recorded.of("bob").stands(rig.redis)


async def test_a_new_sign_in_stays(rig: Rig) -> None:
    """The same value with another session that authenticated after the logout, through all later looks."""
    recorded = recording("entra-two-apps")
    await recorded.write(rig.redis)
    await rig.start(WEB)
    user, out = recorded.users["alice"], recorded.of("alice")
    await rig.logout(ENTRA, PORTAL, sub=recorded.sub("alice"), sid=user["sid"])
    await gone(rig, out)
    new = with_claims(out.fields[b"data"], lambda claims: {**claims, "sid": "sid-alice-2", "auth_time": LOGOUT_AT + 5})
    await out.write(rig.redis, data=new)
    await stays(lambda: rig.holds(out.key, new), seconds=PAST_ALL_LOOKS_S)


async def test_a_session_that_lives_on_may_fetch_tokens_anew(rig: Rig) -> None:
    """Another session of the user, older than the logout, and not the one that was ended."""
    recorded = recording("entra-two-apps")
    await recorded.write(rig.redis)
    await rig.start(WEB)
    user, out = recorded.users["alice"], recorded.of("alice")
    await rig.logout(ENTRA, PORTAL, sub=recorded.sub("alice"), sid=user["sid"])
    await gone(rig, out)
    other = with_claims(out.fields[b"data"], lambda claims: {**claims, "sid": "sid-alice-other"})
    await out.write(rig.redis, data=other)
    await stays(lambda: rig.holds(out.key, other), seconds=PAST_ALL_LOOKS_S)


async def test_app_only_tokens_are_never_touched(rig: Rig) -> None:
    """Not by a logout of the whole user, of every client's sub, nor by any later look."""
    recorded = recording("entra-two-apps")
    await recorded.write(rig.redis)
    await rig.start(WEB)
    for user in ("alice", "bob"):
        for client_id in (PORTAL, ORDERS):
            await rig.logout(ENTRA, client_id, sub=recorded.sub(user, client_id), sid=None)
    await gone(rig, recorded.of("alice"), recorded.of("bob"))
    (app_only,) = (entry for key, entry in recorded.entries.items() if key.endswith("_AppTokenCache"))
    await stays(lambda: app_only.stands(rig.redis), seconds=PAST_ALL_LOOKS_S)
