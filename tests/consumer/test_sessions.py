"""The registry and the marks, on a real Redis: who is ended by which logout."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.names import NameKind, Names
from receiver.consumer import Eviction, Sessions, ThreadSessions
from receiver.core.eviction import SessionKeys
from receiver.core.index_names import IndexNames
from tests.support.published import evictions
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

ISS = "https://op.example/t1"
LOGOUT_AT = 1000


def claims(
    sub: str = "alice", sid: str | None = "s1", client: str = "portal", auth_time: int | None = 900
) -> dict[str, Any]:
    """An ID token's claims."""
    members = {"iss": ISS, "aud": client, "sub": sub, "sid": sid, "auth_time": auth_time}
    return {name: value for name, value in members.items() if value is not None}


class World:
    """The publisher, the registry and what was published."""

    def __init__(self, client: redis.asyncio.Redis, sessions: Sessions) -> None:
        self.client = client
        self.sessions = sessions
        self._publisher = publisher_to(client)
        self._count = 0

    async def logout(self, *, sub: str | None = None, sid: str | None = None, **changes: Any) -> Eviction:
        """Publish a logout and return the event as consumers read it."""
        self._count += 1
        fields: dict[str, Any] = {
            "id": str(self._count), "tenant": "t1", "iss": ISS, "client_id": "portal", "sub": sub, "sid": sid,
            "scope": "session" if sid else "user", "logout_at": LOGOUT_AT, "received_at": 1.0, **changes,
        }  # fmt: skip
        await self._publisher.publish(Eviction(**fields))
        *_, event = await evictions(self.client)
        return event


