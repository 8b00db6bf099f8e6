"""What stands in a web session a visitor may have typed: it ends nobody's sign-in but the visitor's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from receiver.core.layouts.session_values import MAX_SIGN_INS
from tests.evictor.rig import NODE, at_work, register
from tests.evictor.written import dumped, id_token, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

EXPRESS = {"name": "express", "layout": "express-session"}
DJANGO = {"name": "django", "layout": "django-session", "prefix": "sess:"}
ENTRA = {"account_from_sub": False}
VICTIM = "0a0a.7b7b"


@pytest.mark.parametrize("cache", [EXPRESS, DJANGO])
async def test_a_visitor_cannot_sign_somebody_else_out(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, cache: dict[str, str]
) -> None:
    """A session that claims another one's account: at its logout it goes, and nobody hears of that account."""
    claims = {"iss": op.issuer, "aud": "c1", "sub": "visitor"}
    typed = {
        "homeAccountId": VICTIM,
        "idTokenClaims": claims,
        "cache": tokens(op.issuer, sub="visitor", account=VICTIM),
    }
    own = id_token(op.issuer, "visitor", "c1", sid="s-visitor", auth_time=int(clock()) - 60)
    session = json.dumps({"form": json.dumps(typed), "own": own})
    victims = dumped(tokens(op.issuer, sub="victim", account=VICTIM, sid="s-victim", auth_time=clock() - 60))
    await redis_client.set("sess:visitors", session if cache is EXPRESS else b"\x80\x04." + session.encode())
    await redis_client.set(f"node:{VICTIM}", victims)
    async with at_work(redis_server, redis_client, clock, op, cache, NODE, of=ENTRA) as world:
        eviction = await world.log_out_user("visitor")
        assert () == eviction.accounts
        await until(lambda: world.gone("sess:visitors"))

        await redis_client.set(f"node:{VICTIM}", victims)
        await redis_client.set("sess:again", session)
        await until(lambda: world.gone("sess:again"))
        await world.watched("node:")

        assert victims == await redis_client.get(f"node:{VICTIM}")


async def test_the_users_own_logout_still_finds_the_session(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """By another client's subject: the account leads from one to the other, through MSAL's own value."""
    account = {"homeAccountId": VICTIM, "idTokenClaims": {"iss": op.issuer, "aud": "c2", "sub": "sub-at-c2"}}
    await redis_client.set("sess:own", json.dumps({"account": account}))
    value = dumped(tokens(op.issuer, sub="sub-at-c1", account=VICTIM, auth_time=clock() - 60))
    await redis_client.set(f"node:{VICTIM}", value)
    async with at_work(redis_server, redis_client, clock, op, EXPRESS, NODE, of=ENTRA) as world:
        eviction = await world.log_out_user("sub-at-c1")

        assert (VICTIM,) == eviction.accounts
        assert await world.gone("sess:own", f"node:{VICTIM}")


@pytest.mark.parametrize("own_time", [True, False])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("cache", [EXPRESS, DJANGO])
async def test_text_that_hides_a_sign_in(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    clock: Clock,
    op: OP,
    cache: dict[str, str],
    *,
    first: bool,
    own_time: bool,
) -> None:
    """An unsigned token of the same names and a far `auth_time`: the real one ends the session nevertheless."""
    names = {"iss": op.issuer, "sub": "u1", "client": "c1", "sid": "s1"}
    own = id_token(**names, auth_time=clock() - 60 if own_time else None)
    planted = id_token(**names, auth_time=clock() + 1_000_000)
    texts = [planted, own] if first else [own, planted]
    session = json.dumps({f"text{number}": text for number, text in enumerate(texts)})
    stored = session.encode() if cache is EXPRESS else b"\x80\x04}." + session.encode()
    await redis_client.set("sess:own", stored)
    async with at_work(redis_server, redis_client, clock, op, cache) as world:
        await world.log_out(sub="u1", sid="s1")
        assert await world.gone("sess:own")

        await redis_client.set("sess:again", stored)
        await until(lambda: world.gone("sess:again"))


async def test_more_sign_ins_than_are_looked_at(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """Before the real sign-in hundreds of others are planted: the session goes by its key, where that is registered."""
    planted = {f"text{number}": id_token(op.issuer, f"x{number}", "c1") for number in range(MAX_SIGN_INS + 1)}
    session = json.dumps({**planted, "own": id_token(op.issuer, "u1", "c1", sid="s1")})
    await redis_client.set("sess:own", session)
    await redis_client.set("sess:other", session)
    async with at_work(redis_server, redis_client, clock, op, EXPRESS) as world:
        await register(world, "sess:own", sid="s1")
        await world.log_out(sub="u1", sid="s1")

        assert {"sess:other"} == await world.keys()
        assert world.sample("logout_cache_bad_values_total", cache="express", reason="too_many")


async def test_a_right_that_is_missing_is_no_missing_value(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """A Redis user that may not read the cache: the eviction is not acknowledged until it may."""
    user = ["SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-get"]
    await redis_client.execute_command("ACL", *user)
    where = {"redis": {"url": redis_server.url, "username": "blind", "password": "secret"}}
    own = {"name": "own", "layout": "msal-python", "prefix": "own:", "index": False, **where}
    await redis_client.set("own:u1", dumped(tokens(op.issuer)))
    try:
        async with at_work(redis_server, redis_client, clock, op, own) as world:
            eviction = await world.log_out_user("u1", waits=False)
            assert not await world.gone("own:u1")
            await redis_client.execute_command("ACL", "SETUSER", "blind", "+get")
            await until(lambda: world.is_handled(eviction))

            assert await world.gone("own:u1")
    finally:
        await redis_client.execute_command("ACL", "DELUSER", "blind")
