"""Which keys belong to a logout: registered, derived from the account, or learnt from what apps write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.evictor.rig import FLASK, NODE, WEB, Work, register
from tests.evictor.written import accounts_in, app_token, clients_in, dumped, id_token, tokens
from tests.support.op import ABSENT, OP
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from tests.support.clock import Clock

ENTRA = {"account_from_sub": False}
HOME = "0a0a.7b7b"


async def test_account_is_the_subject(work: Work) -> None:
    """Where the account is the subject its key follows, also when nothing can be read; another user's stays."""
    async with work({**WEB, "index": False}) as world:
        await world.put_data("web:u1", b"\x09\xf0\xc9\xf0 encrypted")
        await world.put_data("web:u2", b"\x09\xf0\xc9\xf0 encrypted")
        await world.log_out_user("u1")
        assert {"web:u2"} == await world.keys()


async def test_registered_keys(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """What an app registered goes, if it is a key of a configured cache: nobody can have other keys deleted."""
    caches = {**FLASK, "index": False}, {**WEB, "index": False}
    async with work(*caches) as world:
        mine = {"session:abc": b"\x81 msgpack", "session:def": b"\x81 other"}
        foreign = {"orders:7": b"x", "{logout}:mine": b"x", "sessions": b"x"}
        for key, value in {**mine, **foreign}.items():
            await redis_client.set(key, value)
        await register(world, "session:abc", "orders:7", "{logout}:mine", "{logout}:events", "sessions", sid="s1")
        await register(world, "session:def", sub="u2", sid="s2")
        await world.log_out(sub="u1", sid="s1")
        assert {"session:def", "orders:7", "sessions"} == await world.keys()
        assert await redis_client.exists("{logout}:mine", "{logout}:events") == 2


async def test_registered_key_of_somebody_else(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """A registered session that by now is readably another user's stays."""
    async with work(FLASK) as world:
        value = {"idToken": id_token(op.issuer, "u2", "c1", sid="s2")}
        await redis_client.set("session:abc", json.dumps(value))
        await register(world, "session:abc", sid="s1")
        await world.log_out(sub="u1", sid="s1")
        assert {"session:abc"} == await world.keys()


async def test_pairwise_subjects(work: Work, op: OP) -> None:
    """A logout that names app A's subject clears app B's tokens too, and those on behalf of the user anywhere."""
    async with work(WEB, of=ENTRA) as world:
        at = world.now - 50
        mine = [
            tokens(op.issuer, sub="a-sub", account=HOME, client="c1", cached_at=at),
            tokens(op.issuer, sub="b-sub", account=HOME, client="c2", cached_at=at),
        ]
        await world.put_data(f"web:{HOME}", dumped(*mine))
        await world.put_data("web:OnBehalfOfHash=", dumped(mine[1]))
        await world.put_data("web:c1_tenant_AppTokenCache", dumped(app_token()))
        other = tokens(op.issuer, sub="x", account="other.home", cached_at=at)
        await world.put_data("web:other.home", dumped(other))
        await world.watched("web:")
        eviction = await world.log_out_user("a-sub")
        assert (HOME,) == eviction.accounts
        assert {"web:other.home", "web:c1_tenant_AppTokenCache"} == await world.keys()


@pytest.mark.parametrize("links", [False, True])
async def test_pairwise_subjects_in_sessions(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, *, links: bool
) -> None:
    """Two apps that keep MSAL's cache in their sessions: one's subject finds the other's session where links count."""
    async with work({**FLASK, "account_links": links}, of=ENTRA) as world:
        for client in ("c1", "c2"):
            blob = dumped(tokens(op.issuer, sub=f"sub-at-{client}", account=HOME, client=client, cached_at=world.now))
            await redis_client.set(f"session:{client}", b"\x81\xac" + blob)
        await world.watched("session:")
        eviction = await world.log_out_user("sub-at-c1")
        assert ((HOME,) if links else ()) == eviction.accounts
        assert (set() if links else {"session:c2"}) == await world.keys()


async def test_a_session_that_names_another_subject(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """An MSAL cache knows both apps' subjects of an account: a logout by one finds the other's web session."""
    async with work(WEB, FLASK, of=ENTRA) as world:
        both = [
            tokens(op.issuer, sub=f"sub-at-{c}", account=HOME, client=c, cached_at=world.now - 9) for c in ("c1", "c2")
        ]
        await world.put_data(f"web:{HOME}", dumped(*both))
        session = {"user": {"iss": op.issuer, "sub": "sub-at-c2", "aud": "c2", "auth_time": world.now - 9}}
        stranger = {"user": {**session["user"], "sub": "other"}}
        await redis_client.set("session:c2", json.dumps(session))
        await redis_client.set("session:other", json.dumps(stranger))
        await world.watched("web:")
        await world.watched("session:")
        await world.log_out_user("sub-at-c1")
        assert {"session:other"} == await world.keys()
        # From before the logout, and only now in a session.
        await redis_client.set("session:late", json.dumps(session))
        await until(lambda: world.gone("session:late"))


async def test_another_subject_of_a_logout_of_one_client(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Where a logout counts for one client, the session of another lives."""
    async with work(WEB, FLASK, of={**ENTRA, "applies_to": "client"}) as world:
        both = [
            tokens(op.issuer, sub=f"sub-at-{c}", account=HOME, client=c, cached_at=world.now - 9) for c in ("c1", "c2")
        ]
        await world.put_data(f"web:{HOME}", dumped(*both))
        session = {"user": {"iss": op.issuer, "sub": "sub-at-c2", "aud": "c2", "auth_time": world.now - 9}}
        await redis_client.set("session:c2", json.dumps(session))
        await world.watched("web:")
        await world.watched("session:")
        await world.log_out_user("sub-at-c1", aud="c1")
        assert {"session:c2", f"web:{HOME}"} == await world.keys()


async def test_session_id_alone(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """A token that names a session only finds its tokens and its web sessions; other users' stay."""
    async with work(WEB, FLASK, of=ENTRA) as world:
        for sub in ("u1", "u2"):
            blob = dumped(tokens(op.issuer, sub=sub, account=f"home.{sub}", sid=f"sid-{sub}", cached_at=world.now))
            await world.put_data(f"web:home.{sub}", blob)
            await redis_client.set(f"session:{sub}", b"\x81\xac" + blob)
        await world.watched("web:")
        await world.watched("session:")
        eviction = await world.log_out_session("sid-u1")
        assert ("home.u1",) == eviction.accounts
        assert {"web:home.u2", "session:u2"} == await world.keys()


async def test_already_there(work: Work, redis_client: redis.asyncio.Redis, clock: Clock, op: OP) -> None:
    """What was written before the worker started is known after its first reading."""
    blob = dumped(tokens(op.issuer, sub="a-sub", account=HOME, cached_at=clock()))
    await redis_client.hset("web:on-behalf-of", "data", blob)
    async with work(WEB, of=ENTRA) as world:
        await world.log_out_user("a-sub")
        assert set() == await world.keys()


async def test_several_issuers_of_one_account(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """The subject of another issuer is somebody else, whatever they are called."""
    async with work(FLASK) as world:
        value = {"idToken": id_token("https://other.example", "u1", "c1", sid="s1")}
        await redis_client.set("session:abc", json.dumps(value))
        await world.watched("session:")
        await world.log_out_user("u1")
        await world.log_out(sub="u1", sid="s1")
        assert {"session:abc"} == await world.keys()


async def test_accounts_that_are_subjects(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Two OPs that send no `client_info` may call a user alike: only the one's goes, and the other's may come back."""
    issuer = "https://other.example"
    other = {"name": "t2", "issuer": issuer, "client_ids": ["d1"]}
    shared = {"name": "shared", "layout": "msal-python", "key": "msal:all"}
    own = {"name": "own", "layout": "msal-python", "prefix": "msal:of:"}
    async with work(shared, own, others=[other]) as world:
        stays = tokens(issuer, client="d1", environment="other.example", cached_at=world.now)
        both = dumped(tokens(op.issuer, cached_at=world.now), stays)
        for key in ("msal:all", "msal:of:u1", "msal:of:any"):
            await redis_client.set(key, both)
        await world.watched("msal:of:")
        await world.log_out_user("u1")
        for key in ("msal:all", "msal:of:u1", "msal:of:any"):
            assert stays == json.loads(await world.read(key) or b"{}")
        # As a refresh does, while what is written back is looked for.
        await redis_client.set("msal:of:any", both)
        await until(lambda: world.clients_at("msal:of:any", "d1"))
        assert stays == json.loads(await world.read("msal:of:any") or b"{}")


async def test_unresolved(work: Work, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """A logout of whom nothing is known counts once and says so; what is known of others changes nothing."""
    async with work(WEB, of=ENTRA) as world:
        await world.put_data("web:other", dumped(tokens(op.issuer, sub="x", account="other", cached_at=world.now)))
        await world.watched("web:")
        await world.log_out_user("a-sub")
        assert 1 == world.sample("logout_unresolved_total", tenant="t1")
        assert 1 == [record.getMessage() for record in caplog.records].count("evict.unresolved")
        await world.log_out_user("x")
        assert 1 == world.sample("logout_unresolved_total", tenant="t1")
        assert set() == await world.keys()


async def test_resolved_later(work: Work, clock: Clock, op: OP) -> None:
    """When tokens of that user turn up that are older than the logout, they go: every app's of the same account."""
    async with work(WEB, of=ENTRA) as world:
        await world.log_out_user("a-sub")
        clock.advance(3600)
        old, young = world.now - 7200, world.now
        await world.put_data(
            f"web:{HOME}",
            dumped(
                tokens(op.issuer, sub="a-sub", account=HOME, client="c1", cached_at=old),
                tokens(op.issuer, sub="b-sub", account=HOME, client="c2", cached_at=old),
            ),
        )
        await until(lambda: world.gone(f"web:{HOME}"))
        # Nobody who signs in now is taken for the one who left.
        blob = dumped(tokens(op.issuer, sub="a-sub", account=HOME, client="c1", cached_at=young, auth_time=young))
        await world.put_data(f"web:{HOME}", blob)
        await world.watched("web:")
        assert {f"web:{HOME}"} == await world.keys()


@pytest.mark.parametrize(("ahead_s", "stays"), [(-1, False), (0, True), (1, True)])
async def test_session_found_later(
    work: Work, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, *, ahead_s: int, stays: bool
) -> None:
    """One from before its user's logout that is read after it goes by its ID token's date, without an `auth_time`."""
    async with work(FLASK) as world:
        logout = await world.log_out_user("u1")
        clock.advance(600)
        token = id_token(op.issuer, "u1", "c1", sid="s1", iat=logout.logout_at + ahead_s)
        await redis_client.set("session:a", json.dumps({"idToken": token}))
        await world.watched("session:")
        assert ({"session:a"} if stays else set()) == await world.keys()


async def test_tokens_that_are_dated_back(work: Work, redis_client: redis.asyncio.Redis, clock: Clock, op: OP) -> None:
    """Entra's are, by five minutes: who signs in again a little after a logout stays, also without an `auth_time`."""
    async with work(FLASK, NODE, in_flight_s=60) as world:
        logout = await world.log_out_user("u1")
        clock.advance(61)
        for name, issued_at in (("old", logout.logout_at - 1), ("new", world.now)):
            token = id_token(op.issuer, "u1", "c1", sid=name, ver="2.0", iat=issued_at - 300)
            await redis_client.set(f"session:{name}", json.dumps({"idToken": token}))
        again = tokens(op.issuer, cached_at=world.now, ver="2.0", iat=world.now - 300)
        await redis_client.set("node:u1", dumped(again))
        await world.watched("session:")
        await world.watched("node:")
        assert {"session:new", "node:u1"} == await world.keys()


@pytest.mark.parametrize("proof", [{"auth_time": 1}, {"cached_at": 1}, {"sid": "new", "cached_at": 1}])
async def test_not_resolved_wrongly(work: Work, clock: Clock, op: OP, *, proof: dict[str, Any]) -> None:
    """A sign-in after the logout stays, by its `auth_time` or the age of its tokens."""
    async with work(WEB, of=ENTRA) as world:
        await world.log_out_user("a-sub")
        clock.advance(10)
        later: dict[str, Any] = {name: world.now if value == 1 else value for name, value in proof.items()}
        await world.put_data(f"web:{HOME}", dumped(tokens(op.issuer, sub="a-sub", account=HOME, **later)))
        await world.watched("web:")
        assert {f"web:{HOME}"} == await world.keys()


async def test_unreadable_by_key_only(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """An encrypted value goes when its key follows from the logout; one that all users share is left alone."""
    shared = {"name": "java", "layout": "msal4j", "key": "java-cache"}
    async with work(WEB, shared) as world:
        await world.put_data("web:u1", b"\x09\xf0\xc9\xf0")
        await world.put_data("web:on-behalf-of", b"\x09\xf0\xc9\xf0")
        await redis_client.set("java-cache", b"\x09\xf0\xc9\xf0")
        await world.log_out_user("u1")
        assert {"web:on-behalf-of", "java-cache"} == await world.keys()


async def test_other_tenants_cache(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """A cache that is not the tenant's is not touched."""
    other = {"name": "t2", "issuer": "https://other.example", "client_ids": ["c1"]}
    caches = {**WEB, "tenants": ["t2"]}, NODE
    async with work(*caches, others=[other]) as world:
        blob = dumped(tokens(op.issuer, cached_at=world.now))
        await world.put_data("web:u1", blob)
        await redis_client.set("node:u1", blob)
        await world.log_out_user("u1")
        assert {"web:u1"} == await world.keys()


async def test_one_client(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """A logout that counts for one client takes that client's tokens, wherever they are."""
    async with work(WEB, FLASK, of={"applies_to": "client"}) as world:
        both = [tokens(op.issuer, client=client, cached_at=world.now) for client in ("c1", "c2")]
        await world.put_data("web:u1", dumped(*both))
        for client in ("c1", "c2"):
            value = {"idToken": id_token(op.issuer, "u1", client, sid="s1")}
            await redis_client.set(f"session:{client}", json.dumps(value))
        await world.watched("session:")
        await world.log_out_user("u1", aud="c1")
        assert {"c2"} == clients_in(await world.read("web:u1"))
        assert {"u1"} == accounts_in(await world.read("web:u1"))
        assert {"web:u1", "session:c2"} == await world.keys()


async def test_a_session_of_several(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """A session's logout ends that web session; of a cache that all sessions share it ends what is not newer."""
    async with work(WEB, FLASK) as world:
        for sid in ("s1", "s2"):
            await redis_client.set(f"session:{sid}", json.dumps({"idToken": id_token(op.issuer, "u1", "c1", sid=sid)}))
        await world.put_data("web:u1", dumped(tokens(op.issuer, sid="s2", cached_at=world.now)))
        await world.watched("session:")
        await world.log_out(sub="u1", sid="s1")
        assert {"session:s2"} == await world.keys()


async def test_a_users_cache_kept_by_session(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """With `per: session` a session's logout leaves the tokens of another session."""
    async with work({**NODE, "per": "session"}) as world:
        await redis_client.set("node:one", dumped(tokens(op.issuer, sid="s1", cached_at=world.now)))
        await redis_client.set("node:two", dumped(tokens(op.issuer, sid="s2", cached_at=world.now)))
        await world.watched("node:")
        await world.log_out(sub="u1", sid="s1")
        assert {"node:two"} == await world.keys()


async def test_newer_sign_in_before_the_logout_is_handled(work: Work, op: OP) -> None:
    """Who has signed in again by the time a late logout is handled stays signed in."""
    async with work(WEB) as world:
        await world.put_data("web:u1", dumped(tokens(op.issuer, auth_time=world.now + 1, cached_at=world.now)))
        await world.log_out_user("u1")
        assert {"web:u1"} == await world.keys()


async def test_nothing_personal_is_logged(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """No subject, session, account, key or token reaches the log, whatever happens to them."""
    caplog.set_level(0)
    async with work(WEB, FLASK, of=ENTRA) as world:
        who: dict[str, Any] = {"sub": "sub-name", "account": "account-name", "sid": "sid-name"}
        blob = dumped(tokens(op.issuer, **who, cached_at=world.now))
        await world.put_data("web:account-name", blob)
        await redis_client.set("session:key-name", b"\x81" + blob)
        await world.watched("session:")
        await world.log_out(sub="sub-name", sid="sid-name")
        await world.put_data("web:account-name", blob)
        await until(lambda: world.gone("web:account-name"))
        await world.log_out_user("unknown-name")
        await world.log_out(sub=ABSENT, sid="unknown-sid-name")
    said = [record for record in caplog.records if record.name.startswith("receiver")]
    assert {"evict.again", "evict.unresolved", "watch.read"} <= {record.getMessage() for record in said}
    text = "\n".join(record.getMessage() + json.dumps(getattr(record, "fields", {}), default=str) for record in said)
    assert "-name" not in text
    assert "rt-" not in text
    assert "eyJ" not in text


async def test_what_else_is_the_accounts(work: Work, redis_client: redis.asyncio.Redis, clock: Clock, op: OP) -> None:
    """When a logout is resolved late, everything of that account goes, though it was read before and not written since.

    Only what is older: who has signed in meanwhile at another app stays.
    """
    async with work(WEB, NODE, of=ENTRA, rescan_s=600) as world:
        await world.log_out_user("a-sub")
        clock.advance(3600)
        old = world.now - 7200
        other_app = tokens(op.issuer, sub="b-sub", account=HOME, client="c2", cached_at=old)
        await world.put_data("web:on-behalf-of", dumped(other_app))
        await redis_client.set(f"node:{HOME}", dumped(other_app))
        new = tokens(op.issuer, sub="b-sub", account=HOME, client="c2", cached_at=world.now)
        await world.put_data("web:since-then", dumped(new))
        await world.watched("web:")
        await world.watched("node:")
        assert {"web:on-behalf-of", f"node:{HOME}", "web:since-then"} == await world.keys()
        # What names the subject is itself of somebody who has come back: it still says whose account it was.
        mine = tokens(op.issuer, sub="a-sub", account=HOME, client="c1", cached_at=world.now, auth_time=world.now)
        await world.put_data(f"web:{HOME}", dumped(mine))
        await until(lambda: world.gone("web:on-behalf-of", f"node:{HOME}"))
        await world.watched("web:")
        assert {f"web:{HOME}", "web:since-then"} == await world.keys()