@pytest.fixture
async def world(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> AsyncIterator[World]:
    """An empty registry."""
    sessions = Sessions(redis_server.url)
    yield World(redis_client, sessions)
    await sessions.aclose()


async def test_logout_by_sid_finds_every_app_of_the_session(world: World) -> None:
    """A session's logout names the accounts and keys every app registered for it, and no other session's."""
    await world.sessions.register(claims(), home_account_id="uid.utid", keys=["session:1", "cache:1"])
    await world.sessions.register(claims(client="orders"), home_account_id="uid.utid", keys=["o:1"])
    await world.sessions.register(claims(sid="s2"), home_account_id="uid.utid", keys=["session:2"])

    event = await world.logout(sid="s1")

    assert ("uid.utid",) == event.accounts
    assert {SessionKeys("portal", ("session:1", "cache:1")), SessionKeys("orders", ("o:1",))} == set(event.sessions)


async def test_logout_by_sub_finds_every_session(world: World) -> None:
    """A user's logout names all sessions that authenticated before it; a later one stays registered."""
    await world.sessions.register(claims(sid="s1"), keys=["1"])
    await world.sessions.register(claims(sid="s2"), keys=["2"])
    await world.sessions.register(claims(sid="s3", auth_time=LOGOUT_AT + 1), keys=["3"])

    event = await world.logout(sub="alice")
    later = await world.logout(sid="s3", logout_at=LOGOUT_AT + 2)

    assert {("1",), ("2",)} == {session.keys for session in event.sessions}
    assert (("3",),) == tuple(session.keys for session in later.sessions)


async def test_both_claims_find_the_session_of_that_user_only(world: World) -> None:
    """A `sid` with a `sub` it does not belong to ends nobody else's session."""
    await world.sessions.register(claims(sub="bob", sid="s1"), keys=["bob"])

    event = await world.logout(sub="alice", sid="s1")

    assert () == event.sessions
    assert not await world.sessions.is_signed_out(claims(sub="bob", sid="s1"))


async def test_pairwise_subjects_are_one_account(world: World) -> None:
    """Where each client has its own `sub`, a user's logout at one client ends the account's sessions at all."""
    await world.sessions.register(claims(sub="p-alice", sid="s1"), home_account_id="uid.utid", keys=["p"])
    await world.sessions.register(
        claims(sub="o-alice", sid="s2", client="orders"), home_account_id="uid.utid", keys=["o"]
    )
    await world.sessions.register(claims(sub="o-bob", sid="s3", client="orders"), home_account_id="b.utid", keys=["b"])

    event = await world.logout(sub="p-alice")

    assert {("p",), ("o",)} == {session.keys for session in event.sessions}
    assert await world.sessions.is_signed_out(claims(sub="o-alice", sid="s9", client="orders"))
    assert not await world.sessions.is_signed_out(claims(sub="o-bob", sid="s3", client="orders"))


@pytest.mark.parametrize("how", [{"sid": "s1"}, {"sub": "alice"}], ids=["by sid", "by sub"])
async def test_logout_overtakes_its_login(world: World, how: dict[str, str]) -> None:
    """A login that finishes after its logout was published is refused at registration, and leaves nothing behind."""
    await world.logout(**how)

    assert not await world.sessions.register(claims(), keys=["late"])
    assert () == (await world.logout(sub="alice", logout_at=LOGOUT_AT + 1)).sessions


@pytest.mark.parametrize("how", [{"sid": "s1"}, {"sub": "alice"}], ids=["by sid", "by sub"])
async def test_login_after_logout_lives(world: World, how: dict[str, str]) -> None:
    """A later authentication is registered and not signed out, with a new `sid` or, at some OPs, the same one."""
    await world.logout(**how)

    for sid in ("s1", "s2"):
        fresh = claims(sid=sid, auth_time=LOGOUT_AT + 1)
        assert await world.sessions.register(fresh)
        assert not await world.sessions.is_signed_out(fresh)


async def test_without_auth_time_the_first_id_token_dates_the_session(world: World) -> None:
    """An OP that sends no `auth_time`: `iat` at sign-in tells a new login from an old one, so nobody is locked out."""
    await world.logout(sub="alice")

    assert not await world.sessions.register(claims(sid=None, auth_time=None) | {"iat": LOGOUT_AT})
    assert await world.sessions.register(claims(sid=None, auth_time=None) | {"iat": LOGOUT_AT + 1})


async def test_refreshed_id_token_does_not_revive_its_session(world: World) -> None:
    """A later `iat` never saves a session that was signed out by its `sid`: every refresh has a new one."""
    await world.logout(sid="s1")

    refreshed = claims(auth_time=None) | {"iat": LOGOUT_AT + 60}
    assert await world.sessions.is_signed_out(refreshed)
    assert not await world.sessions.register(refreshed)


async def test_unknown_authentication_time_ends(world: World) -> None:
    """Without `auth_time` a mark ends the session: signing in again costs less than living on."""
    await world.logout(sub="alice")

    assert await world.sessions.is_signed_out(claims(sid=None, auth_time=None))
    assert not await world.sessions.register(claims(sid=None, auth_time=None))


async def test_logout_for_one_client_only(world: World) -> None:
    """Where a tenant's logouts count per client, the other client's session lives on."""
    for client in ("portal", "orders"):
        await world.sessions.register(claims(client=client), keys=[client])

    event = await world.logout(sid="s1", applies_to="client")

    assert [SessionKeys("portal", ("portal",))] == list(event.sessions)
    assert await world.sessions.is_signed_out(claims())
    assert not await world.sessions.is_signed_out(claims(client="orders"))
    assert [SessionKeys("orders", ("orders",))] == list((await world.logout(sid="s1")).sessions)


async def test_older_logout_never_weakens_a_newer_mark(world: World) -> None:
    """Marks only move forward: an old token delivered late does not revive a session."""
    await world.logout(sub="alice", logout_at=2000)
    await world.logout(sub="alice", logout_at=1000)

    assert await world.sessions.is_signed_out(claims(auth_time=1500))


async def test_registering_again_replaces(world: World) -> None:
    """The same app registering the same session anew, as after a refresh, leaves one registration."""
    for iat in (900, 950):
        await world.sessions.register(claims() | {"iat": iat}, keys=["same"])

    assert [("same",)] == [session.keys for session in (await world.logout(sid="s1")).sessions]


async def test_registering_under_another_name_adds(world: World) -> None:
    """Two browsers, or a lost cookie: the app's sessions have different names, and a logout names them all."""
    for sid in ("s1", None):
        await world.sessions.register(claims(sid=sid), keys=["first browser"])
        await world.sessions.register(claims(sid=sid), keys=["second browser"])

    event = await world.logout(sub="alice")

    assert [("first browser",), ("second browser",)] * 2 == [session.keys for session in event.sessions]


async def test_one_session_never_crowds_out_others(world: World) -> None:
    """An app that names its session anew at every refresh keeps the latest eight; the others are not touched."""
    await world.sessions.register(claims(sid="s2"), keys=["other"])
    for number in range(100):
        await world.sessions.register(claims(), keys=[str(number)])

    named = [session.keys[0] for session in (await world.logout(sub="alice")).sessions]

    assert ["other", *map(str, range(92, 100))] == named


async def test_every_login_is_kept_where_the_op_has_no_sid(world: World) -> None:
    """Without `sid` it is the date that tells one login of an app from another; a month of them is kept."""
    for number in range(30):
        await world.sessions.register(claims(sid=None, auth_time=900 + number), keys=[str(number)])

    assert 30 == len((await world.logout(sub="alice")).sessions)


async def test_odd_texts_survive(world: World) -> None:
    """Quotes, tabs, newlines and non-ASCII in what an app registers come back as they were."""
    odd = 'a"b\\c\td\ne,ü€\U0001f600]},{'
    await world.sessions.register(claims(client=odd), home_account_id=odd, keys=[odd, odd])

    event = await world.logout(sid="s1")

    assert (odd,) == event.accounts
    assert (SessionKeys(odd, (odd, odd)),) == event.sessions


async def test_nothing_personal_in_key_names(world: World) -> None:
    """Key names hold digests; no claim can be read from them."""
    await world.sessions.register(claims(sub="alice-subject", sid="alice-session"), home_account_id="uid.utid")
    await world.logout(sub="alice-subject", sid="alice-session")

    names = [name.decode() async for name in world.client.scan_iter()]
    assert names
    assert all("alice" not in name and "uid" not in name for name in names)


async def test_everything_but_the_stream_expires(world: World) -> None:
    """Marks, jti and registrations have a lifetime: only the stream and what numbers and dates it is kept for ever."""
    await world.sessions.register(claims(), home_account_id="uid.utid")
    await world.sessions.register(claims(sub="bob", sid="s9"))
    await world.logout(sid="s1")

    kept = {name.decode() async for name in world.client.scan_iter() if await world.client.ttl(name) == -1}
    assert {KeyNames().events, KeyNames().sequence, KeyNames().epoch} == kept


async def test_script_is_reloaded(world: World) -> None:
    """After a restart or failover, when Redis has forgotten the scripts, both still work."""
    await world.client.script_flush()
    assert await world.sessions.register(claims(), keys=["k"])
    await world.client.script_flush()

    assert json.loads('["k"]') == list((await world.logout(sid="s1")).sessions[0].keys)


# Python 3.12 and newer warn of a fork beside threads, which is what this test is about.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_sync_registry_made_before_a_fork(redis_server: EmbeddedRedis, redis_client: object) -> None:
    """A registry used before a fork works in child and parent: each has connections of its own."""
    del redis_client
    with ThreadSessions(redis_server.url) as sessions:
        assert sessions.register(claims())
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, b"live" if sessions.register(claims(sid="s2")) else b"ended")
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            assert b"live" == answer.read()
        os.waitpid(child, 0)
        assert not sessions.is_signed_out(claims())


