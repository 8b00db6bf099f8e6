"""Of a value that many share only what is new is looked at after a write; a user who was removed is new again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.layouts import LAYOUTS
from receiver.core.layouts.layout import STRING, Value
from receiver.evictor.examined import MANY, MAX_VALUES, Examined
from tests.evictor.written import accounts_in, dumped, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from tests.evictor.rig import Work
    from tests.support.op import OP

ISS = "https://op.example"
USERS = [f"u{number}" for number in range(MANY)]


def value(*users: str, at: float = 5) -> Value:
    """A cache of these users."""
    raw = dumped(*(tokens(ISS, sub=user, account=user, auth_time=at) for user in users))
    return LAYOUTS["msal-python"].read({STRING: raw})


def test_only_what_is_new() -> None:
    """At first all, then those who came or signed in anew, and all again when the value is forgotten."""
    examined = Examined()
    assert set(USERS) == examined.new_in("k", value(*USERS)).accounts
    assert set() == examined.new_in("k", value(*USERS)).accounts
    assert {"new"} == examined.new_in("k", value(*USERS, "new")).accounts
    assert {"new", *USERS} == examined.new_in("k", value(*USERS, "new", at=6)).accounts
    examined.forget("k")
    assert set(USERS) == examined.new_in("k", value(*USERS)).accounts


def test_one_who_was_away() -> None:
    """A user who is back after a look in which they were not is new."""
    examined = Examined()
    examined.new_in("k", value(*USERS, "a"))
    examined.new_in("k", value(*USERS))
    assert {"a"} == examined.new_in("k", value(*USERS, "a")).accounts


def test_bounds() -> None:
    """Small values are looked at as a whole, and so are large ones that were seen too long ago."""
    examined = Examined()
    for _ in range(2):
        assert {"a"} == examined.new_in("small", value("a")).accounts
    for number in range(MAX_VALUES + 1):
        examined.new_in(f"k{number}", value(*USERS))
    assert set(USERS) == examined.new_in("k0", value(*USERS)).accounts


async def test_written_back(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """An app that writes the old value back, with a user in it who was taken out, changes nothing for long."""
    async with work({"name": "py", "layout": "msal-python", "key": "all"}) as world:
        old = dumped(*(tokens(op.issuer, sub=user, account=user, auth_time=world.now - 9) for user in USERS))
        for number in range(2):
            await redis_client.set("all", old + b" " * number)
            await world.worker.watcher.read_all()
        await world.log_out_user("u1")
        assert "u1" not in accounts_in(await world.read("all"))
        await redis_client.set("all", old)

        async def is_out() -> bool:
            return "u1" not in accounts_in(await world.read("all"))

        await until(is_out)
        assert set(USERS) - {"u1"} == accounts_in(await world.read("all"))
