"""What was in flight during a logout writes the old sign-in back; a new sign-in looks much the same."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from receiver.evictor.decisions import MAX_GUESSED, MAX_LATE, PAUSES_S
from tests.evictor.rig import FLASK, NODE, WEB, Work, World
from tests.evictor.written import accounts_in, clients_in, dumped, id_token, merged, tokens
from tests.support.op import ABSENT, OP
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio


KEY = "web:u1"

IN_FLIGHT = 20
"""Requests that one page may have sent when the user signs out."""


async def comes_back(world: World, blob: dict[str, Any]) -> bool:
    """Whether it stays when it is written now."""
    await world.put_data(KEY, dumped(blob))
    await world.watched("web:")
    return not await world.gone(KEY)


@pytest.mark.parametrize(
    ("before", "logout"),
    [
        ({"sid": "s1"}, {"sub": "u1", "sid": "s1"}),
        ({"sid": "s1"}, {"sub": "u1"}),
        ({"auth_time": -60}, {"sub": "u1"}),
        ({"auth_time": -60, "sid": "s1"}, {"sub": "u1", "sid": "s1"}),
        ({}, {"sub": "u1"}),
        ({}, {"sub": "u1", "sid": "s1"}),
    ],
)
async def test_written_back(work: Work, op: OP, *, before: dict[str, Any], logout: dict[str, Any]) -> None:
    """A refresh in flight restores nothing: its ID token is new, its tokens are new, its session is the old one."""
    async with work(WEB) as world:
        if "auth_time" in before:
            before = {**before, "auth_time": world.now + before["auth_time"]}
        assert await comes_back(world, tokens(op.issuer, cached_at=world.now - 60, **before))
        await world.log_out(**{"sid": ABSENT, **logout})
        assert await world.gone(KEY)
        world.clock.advance(5)
        refreshed = tokens(op.issuer, cached_at=world.now, iat=world.now, **before)
        assert not await comes_back(world, refreshed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"sid": "s1"}, {"sid": "s2"}),
        ({"sid": "s1", "auth_time": -60}, {"sid": "s2", "auth_time": 5}),
        ({"auth_time": -60}, {"auth_time": 5}),
        ({}, {"auth_time": 5}),
    ],
)
@pytest.mark.parametrize("claims", [{"sub": "u1"}, {"sub": "u1", "sid": "s1"}])
async def test_new_sign_in(
    work: Work, op: OP, *, before: dict[str, Any], after: dict[str, Any], claims: dict[str, str]
) -> None:
    """Who signs in anew stays, at once and each time it is written: another `sid`, or a later `auth_time`."""
    async with work(WEB) as world:

        def signed_in(**known: Any) -> dict[str, Any]:
            if "auth_time" in known:
                known["auth_time"] += start
            return tokens(op.issuer, cached_at=world.now, **known)

        start = world.now
        assert await comes_back(world, signed_in(**before))
        await world.log_out(**dict[str, Any](sid=ABSENT) | claims)
        assert await world.gone(KEY)
        world.clock.advance(5)
        for _ in range(5):
            assert await comes_back(world, signed_in(**after))
        assert 0 == world.sample("logout_cache_returned_total", cache="web", verdict="unsure", outcome="removed")


async def test_nothing_tells(work: Work, op: OP) -> None:
    """Where nothing tells a new sign-in from the old one, it is removed twice, and stays for now."""
    async with work(WEB) as world:
        assert await comes_back(world, tokens(op.issuer, cached_at=world.now))
        await world.log_out_user("u1")
        world.clock.advance(5)
        stayed = [await comes_back(world, tokens(op.issuer, cached_at=world.now)) for _ in range(5)]
        assert [False] * MAX_GUESSED + [True] * 3 == stayed
        assert MAX_GUESSED == world.sample(
            "logout_cache_returned_total", cache="web", verdict="unsure", outcome="removed"
        )
        # The next logout is one of this sign-in.
        await world.log_out_user("u1")
        assert await world.gone(KEY)
        world.clock.advance(1)
        assert not await comes_back(world, tokens(op.issuer, cached_at=world.now))


async def test_nothing_tells_but_the_time(work: Work, op: OP) -> None:
    """Longer after the logout than anything is in flight, whatever has only younger tokens is a new sign-in."""
    async with work(WEB, in_flight_s=120) as world:
        assert await comes_back(world, tokens(op.issuer, cached_at=world.now))
        await world.log_out_user("u1")
        world.clock.advance(121)
        assert await comes_back(world, tokens(op.issuer, cached_at=world.now))
        # What proves its age goes even then.
        assert not await comes_back(world, tokens(op.issuer, cached_at=world.now - 200))


async def test_a_cache_of_one_of_several_tenants(work: Work, op: OP) -> None:
    """What comes back goes again, too, where another tenant has the same issuer, and another one has one of its own."""
    others = [
        {"name": "t2", "issuer": op.issuer, "client_ids": ["c3"]},
        {"name": "t3", "issuer": "https://other.example", "client_ids": ["c1"]},
    ]
    async with work({**WEB, "tenants": ["t1"]}, others=others) as world:
        old, foreign = (tokens(iss, auth_time=world.now - 60) for iss in (op.issuer, "https://other.example"))
        await world.log_out_user("u1")
        assert [False, True] == [await comes_back(world, old), await comes_back(world, foreign)]


@pytest.mark.parametrize(("skew_s", "stays"), [(60, False), (300, True)])
async def test_clocks_that_may_differ(work: Work, op: OP, skew_s: float, *, stays: bool) -> None:
    """Within what clocks may differ, which is a setting, the date of a token in a cache proves nothing."""
    async with work(WEB, in_flight_s=120, clock_skew_s=skew_s) as world:
        assert await comes_back(world, tokens(op.issuer, cached_at=world.now))
        await world.log_out_user("u1")
        world.clock.advance(121)
        assert stays is await comes_back(world, tokens(op.issuer, cached_at=world.now - 321))


async def test_requests_in_flight(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """What is proved to be over is removed as often as it comes back, by a page full of requests in flight, too."""
    session = json.dumps({"idToken": id_token(op.issuer, "u1", "c1", sid="s1", auth_time=1)})
    async with work(WEB, FLASK) as world:
        old = tokens(op.issuer, cached_at=world.now - 60, auth_time=world.now - 60)
        assert await comes_back(world, old)
        await world.log_out(sub="u1", sid="s1")
        assert [False] * IN_FLIGHT == [await comes_back(world, old) for _ in range(IN_FLIGHT)]
        for _ in range(IN_FLIGHT):
            await redis_client.set("session:a", session)
            await world.watched("session:")
            assert await world.gone("session:a")
        assert 0 == world.sample("logout_cache_returned_total", cache="web", verdict="ended", outcome="left")


async def test_without_a_time(work: Work, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """A session's mark alone is proof while anything is in flight; later it is removed ten times, then left."""
    async with work(WEB, in_flight_s=120) as world:
        old = tokens(op.issuer, cached_at=world.now, sid="s1")
        await world.log_out(sub="u1", sid="s1")
        assert [False] * IN_FLIGHT == [await comes_back(world, old) for _ in range(IN_FLIGHT)]
        world.clock.advance(60)
        await world.log_out(sub="u1", sid="s1")
        world.clock.advance(121)
        stayed = [await comes_back(world, old) for _ in range(MAX_LATE + 2)]
        assert [False] * MAX_LATE + [True] * 2 == stayed
        assert "evict.gave_up" in {record.getMessage() for record in caplog.records}
        # It is one user's tries, not everybody's.
        other = tokens(op.issuer, sub="u2", account="u2", cached_at=world.now - 60)
        await world.put_data("web:u2", dumped(other))
        await world.log_out_user("u2")
        await world.put_data("web:u2", dumped(other))
        await world.watched("web:")
        assert await world.gone("web:u2")


