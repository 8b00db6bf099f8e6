"""Text that was made to end the worker: it is counted, logged and left, and the next logout is done as ever."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.cache_index import account_digest
from receiver.bus.keys import KeyNames
from receiver.core.layouts import msal_cache
from receiver.core.layouts.foreign_json import MAX_BYTES
from receiver.core.layouts.msal_cache import MAX_ENTRIES
from receiver.core.marks import digest
from tests.evictor.rig import FLASK, NODE, Work
from tests.evictor.written import dumped, id_token, merged, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from tests.support.op import OP


def nested(depth: int) -> str:
    """The beginning of a cache, and then lists in lists."""
    return f'{{"Account":{{"a":{"[" * depth}{"]" * depth}}}}}'


DEPTHS = (60, *range(880, 1001), 5_000, 30_000)
"""Around Python's own limit every one: how deep a parser gets depends on where it is called from."""

EXPRESS = {"name": "express", "layout": "express-session"}
SPRING = {"name": "spring", "layout": "spring-session"}


def msgpack(text: str) -> bytes:
    """A map of one string, as Flask-Session's msgpack writes it."""
    raw = text.encode()
    return b"\x81\xa4form\xda" + len(raw).to_bytes(2, "big") + raw


async def test_deep_text_in_a_session(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """JSON nested too deep, in every kind of value: the worker lives, and the session beside it is evicted."""
    for depth in DEPTHS:
        deep = nested(depth)
        await redis_client.set(f"session:pickled-{depth}", pickle.dumps({"form": deep}))
        await redis_client.set(f"session:msgpack-{depth}", msgpack(deep))
        await redis_client.set(f"sess:text-{depth}", json.dumps({"form": deep}))
        await redis_client.set(f"sess:json-{depth}", f'{{"form":{deep}}}')
        spring: dict[Any, Any] = {"creationTime": "1", "sessionAttr:form": deep}
        await redis_client.hset(f"spring:session:sessions:id-{depth}", mapping=spring)
        await redis_client.set(f"node:{depth}", deep)
    own = id_token(op.issuer, "u1", "c1", sid="s1")
    await redis_client.set("session:own", pickle.dumps({"form": nested(992), "id_token": own}))
    async with work(FLASK, EXPRESS, SPRING, NODE) as world:
        await world.worker.watcher.read_all()
        await world.log_out(sub="u1", sid="s1")
        assert await world.gone("session:own")
        assert {"ok"} == set(world.worker.jobs.report().values())
        assert 6 * len(DEPTHS) == len(await world.keys())


async def test_every_bad_value_is_counted(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Each reason has its count, and the log names the cache, the pattern of its keys and the reason."""
    long = "x" * 513
    values = {
        "node:deep": nested(100).encode(),
        "node:large": b" " * (MAX_BYTES + 1),
        "node:many": json.dumps({"IdToken": {str(n): {"client_id": "c"} for n in range(MAX_ENTRIES + 1)}}).encode(),
        "node:name": dumped(tokens(op.issuer, account=long), tokens(op.issuer)),
        "node:odd": dumped(tokens(op.issuer), {"Account": {"x": None}}),
        "node:" + "k" * 1100: dumped(tokens(op.issuer)),
    }
    for key, value in values.items():
        await redis_client.set(key, value)
    async with work(NODE) as world:
        counted = {
            reason: world.sample("logout_cache_bad_values_total", cache="node", reason=reason)
            for reason in ("too_deep", "too_large", "too_many", "long_name", "shape", "error")
        }
        assert {"too_deep": 1, "too_large": 1, "too_many": 1, "long_name": 2, "shape": 1, "error": 0} == counted


async def test_a_long_name_reaches_no_event(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """An account of megabytes beside a user's own: the event names the user's own account only."""
    planted = tokens(op.issuer, account="x" * 2_000_000)
    await redis_client.set("node:planted", dumped(planted, tokens(op.issuer, account="home.u1")))
    async with work(NODE, of={"account_from_sub": False}) as world:
        eviction = await world.log_out_user("u1")
        assert ("home.u1",) == eviction.accounts
        left = json.loads(await redis_client.get("node:planted") or b"")
        assert planted["RefreshToken"] == left["RefreshToken"]


@pytest.mark.parametrize(
    "others",
    [
        b'"n": 1e400, "m": [NaN, -Infinity], "o": 1.10, "p": 0.1e1',
        b'"t": "\\u00fc\\ud83d \\/ \xc3\xbc", "t": "twice"',
        b' "big" :123456789012345678901234567890 , "empty": {} ',
    ],
)
async def test_other_users_bytes(work: Work, redis_client: redis.asyncio.Redis, op: OP, *, others: bytes) -> None:
    """An entry of another user is not rewritten, whatever is in it; numbers that are none in JSON included."""
    other = b'"u2-x": {"home_account_id": "u2", "client_id": "c1", ' + others + b"}"
    mine = dumped(tokens(op.issuer, account="u1"))[1:-1]
    async with work({"name": "py", "layout": "msal-python", "key": "all"}) as world:
        for before, after in (
            (b"", b""),
            (b'"a":{"home_account_id":"u1"} ,', b""),
            (b"", b'\n, "b":{"home_account_id":"u1"}'),
        ):
            section = (
                b'"Extended": 1, "AppMetadata": {"x": 1e999}, "Account": {' + before + b" " + other + after + b" }"
            )
            await redis_client.set("all", b"{" + section + b", " + mine.replace(b'"Account"', b'"Unused"') + b"}")
            await world.log_out_user("u1")
            left: Any = await redis_client.get("all")
            assert left.startswith(b'{"Extended": 1, "AppMetadata": {"x": 1e999}, "Account": {')
            assert other in left
            assert b'"u1"' not in left.split(b'"Unused"', 1)[0]
            assert {"u2"} == {entry["home_account_id"] for entry in json.loads(left)["Account"].values()}


@pytest.mark.parametrize("member", ['"version": 2', '"RefreshToken": null', '"extra": [1]', '"Account": {"x": 5}'])
async def test_one_odd_member(work: Work, redis_client: redis.asyncio.Redis, op: OP, *, member: str) -> None:
    """Something in a cache that MSAL does not write hides nobody's entries, and stays as it is."""
    name = member.partition(":")[0].strip('"')
    user = {key: section for key, section in tokens(op.issuer).items() if key != name}
    async with work(NODE) as world:
        await redis_client.set("node:u1", "{" + member + ", " + json.dumps(user)[1:])
        await world.log_out_user("u1")
        assert (b"{" + member.encode() if "5" in member else b"") in (await redis_client.get("node:u1") or b"")
        both = merged(tokens(op.issuer, account="u3", sub="u3"), tokens(op.issuer, account="u2", sub="u2"))
        del both[name if name in both else "AccessToken"]
        await redis_client.set("node:u3", "{" + member + ", " + json.dumps(both)[1:])
        await world.log_out_user("u3")
        left: Any = await redis_client.get("node:u3")
        assert left.startswith(b"{" + member.encode())
        assert b'"u3"' not in left
        assert b'"u2"' in left


async def test_what_was_kept_for_the_evictor(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Damaged notes of its own in Redis are counted and passed over; what is sound beside them is used."""
    user, place = digest("sub", op.issuer, "u1"), account_digest("home.u1")
    keys = KeyNames()
    await redis_client.hset(keys.index_bucket(user), user, b'9999999999,AAAA "home.u1"')
    await redis_client.hset(keys.places_bucket(place), place, b'9999999999,node [,node 5,\xff "k",node "node:u1"')
    await redis_client.hset(keys.removal(place), mapping={"at": "x", "until": "y", b"sid \xff": ""})
    await redis_client.set(keys.mark(digest("sub", op.issuer, "u2")), "soon")
    for name, order in (
        ("a", "["),
        ("b", "[" * 5000),
        ("c", '{"eviction": "{}", "places": [[1]], "step": 0}'),
        ("d", "\xff"),
    ):
        await redis_client.set(keys.recheck(name), order)
        await redis_client.zadd(keys.rechecks, {name: 1})
    async with work(NODE, of={"account_from_sub": False}) as world:
        await redis_client.set("node:u2", dumped(tokens(op.issuer, sub="u2", account="u2")))
        await redis_client.set("node:u1", dumped(tokens(op.issuer, account="home.u1")))
        await world.log_out_user("u1")
        assert await world.gone("node:u1")
        assert await redis_client.exists("node:u2")
        await until(lambda: world.gone(keys.rechecks))
        assert not await redis_client.exists(*map(keys.recheck, "abcd"))
        assert {"ok"} == set(world.worker.jobs.report().values())
        await until(lambda: bool(world.sample("logout_cache_bad_values_total", cache="", reason="shape")))


async def test_an_error_that_was_not_foreseen(
    work: Work,
    redis_client: redis.asyncio.Redis,
    op: OP,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of ours in one value costs that value only: it is counted, logged once with its traceback, and left."""
    real = msal_cache.sign_ins

    def faulty(blob: msal_cache.Blob, problems: set[str] | None = None) -> Any:
        if "u2" in msal_cache.accounts(blob):
            raise ZeroDivisionError
        return real(blob, problems)

    monkeypatch.setattr(msal_cache, "sign_ins", faulty)
    for user in ("u1", "u2"):
        await redis_client.set(f"node:{user}", dumped(tokens(op.issuer, sub=user, account=user)))
    async with work(NODE) as world:
        await world.log_out_user("u1")
        assert {"node:u2"} == await world.keys()
        await world.worker.watcher.read_all()
        assert 2 == world.sample("logout_cache_bad_values_total", cache="node", reason="error")
        faults = [record for record in caplog.records if record.getMessage() == "cache.fault"]
        assert [ZeroDivisionError] == [record.exc_info[0] for record in faults if record.exc_info]
