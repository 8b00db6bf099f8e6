"""Each stack's layout: which keys of a user go, how, and what stays."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.evictor.caches import Cache, Caches
from tests.evictor.rig import FLASK, NODE, WEB, Work, World, register
from tests.evictor.written import accounts_in, app_token, dumped, id_token, merged, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

SPRING = "spring:session:"
PRINCIPALS = f"{SPRING}index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:"


def session(op: OP, sub: str) -> dict[str, Any]:
    """What a web session holds of a user, by several frameworks' ways at once."""
    return {"user": {"name": "a"}, "idToken": id_token(op.issuer, sub, "c1", sid=f"sid-{sub}")}


def owners(*settings: tuple[str, str, str]) -> Caches:
    """Caches by name, layout and head of their keys."""
    from receiver.core.layouts import LAYOUTS

    return Caches(
        [
            Cache(
                name=name, layout=LAYOUTS[layout], prefix=head, key=None, per="user",  # type: ignore[index]  # by name
                tenants=frozenset({"t1"}), issuers={}, not_issuers=frozenset(), clients={}, index=True, store=None,  # type: ignore[arg-type]  # never asked
            )
            for name, layout, head in settings
        ],
        own_prefix="{logout}:",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("web:u1", "web"),
        ("web:orders:u1", "orders"),
        ("u1", "node"),
        ("sess:1", "express"),
        ("{logout}:events", None),
        ("{logout}:mark:x", None),
        ("{logout}", "node"),
        ("web:c1_t1_AppTokenCache", None),
        ("spring:session:sessions:1", "spring"),
        ("spring:session:sessions:expires:1", None),
        ("spring:session:index:x", "node"),
    ],
)
def test_whose_key(key: str, owner: str | None) -> None:
    """The longest prefix decides; the empty one takes the rest, but never this project's own keys."""
    caches = owners(
        ("node", "msal-node", ""), ("web", "microsoft-identity-web", "web:"), ("orders", "msal-node", "web:orders:"),
        ("express", "express-session", "sess:"), ("spring", "spring-session", SPRING),
    )  # fmt: skip
    [store] = caches.stores
    found = caches.owners(key, store)
    assert ([owner] if owner else []) == [cache.name for cache in found]


def test_keys_of_one_prefix() -> None:
    """The first for strings and the first for hashes, where none is longer, as the type of a key tells them apart."""
    caches = owners(
        ("node", "msal-node", ""), ("web", "microsoft-identity-web", ""), ("express", "express-session", ""),
        ("spring", "spring-session", ""), ("longer", "msal-node", "longer:"),
    )  # fmt: skip
    [store] = caches.stores
    for key, owned in (("u1", {"node", "web"}), ("c1_t1_AppTokenCache", {"node"}), ("longer:u1", {"longer"})):
        assert owned == {cache.name for cache in caches.owners(key, store)}