def test_sync_registry_answers_the_same(redis_server: EmbeddedRedis, redis_client: object) -> None:
    """Apps without an event loop get the same answers."""
    del redis_client
    sessions = ThreadSessions(redis_server.url)

    assert sessions.register(claims())
    assert not sessions.is_signed_out(claims())
    with pytest.raises(ValueError, match="iss, sub and aud"):
        sessions.register({"iss": ISS})
    sessions.close()


async def test_names_that_an_app_notes(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """A verified address and a user name lead to the subject; an address that is not verified does not."""
    named = {"iss": "https://op.example", "sub": "u1", "email": "Alice@example.com", "email_verified": True}
    async with Sessions(redis_server.url) as sessions:
        await sessions.note_names(named, username="alice")
        await sessions.note_names({**named, "sub": "u2", "email": "bob@example.com", "email_verified": "true"})
        with pytest.raises(ValueError, match="iss and sub"):
            await sessions.note_names({"email": "carol@example.com", "email_verified": True})

    found = Names(redis_client, KeyNames(), IndexNames(["0123456789abcdef0123456789abcdef"]), clock=time.time)
    asked: list[tuple[NameKind, str]] = [
        ("email", "alice@example.com"), ("username", "ALICE"), ("email", "bob@example.com"),
    ]  # fmt: skip
    assert [[("https://op.example", "u1")], [("https://op.example", "u1")], []] == [
        await found.subjects(kind, value, ["https://op.example"]) for kind, value in asked
    ]