async def test_tried_again_later(work: Work, op: OP) -> None:
    """What may be a new sign-in is removed twice at once, once more after a minute, and again after five."""
    async with work(WEB, in_flight_s=900) as world:
        await world.log_out_user("u1")
        world.clock.advance(1)
        for pause_s in (0.0, *PAUSES_S, PAUSES_S[-1]):
            world.clock.advance(pause_s)
            tries = 1 if pause_s else MAX_GUESSED
            stayed = [await comes_back(world, tokens(op.issuer, cached_at=world.now)) for _ in range(tries + 1)]
            assert [False] * tries + [True] == stayed


async def test_a_key_that_was_empty(work: Work, op: OP) -> None:
    """A refresh in flight while the key was gone is caught too: the mark stands from before anything is removed."""
    async with work(WEB) as world:
        await world.log_out_user("u1")
        world.clock.advance(1)
        assert not await comes_back(world, tokens(op.issuer, cached_at=world.now))


async def test_web_session_written_back(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """A request in flight that saves its whole session restores nothing, also where the session names no `sid`."""
    async with work(FLASK) as world:
        for claims in ({"sid": "s1"}, {}):
            value = json.dumps({"idToken": id_token(op.issuer, "u1", "c1", **claims)})
            await redis_client.set("session:a", value)
            await world.watched("session:")
            await world.log_out(sub="u1", sid="s1")
            assert await world.gone("session:a")
            await redis_client.set("session:a", value)
            await world.watched("session:")
            assert await world.gone("session:a")
            world.clock.advance(5)
        # The same user's next session is another one.
        await redis_client.set("session:b", json.dumps({"idToken": id_token(op.issuer, "u1", "c1", sid="s2")}))
        await world.watched("session:")
        assert not await world.gone("session:b")


async def test_one_of_several_accounts_written_back(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Of a shared value the account that came back goes again; the others, and who signed in anew, stay."""
    cache = {"name": "py", "layout": "msal-python", "key": "all"}
    async with work(cache, NODE) as world:
        other = tokens(op.issuer, sub="u2", account="u2", cached_at=world.now, sid="x")
        old = tokens(op.issuer, cached_at=world.now, sid="s1")
        await redis_client.set("all", dumped(other, old))
        await world.log_out(sub="u1", sid="s1")
        assert {"u2"} == accounts_in(await world.read("all"))
        await redis_client.set("all", dumped(other, old))
        await until_accounts(world, {"u2"})
        new = tokens(op.issuer, client="c2", cached_at=world.now, sid="s2")
        await redis_client.set("all", dumped(other, old, new))
        await until_accounts(world, {"u1", "u2"}, clients={"c1", "c2"}, entries=2)


async def until_accounts(
    world: World, accounts: set[str], *, clients: set[str] | None = None, entries: int = 1
) -> None:
    """Return when the shared value holds these accounts, and these clients' refresh tokens, only."""

    async def is_so() -> bool:
        raw = await world.read("all")
        tokens_left = len(json.loads(raw or b"{}").get("RefreshToken", {}))
        fits = accounts == accounts_in(raw) and entries == tokens_left
        return fits and clients in (None, clients_in(raw))

    await until(is_so)


async def test_a_logout_of_one_client(work: Work, op: OP) -> None:
    """Where a logout counts for one client, only that one's refresh in flight is undone."""
    async with work(WEB, of={"applies_to": "client"}) as world:
        both = merged(*(tokens(op.issuer, client=client, cached_at=world.now - 60) for client in ("c1", "c2")))
        assert await comes_back(world, both)
        await world.log_out_user("u1", aud="c1")
        assert {"c2"} == clients_in(await world.read(KEY))
        assert await comes_back(world, both)
        assert {"c2"} == clients_in(await world.read(KEY))


async def test_within_a_second(work: Work, op: OP) -> None:
    """What is written back is gone again within a second, on a machine that has nothing else to do."""
    async with work(WEB) as world:
        await world.log_out_user("u1")
        # A loaded machine needs more tries; a worker that waits for a check never makes it.
        for _ in range(20):
            await world.put_data(KEY, dumped(tokens(op.issuer, cached_at=world.now, auth_time=world.now)))
            began = time.monotonic()
            await until(lambda: world.gone(KEY))
            if time.monotonic() - began < 1:
                return
        pytest.fail("it took longer each time")