async def test_two_apps_without_a_prefix(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Of both what no account leads to is found: the first one's strings, and the second one's hashes."""
    async with work({**NODE, "prefix": ""}, {**WEB, "prefix": ""}, of={"account_from_sub": False}) as world:
        blob = dumped(tokens(op.issuer, sub="pairwise", account="home.u1", cached_at=world.now))
        await redis_client.set("of a session", blob)
        await world.put_data("on-behalf-of", blob)
        await world.put_data("of-u2", dumped(tokens(op.issuer, sub="u2", account="home.u2", cached_at=world.now)))
        await world.watched("")
        eviction = await world.log_out_user("pairwise")
        assert {"of-u2"} == await world.keys()
        assert (await world.traced(eviction)).done


async def test_an_account_called_as_another_key(work: Work) -> None:
    """A user called as an application's own tokens, or as what is behind a longer prefix, ends neither."""
    sealed = b"\x09\xf0\xc9\xf0" + b"x" * 60
    longer = {"name": "longer", "layout": "microsoft-identity-web", "prefix": "web:longer:"}
    async with work({**NODE, "prefix": "web:"}, WEB, longer) as world:
        for key in ("web:c1_t1_AppTokenCache", "web:longer:u1", "web:plain"):
            await world.put_data(key, sealed)
        for sub in ("c1_t1_AppTokenCache", "longer:u1", "plain"):
            await world.log_out_user(sub)
        assert {"web:c1_t1_AppTokenCache", "web:longer:u1"} == await world.keys()


async def test_a_registered_key_on_each_redis(work: Work, redis_server: EmbeddedRedis) -> None:
    """An app does not say on which Redis its session is: it goes from every one with a cache of that prefix."""
    second = {**FLASK, "name": "second", "index": False, "redis": {"url": redis_server.url.removesuffix("/0") + "/1"}}
    other = redis.asyncio.Redis.from_url(redis_server.url.removesuffix("/0") + "/1")
    try:
        async with work(FLASK, second) as world:
            await other.set("session:a", "encrypted")
            await register(world, "session:a", sid="s1")
            await world.log_out_session("s1")
            assert not await other.exists("session:a")
    finally:
        await other.flushdb()
        await other.aclose()


@pytest.mark.parametrize(
    ("layout", "mine", "others"),
    [
        ("microsoft-identity-web", "u1", "u2"),
        ("msal-node", "u1", "u2"),
        ("flask-session", "session:a", "session:b"),
        ("django-session", ":1:django.contrib.sessions.cachea", ":1:other:b"),
        ("express-session", "sess:a", "sess:b"),
        ("spring-session", f"{SPRING}sessions:a-a-a-a-a", f"{SPRING}sessions:b-b-b-b-b"),
    ],
)
async def test_default_prefixes(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, *, layout: str, mine: str, others: str
) -> None:
    """Nothing but the layout's name has to be set for a stack that was left as it comes."""
    async with work({"name": "cache", "layout": layout}) as world:
        for sub, key in (("u1", mine), ("u2", others)):
            blob = dumped(tokens(op.issuer, sub=sub, account=sub, sid=f"sid-{sub}", cached_at=world.now))
            if layout == "microsoft-identity-web":
                await world.put_data(key, blob)
            elif layout == "spring-session":
                await redis_client.hset(key, mapping={"creationTime": 1, "sessionAttr:x": b"\xac\xed\x00\x05t" + blob})
            else:
                await redis_client.set(key, blob)
        await world.worker.watcher.read_all()
        own = await redis_client.keys("{logout}:*")
        await world.log_out(sub="u1", sid="sid-u1")
        assert {others} == await world.keys()
        assert set(own) <= set(await redis_client.keys("{logout}:*")) | {b"{logout}:rechecks"}


async def test_several_accounts_in_one_key(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Of a shared value one account's entries go; lifetime, other accounts, application tokens and the rest stay."""
    others = merged(
        tokens(op.issuer, sub="u2", account="u2", cached_at=1), app_token(), {"Unknown": {"n": 12345678901234567890}}
    )
    for cache, key in (
        ({"name": "java", "layout": "msal4j", "key": "all"}, "all"),
        ({"name": "java", "layout": "msal4j", "prefix": "java:"}, "java:c1_cache"),
        ({"name": "py", "layout": "msal-python", "key": "all"}, "all"),
        ({"name": "py", "layout": "msal-python", "prefix": "py:"}, "py:app"),
        (NODE, "node:u2"),
        (WEB, "web:on-behalf-of"),
    ):
        await redis_client.flushall()
        async with work(cache) as world:
            blob = dumped(others, tokens(op.issuer, cached_at=world.now), tokens(op.issuer, client="c2", cached_at=5))
            if cache is WEB:
                await world.put_data(key, blob)
            else:
                await redis_client.set(key, blob)
            await redis_client.expire(key, 500)
            await world.worker.watcher.read_all()
            await world.log_out_user("u1")
            assert others == {name: s for name, s in json.loads(await world.read(key) or b"").items() if s}, cache
            assert 495 < await redis_client.ttl(key) <= 500
            if cache is WEB:
                assert {b"absexp", b"sldexp", b"data"} == set(await redis_client.hkeys(key))


@pytest.mark.parametrize(("layout", "left"), [("msal4j", set()), ("msal-python", None)])
async def test_the_last_account(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, *, layout: str, left: object
) -> None:
    """The key goes with its last account; MSAL4J's stays as an empty cache: a missing one does not clear its memory."""
    cache = {"name": "cache", "layout": layout, "key": "all"}
    async with work(cache) as world:
        await redis_client.set("all", dumped(tokens(op.issuer, cached_at=world.now)))
        await world.log_out_user("u1")
        value = await world.read("all")
        assert left == (None if value is None else accounts_in(value))


async def test_msal4j_without_accounts(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """MSAL4J names no account for an OP without `client_info`: the ID token does; the app's own token stays."""
    cache = {"name": "java", "layout": "msal4j", "prefix": "java:"}
    async with work(cache) as world:
        for sub in ("u1", "u2"):
            await redis_client.set(
                f"java:{sub}", dumped(app_token(), tokens(op.issuer, sub=sub, account=None, cached_at=1))
            )
        await world.worker.watcher.read_all()
        await world.log_out_user("u1")
        left = json.loads(await world.read("java:u1") or b"")
        assert app_token()["AccessToken"] == left["AccessToken"]
        assert not left["RefreshToken"]
        assert not left["IdToken"]
        assert json.loads(await world.read("java:u2") or b"")["RefreshToken"]


async def test_sessions_that_are_code(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Pickled and Java-serialised sessions are found by what they hold, and deleted whole."""
    caches = FLASK, {"name": "django", "layout": "django-session"}, {"name": "spring", "layout": "spring-session"}
    async with work(*caches) as world:
        for sub in ("u1", "u2"):
            pickled = pickle.dumps(session(op, sub))
            await redis_client.set(f"session:{sub}", pickled, ex=500)
            await redis_client.set(f":1:django.contrib.sessions.cache{sub}", pickled)
            java = b"\xac\xed\x00\x05t\x01\x00" + session(op, sub)["idToken"].encode()
            await redis_client.hset(  # typed for both clients
                f"{SPRING}sessions:id-of-{sub}", mapping={"creationTime": b"\xac\xed", "sessionAttr:x": java}
            )
            await redis_client.set(f"{SPRING}sessions:expires:id-of-{sub}", "")
            await redis_client.sadd(PRINCIPALS + sub, b"\xac\xed\x00\x05t\x00\x08id-of-" + sub.encode())
        await world.worker.watcher.read_all()
        await world.log_out(sub="u1", sid="sid-u1")
        left = await world.keys()
        assert not [key for key in left if "u1" in key]
        assert 5 == len(left)


async def test_keyed_of_any_type(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """What is at the key is not read, so it may be anything; what comes back goes at the next look."""
    async with work({"name": "by-sub", "layout": "keyed", "key": "k:{sub}"}, recheck_s=[0.2]) as world:
        await redis_client.hset("k:u1", "token", "at")  # typed for both clients
        await redis_client.hset("k:u2", "token", "at")
        await world.log_out_user("u1")
        assert {"k:u2"} == await world.keys()
        await redis_client.sadd("k:u1", "at")
        await until(lambda: world.gone("k:u1"))
        assert {"k:u2"} == await world.keys()


async def test_keyed_with_a_hash_tag(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """A brace of the key itself is written twice."""
    async with work({"name": "tagged", "layout": "keyed", "key": "{{app}}:{sub}"}) as world:
        await redis_client.mset({"{app}:u1": "x", "{app}:u2": "x"})
        await world.log_out_user("u1")
        assert {"{app}:u2"} == await world.keys()


async def test_keyed(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """A template names the key by what the event says; where it says less, no key is made up."""
    caches = (
        {"name": "by-sub", "layout": "keyed", "key": "{tenant}/{sub}"},
        {"name": "by-sid", "layout": "keyed", "key": "s:{client_id}:{sid}"},
        {"name": "by-account", "layout": "keyed", "key": "a:{account}"},
        {"name": "all-of-it", "layout": "keyed", "key": "{sub}"},
    )
    async with work(*caches) as world:
        names = ["t1/u1", "t1/u2", "s:c1:s1", "s:c1:s2", "s:c1:None", "s:c1:", "a:u1", "a:", "u1", "u2", "/u1"]
        for name in names:
            await redis_client.set(name, b"anything")
        await world.log_out_user("u1")
        assert set(names) - {"t1/u1", "a:u1", "u1"} == await world.keys()
        await world.log_out_session("s1")
        assert set(names) - {"t1/u1", "a:u1", "u1", "s:c1:s1"} == await world.keys()
        await redis_client.lpush("t1/u1", "a list")  # typed for both clients


@pytest.mark.parametrize("sub", ["{logout}:sequence", "{logout}:events"])
async def test_a_user_with_a_strange_name(work: Work, redis_client: redis.asyncio.Redis, *, sub: str) -> None:
    """A subject that is called like a key of this project costs it nothing."""
    caches = {"name": "keyed", "layout": "keyed", "key": "{sub}"}, {"name": "node", "layout": "msal-node"}
    async with work(*caches) as world:
        await world.log_out_user(sub)
        await world.log_out_user("u2")
        assert 2 == len(await world.receiver.events())
        assert 2 == int(await redis_client.get("{logout}:sequence") or 0)


async def test_values_of_another_kind(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """What stands under such a key but is none of the stack's values is left alone, and hinders nothing."""
    async with work(NODE, WEB, FLASK) as world:
        await redis_client.lpush("node:u1", "x")  # typed for both clients
        await redis_client.set("web:u1", "x")
        await redis_client.sadd("session:u1", "x")  # typed for both clients
        await redis_client.set(b"session:\xff", "x")
        await redis_client.set("session:empty", "")
        await world.worker.watcher.read_all()
        await world.log_out_user("u1")
        assert {"node:u1", "web:u1", "session:u1", "session:empty"} == {
            key for key in await redis_client_keys(world) if key != "session:\ufffd"
        }


async def redis_client_keys(world: World) -> set[str]:
    """All names, those that are no text included."""
    names: list[Any] = await world.redis.keys()
    found = {name.decode(errors="replace") for name in names}
    return {key for key in found if not key.startswith("{logout}")}
