"""The script that registers a sign-in, one call at a time: which marks end it, and what is noted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.sign_ins.registry import REGISTER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis.asyncio

NOW_S, LIFETIME_S, SKEW_S = 100_000, 1000, 60
EXPIRES = NOW_S + LIFETIME_S
AT = 50_000
"""When the user was signed out."""

USER, SIDS, ACCOUNT, EPOCH, REGISTERS = "{l}:user:U", "{l}:sids:0", "{l}:account:0", "{l}:mark:epoch", "{l}:mark:anew:r"
NEWER, NEWER_FOR_CACHES = "{l}:mark:anew:this", "{l}:mark:anew:cached"
OF_USER, OF_ACCOUNT, OF_SESSION = "{l}:mark:U", "{l}:mark:A", "{l}:mark:S"
AWAITED = ("{l}:mark:anew:w1", "{l}:mark:anew:w2")


async def register(
    client: redis.asyncio.Redis, *, session: str = "S", account: str = "A", auth: str = "", began: str = "",
    given: str = "", app: str = '"c"', keys: str = '"k"', anew: str = "", awaited: Sequence[str] = AWAITED,
) -> int:  # fmt: skip
    """The answer."""
    names = [USER, SIDS, ACCOUNT, NEWER, NEWER_FOR_CACHES, OF_USER, OF_ACCOUNT, OF_SESSION, EPOCH, *awaited, REGISTERS]
    arguments = (
        *("U", session, account, NOW_S, LIFETIME_S, auth, began, app, '"a"', keys, 2, given, SKEW_S, anew),
        len(awaited),
    )
    return int(await REGISTER.run(client, names, arguments))


def line(
    expires: Any = EXPIRES, *, auth: str = "", began: str = "", app: str = '"c"', session: str = "S", keys: str = '"k"'
) -> str:
    """As the script writes it."""
    return "\t".join([str(expires), auth, began, app, session, '"a"', "A", keys])


async def lines(client: redis.asyncio.Redis) -> list[str]:
    """The sign-ins of the user."""
    found: Any = await client.get(USER)
    return found.decode().split("\n") if found else []


async def life(client: redis.asyncio.Redis, name: str) -> int:
    """Seconds for which it is kept, to the hundred above."""
    return -(-int(await client.ttl(name)) // 100) * 100


@pytest.mark.parametrize(
    ("epoch", "given", "noted", "anew", "answer"),
    [
        (str(AT), "", "", "", 1),
        (str(AT), f"{AT}", "", "", 1),
        (str(AT), f"{AT + 5}", "", "", 1),
        (str(AT), f"{AT - 1}", "", "", 2),
        (str(AT), f"{AT - SKEW_S}", "", "", 2),
        (str(AT), f"{AT - SKEW_S - 1}", "", "", 0),
        (str(AT), f"{AT - SKEW_S - 1}", "", "anew", 2),
        (str(AT), f"{AT - SKEW_S - 1}", f"{AT}", "", 2),
        (str(AT), f"{AT - SKEW_S - 1}", f"{AT - 1}", "", 0),
        (str(AT), f"{AT - SKEW_S - 1}", "damaged", "", 0),
        ("damaged", "1", "", "", 1),
        ("0", "1", "", "", 1),
    ],
)
async def test_redis_had_lost_its_marks(
    redis_client: redis.asyncio.Redis, *, epoch: str, given: str, noted: str, anew: str, answer: int
) -> None:
    """What the OP had given to the app before is over, but for what is noted as newer, or was asked for anew."""
    await redis_client.set(EPOCH, epoch)
    if noted:
        await redis_client.set(NEWER, noted)

    assert answer == await register(redis_client, given=given, anew=anew)

    assert bool(answer) == bool(await lines(redis_client))
    newer = epoch.encode() if answer == 2 else noted.encode() or None
    assert [newer, epoch.encode() if answer == 2 else None] == await redis_client.mget(NEWER, NEWER_FOR_CACHES)


ORDER, ON_SESSIONS = f"{AT}.0001", f"{AT}.0002"


@pytest.mark.parametrize(
    ("mark", "text", "dates", "noted", "answer"),
    [
        # The OP's own: to the second, by when the session began for a user's, by auth_time for a session's.
        (OF_USER, f"{AT}", {"began": AT}, "", 0),
        (OF_USER, f"{AT}", {"began": AT + 1}, "", 1),
        (OF_USER, f"{AT}", {"began": AT + 1, "auth": 5, "given": 5}, "", 1),
        (OF_USER, f"{AT}", {"auth": AT + 1, "given": AT + 1}, "", 0),
        (OF_ACCOUNT, f"{AT}", {"began": AT}, "", 0),
        (OF_ACCOUNT, f"{AT}", {"began": AT + 1}, "", 1),
        (OF_SESSION, f"{AT}", {"auth": AT, "began": AT + 1}, "", 0),
        (OF_SESSION, f"{AT}", {"auth": AT + 1}, "", 1),
        (OF_SESSION, f"{AT}", {"began": AT + 1, "given": AT + 1}, "", 0),
        (OF_USER, f"{AT}.0030", {"began": AT}, "", 0),
        (OF_USER, f"{AT}.01", {"began": AT + 1}, "", 1),
        # An operator's order: within the difference of two clocks the sign-in that registers is newer.
        (OF_USER, ORDER, {"began": AT + SKEW_S + 1}, "", 1),
        (OF_USER, ORDER, {"began": AT + SKEW_S}, "", 2),
        (OF_USER, ORDER, {"began": AT - SKEW_S + 1}, "", 2),
        (OF_USER, ORDER, {"began": AT - SKEW_S, "given": AT}, "", 0),
        (OF_SESSION, ORDER, {"auth": AT - SKEW_S}, "", 0),
        (OF_SESSION, ORDER, {"auth": AT}, "", 2),
        (OF_USER, ORDER, {}, "", 0),
        # One on sessions: by when the OP gave it to the app.
        (OF_USER, ON_SESSIONS, {"given": AT - SKEW_S, "began": AT}, "", 0),
        (OF_USER, ON_SESSIONS, {"given": AT - SKEW_S + 1, "began": 5}, "", 2),
        (OF_SESSION, ON_SESSIONS, {"given": AT + SKEW_S + 1, "auth": 5}, "", 1),
        (OF_SESSION, ON_SESSIONS, {"auth": AT}, "", 0),
        # Noted as newer than this mark, or than the one before.
        (OF_USER, f"{AT}.0010", {"began": AT}, f"{AT}.0010", 2),
        (OF_USER, f"{AT}.0010", {"began": AT}, f"{AT}", 0),
        (OF_USER, f"{AT}", {"began": AT}, "anew", 2),
        # What is no date says nothing.
        (OF_USER, "soon", {}, "", 1),
    ],
)
async def test_marks(
    redis_client: redis.asyncio.Redis, *, mark: str, text: str, dates: Mapping[str, int], noted: str, answer: int
) -> None:
    """Which of them end a sign-in, and where one is newer than a mark that would end it by its dates, that is noted."""
    await redis_client.set(mark, text, ex=5000)
    if noted and noted != "anew":
        await redis_client.set(NEWER, noted)
    given: Any = {name: str(value) for name, value in dates.items()}

    assert answer == await register(redis_client, anew=noted if noted == "anew" else "", **given)

    assert bool(answer) == bool(await lines(redis_client))
    anew = [name.replace(":mark:", ":mark:anew:") for name in (OF_USER, OF_ACCOUNT, OF_SESSION, EPOCH)]
    found = await redis_client.mget(NEWER_FOR_CACHES, *anew)
    assert ([text.encode()] * 4 + [None] if answer == 2 else [None] * 5) == found
    if answer == 2:
        assert {5000} == {await life(redis_client, name) for name in (NEWER, NEWER_FOR_CACHES, *anew[:3])}
        assert text.encode() == await redis_client.get(NEWER)


@pytest.mark.parametrize("order", [(OF_USER, OF_SESSION), (OF_SESSION, OF_USER)])
async def test_the_latest_of_several_marks(redis_client: redis.asyncio.Redis, order: tuple[str, str]) -> None:
    """It is what the sign-in is noted as newer than; that is kept as long as the longest of those in doubt."""
    await redis_client.set(order[0], f"{AT}", ex=500)
    await redis_client.set(order[1], f"{AT}.0030", ex=7000)
    assert 2 == await register(redis_client, anew="anew")
    assert f"{AT}.0030".encode() == await redis_client.get(NEWER)
    assert 7000 == await life(redis_client, NEWER)

    await redis_client.delete(*order)
    await redis_client.set(order[0], f"{AT + 1}", ex=500)
    assert 2 == await register(redis_client, anew="anew")
    assert LIFETIME_S == await life(redis_client, NEWER)


@pytest.mark.parametrize(
    ("seen", "mark", "auth", "after"),
    [
        ("5", None, "10", "9"), ("8", None, "10", "9"), ("9", None, "10", "9"), ("10", None, "10", "10"),
        ("5", None, "", "5"), ("0", None, "", "0"), ("x", None, "2", "1"), ("x", None, "1", "x"),
        ("5", "20.0030", "", "20"), ("20", "20.0030", "", "20"), ("5", "20", "30", "29"), ("5", "20", "10", "20"),
        (None, None, "10", None),
    ],
)  # fmt: skip
async def test_where_the_evictor_waits(
    redis_client: redis.asyncio.Redis, *, seen: str | None, mark: str | None, auth: str, after: str | None
) -> None:
    """It is told up to which logout this sign-in is newer; of the latest one, for as long as it waits."""
    if mark:
        await redis_client.set(OF_USER, mark, ex=900)
    for name in AWAITED if seen else ():
        await redis_client.set(name, seen or "", ex=300)

    await register(redis_client, auth=auth, anew="anew")

    assert [after.encode() if after else None] * 2 == await redis_client.mget(AWAITED)
    assert [300 if seen else -100] * 2 == [await life(redis_client, name) for name in AWAITED] or not seen


SAME = [line(app='"c"', keys=f'"k{number}"') for number in range(8)]


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ([], {}, [line()]),
        ([], {"auth": "7", "began": "7"}, [line(auth="7")]),
        ([], {"auth": "7", "began": "9"}, [line(auth="7", began="9")]),
        ([], {"began": "9"}, [line(began="9")]),
        # Another app, session or name stays; the same one is written anew, for the longer time.
        ([line(app='"d"'), line(session="T"), line(keys='"l"')], {},
         [line(app='"d"'), line(session="T"), line(keys='"l"'), line()]),
        ([line(NOW_S + 5, auth="3"), line(app='"d"')], {}, [line(app='"d"'), line()]),
        ([line(EXPIRES + 5)], {}, [line(EXPIRES + 5)]),
        ([line("x")], {}, [line()]),
        # Over, or damaged.
        ([line(NOW_S, app='"d"'), line(NOW_S + 1, app='"e"'), "damaged", line(app='"f"') + "\tmore"], {},
         [line(NOW_S + 1, app='"e"'), line()]),
        (["", line(app='"d"'), "x"], {}, [line(app='"d"'), line()]),
        (["x", line(app='"d"'), line(app='"e"'), "yy", "z", line(app='"f"')], {},
         [line(app='"d"'), line(app='"e"'), line(app='"f"'), line()]),
        # Eight names of one session, the oldest gives way; without a session those of one date.
        (SAME[:7], {}, [*SAME[:7], line()]),
        ([line(app='"d"'), *SAME], {}, [line(app='"d"'), *SAME[1:], line()]),
        ([line(session="", auth="3", keys=f'"{n}"') for n in range(8)], {"session": "", "auth": "3"},
         [*(line(session="", auth="3", keys=f'"{n}"') for n in range(1, 8)), line(session="", auth="3")]),
        ([line(session="", auth="3", keys=f'"{n}"') for n in range(8)], {"session": "", "auth": "4"},
         [*(line(session="", auth="3", keys=f'"{n}"') for n in range(8)), line(session="", auth="4")]),
        ([line(session="", auth="3", began="5", keys=f'"{n}"') for n in range(8)], {"session": "", "auth": "3"},
         [*(line(session="", auth="3", began="5", keys=f'"{n}"') for n in range(8)), line(session="", auth="3")]),
        # So many of one user.
        ([line(session=f"s{n}") for n in range(63)], {}, [*(line(session=f"s{n}") for n in range(63)), line()]),
        ([line(session=f"s{n}") for n in range(64)], {}, [*(line(session=f"s{n}") for n in range(1, 64)), line()]),
        ([line(session=f"s{n}") for n in range(70)], {}, [*(line(session=f"s{n}") for n in range(7, 70)), line()]),
    ],
)  # fmt: skip
async def test_the_lines_of_a_user(
    redis_client: redis.asyncio.Redis, before: list[str], given: dict[str, Any], after: list[str]
) -> None:
    """Each sign-in is one, the newest last; those that stay are as they were."""
    if before:
        await redis_client.set(USER, "\n".join(before), ex=300)
    assert 1 == await register(redis_client, **given)
    assert after == await lines(redis_client)
    assert LIFETIME_S == await life(redis_client, USER)


MOST = 256 * 1024


@pytest.mark.parametrize(
    ("over", "kept"), [(0, [0, 1, 2]), (1, [1, 2]), (len(line()) + 1, [1, 2]), (len(line()) + 2, [2])]
)
async def test_the_bytes_of_a_user(redis_client: redis.asyncio.Redis, over: int, kept: list[int]) -> None:
    """So many; the oldest give way until the rest fits."""
    small = [line(session=str(number)) for number in (0, 1)]
    rest = MOST - 4 * (len(line()) + 1) + 1
    before = [*small, line(session="2", keys="k" * (3 + rest + over))]
    await redis_client.set(USER, "\n".join(before))
    await register(redis_client)
    assert [*(before[number] for number in kept), line()] == await lines(redis_client)


async def test_one_that_is_larger_by_itself(redis_client: redis.asyncio.Redis) -> None:
    """Is kept all the same, alone."""
    await redis_client.set(USER, line(app='"d"'))
    for _ in range(2):
        await register(redis_client, keys="k" * MOST)
        assert [line(keys="k" * MOST)] == await lines(redis_client)


@pytest.mark.parametrize("name", [USER, SIDS, ACCOUNT, REGISTERS])
async def test_what_lives_longer_goes_on_doing_so(redis_client: redis.asyncio.Redis, name: str) -> None:
    """A shorter session shortens nothing, and a longer one prolongs."""
    await register(redis_client)
    assert LIFETIME_S == await life(redis_client, name)
    for before, after in ((400, LIFETIME_S), (5000, 5000)):
        await redis_client.expire(name, before)
        await register(redis_client)
        assert after == await life(redis_client, name)


@pytest.mark.parametrize(
    ("there", "after"),
    [
        (None, f"{EXPIRES},U"), (f"{EXPIRES + 5},V", f"{EXPIRES + 5},V,U"), ("5,V", f"{EXPIRES},V,U"),
        ("5,U", f"{EXPIRES},U"), ("5,V,U,W", f"{EXPIRES},V,U,W"), ("damaged", f"{EXPIRES},U"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("bucket", "name"), [(SIDS, "S"), (ACCOUNT, "A")])
async def test_whose_a_session_and_an_account_are(
    redis_client: redis.asyncio.Redis, *, bucket: str, name: str, there: str | None, after: str
) -> None:
    """Every subject once, for as long as the longest of them."""
    if there:
        await redis_client.hset(bucket, name, there)
    await register(redis_client)
    assert {name.encode(): after.encode()} == await redis_client.hgetall(bucket)


@pytest.mark.parametrize(("session", "account"), [("S", ""), ("", "A")])
async def test_a_session_or_an_account(redis_client: redis.asyncio.Redis, session: str, account: str) -> None:
    """Only what there is, is noted."""
    assert 1 == await register(redis_client, session=session, account=account)
    assert [bool(session), bool(account)] == [bool(await redis_client.exists(bucket)) for bucket in (SIDS, ACCOUNT)]


async def test_without_a_session_or_an_account(redis_client: redis.asyncio.Redis) -> None:
    """There is none to be noted."""
    assert 1 == await register(redis_client, session="", account="", awaited=())
    assert 0 == await redis_client.exists(SIDS, ACCOUNT)
    assert b"1" == await redis_client.get(REGISTERS)


@pytest.mark.parametrize(("more", "left"), [({}, 0), ({"e": "6,x"}, 1), ({"e": "6,x", "f": ""}, 2)])
async def test_what_is_over_goes_while_a_bucket_grows(
    redis_client: redis.asyncio.Redis, more: dict[str, str], left: int
) -> None:
    """Four are looked at for a name that is new, and none for one that is there; one that is not over stays."""
    there: dict[Any, Any] = {"a": f"{NOW_S},x", "b": "5,x", "c": "damaged", "d": "", **more}
    await redis_client.hset(SIDS, mapping=there)
    await redis_client.hset(ACCOUNT, mapping={"A": "5,x", **there})
    await register(redis_client)
    assert [1 + left, 1 + len(there)] == [await redis_client.hlen(bucket) for bucket in (SIDS, ACCOUNT)]

    await redis_client.delete(SIDS)
    await redis_client.hset(SIDS, mapping={"a": f"{NOW_S + 1},x", "b": f"{NOW_S},x"})
    await register(redis_client)
    assert {b"a", b"S"} == set(await redis_client.hkeys(SIDS))
