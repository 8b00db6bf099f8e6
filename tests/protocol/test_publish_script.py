"""The script that publishes, one call at a time: repeats, marks, whom a logout ends, and what the event names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from receiver.bus.events import publish as module
from receiver.bus.events.publish import PUBLISH, EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction, eviction_id
from receiver.core.marks import client_suffix, digest
from receiver.core.repeats import id_if_reused, subject_of
from tests.support.published import entries, evictions

if TYPE_CHECKING:
    import redis.asyncio

ISS, AT = "https://op.example", 50_000
KEYS = KeyNames()
RETENTION = Retention(max_events=1000, max_age_s=500, dedupe_s=700, mark_s=10_000)
ALICE, SESSION, HOME = digest("sub", ISS, "alice"), digest("sid", ISS, "s1"), digest("account", ISS, "a.b")


class Reply(NamedTuple):
    """As publish.lua says."""

    place: str
    repeated: int
    event_id: str
    reused: int
    damaged: int
    beyond: int


def logout(**changes: Any) -> Eviction:
    """Of alice."""
    fields: dict[str, Any] = {
        "id": "e1", "tenant": "t1", "iss": ISS, "sub": "alice", "jti": "j1", "scope": "user", "logout_at": AT,
        "received_at": 1.0, **changes,
    }  # fmt: skip
    return Eviction(**fields)


async def publish(
    client: redis.asyncio.Redis, eviction: Eviction | None = None, *, now_s: int = AT, source: int = 0,
    retention: Retention = RETENTION, skew_s: int = 60,
) -> Reply:  # fmt: skip
    """One call, at this time."""
    publisher = EvictionPublisher(client, KEYS, retention, clock=lambda: float(now_s))
    arguments = [*publisher._arguments(eviction or logout())]
    arguments[-2:] = source, skew_s if source else 0
    place, repeated, event_id, *rest = await PUBLISH.run(client, [str(key) for key in arguments[:3]], arguments[3:])
    return Reply(place.decode(), repeated, event_id.decode(), *rest)


async def life(client: redis.asyncio.Redis, name: str) -> int:
    """Seconds for which it is kept, to the hundred above."""
    return -(-int(await client.ttl(name)) // 100) * 100


@pytest.mark.parametrize(
    ("text", "noted", "source", "after"),
    [
        (None, None, 0, f"{AT}"), (None, None, 1, f"{AT}.0001"), (None, None, 2, f"{AT}.0002"),
        (f"{AT - 1}", None, 0, f"{AT}"), (f"{AT - 1}.0052", None, 0, f"{AT}"), ("damaged", None, 0, f"{AT}"),
        # No earlier date: the further digits count.
        (f"{AT}", None, 0, f"{AT}.0010"), (f"{AT}.0010", None, 0, f"{AT}.0020"),
        (f"{AT + 1}", None, 0, f"{AT + 1}.0010"),
        (f"{AT}.9980", None, 0, f"{AT}.9990"), (f"{AT}.9990", None, 0, f"{AT + 1}"), (f"{AT}.5", None, 0, f"{AT}.0010"),
        # Of both clocks the stricter one.
        (f"{AT}.0001", None, 0, f"{AT}.0010"), (f"{AT}.0001", None, 2, f"{AT}.0011"),
        (f"{AT}.0002", None, 2, f"{AT}.0012"),
        (f"{AT}", None, 2, f"{AT}.0010"), (f"{AT}.9992", None, 1, f"{AT + 1}.0001"),
        # Later than what a sign-in is noted as newer than.
        (None, f"{AT}.0030", 0, f"{AT}.0040"), (f"{AT}.0010", f"{AT}.0030", 0, f"{AT}.0040"),
        (f"{AT}.0030", f"{AT}.0010", 0, f"{AT}.0040"), (f"{AT}.0010", f"{AT}.001", 0, f"{AT}.0020"),
        (None, f"{AT - 1}", 0, f"{AT}"), (None, "damaged", 0, f"{AT}"),
    ],
)  # fmt: skip
async def test_a_mark_grows(
    redis_client: redis.asyncio.Redis, *, text: str | None, noted: str | None, source: int, after: str
) -> None:
    """With every logout, also with an earlier date."""
    for name, there in ((KEYS.mark(ALICE), text), (KEYS.anew(ALICE), noted)):
        if there:
            await redis_client.set(name, there)
    await publish(redis_client, source=source)
    assert after.encode() == await redis_client.get(KEYS.mark(ALICE))


@pytest.mark.parametrize(
    ("now_s", "mark_s", "kept_s"),
    [
        (AT, 10_000, 10_000), (AT + 2000, 10_000, 8000), (AT - 2000, 10_000, 10_000), (AT + 10**6, 10_000, 3600),
        (AT + 10**6, 600, 600),
    ],
)  # fmt: skip
async def test_how_long_a_mark_is_kept(redis_client: redis.asyncio.Redis, now_s: int, mark_s: int, kept_s: int) -> None:
    """From its date on, an hour at least, or as long as any."""
    await publish(redis_client, now_s=now_s, retention=replace(RETENTION, mark_s=mark_s))
    left_ms = await redis_client.pttl(KEYS.mark(ALICE))
    # Rounded up: a moment has passed.
    assert kept_s == -(-left_ms // 1000)


async def test_marks_of_one_client(redis_client: redis.asyncio.Redis) -> None:
    """A logout that counts for one client marks for that one only."""
    suffix = client_suffix("c1")
    await redis_client.set(KEYS.anew(ALICE) + suffix, f"{AT}.0030")
    await publish(redis_client, logout(client_id="c1", applies_to="client"))
    assert [None, f"{AT}.0040".encode()] == await redis_client.mget(KEYS.mark(ALICE), KEYS.mark(ALICE, suffix))


@pytest.mark.parametrize("there", [(), (KEYS.events,), (KEYS.sequence,), (KEYS.epoch,)])
async def test_the_epoch(redis_client: redis.asyncio.Redis, there: tuple[str, ...]) -> None:
    """The first event in a Redis that lost everything does not hide that."""
    await redis_client.delete(KEYS.epoch)
    if KEYS.events in there:
        await redis_client.xgroup_create(KEYS.events, "g", mkstream=True)
    elif there:
        await redis_client.set(there[0], 5)
    await publish(redis_client, now_s=AT + 7)
    epoch = await redis_client.get(KEYS.epoch)
    assert (str(AT + 7).encode() if not there else b"5" if there == (KEYS.epoch,) else None) == epoch


FURTHER = KEYS.further("e1")


async def test_a_repeat(redis_client: redis.asyncio.Redis) -> None:
    """Of the same or an earlier date: nothing is appended; it is remembered for as long as a new one."""
    first = await publish(redis_client, logout(id="e1"))
    assert (0, "e1", 0, 0, 0) == first[1:]
    remembered = (KEYS.jti("e1"), KEYS.logout(subject_of(logout())))
    assert [700, 700] == [await life(redis_client, name) for name in remembered]
    mark = await redis_client.get(KEYS.mark(ALICE))
    for earlier in (0, 1):
        for name in remembered:
            await redis_client.expire(name, 100)
        again = await publish(redis_client, logout(logout_at=AT - earlier))
        assert again == Reply(first.place, 1, "e1", 0, 0, 0)
        assert [700, 700] == [await life(redis_client, name) for name in remembered]
    assert (1, mark) == (await redis_client.xlen(KEYS.events), await redis_client.get(KEYS.mark(ALICE)))


async def test_another_logout_of_the_same_jti(redis_client: redis.asyncio.Redis) -> None:
    """A later one, or another user's, has an id of its own, and is known when it comes again."""
    later, other = logout(logout_at=AT + 1), logout(sub="bob")
    await publish(redis_client)
    places = []
    for one in (later, other):
        reply = await publish(redis_client, one)
        assert (0, id_if_reused(one), 1, 0, 0) == reply[1:]
        places.append(reply.place)
    for one, place in zip((later, other), places, strict=True):
        assert Reply(place, 1, id_if_reused(one), 0, 0, 0) == await publish(redis_client, one)
    # The first is none after the later one, and the other one not with its own key of the subject gone.
    assert places[0] == (await publish(redis_client)).place
    await redis_client.delete(KEYS.logout(subject_of(other)))
    assert Reply(places[1], 1, id_if_reused(other), 0, 0, 0) == await publish(redis_client, other)
    assert ["e1", id_if_reused(later), id_if_reused(other)] == [event.id for event in await evictions(redis_client)]


async def test_without_a_jti(redis_client: redis.asyncio.Redis) -> None:
    """The id alone says what it is."""
    first = await publish(redis_client, logout(jti=None))
    assert Reply(first.place, 1, "e1", 0, 0, 0) == await publish(redis_client, logout(jti=None, logout_at=AT + 9))
    assert [KEYS.jti("e1").encode()] == await redis_client.keys("*:jti:*")
    assert [] == await redis_client.keys("*:logout:*") + await redis_client.keys("*:further:*")


CHANGED: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True), ({"logout_at": AT + 1}, {}, True), ({"logout_at": AT - 1}, {}, False), ({"sub": "bob"}, {}, False),
    ({"jti": "j2"}, {}, False), ({"iss": "other"}, {}, False), ({"sid": "s1"}, {}, False),
    ({"client_id": "c1"}, {}, True), ({"client_id": "c1", "applies_to": "client"}, {}, False),
    ({"client_id": "c1"}, {"client_id": "c1"}, True), ({"client_id": "c2"}, {"client_id": "c1"}, False),
    ({"client_id": None}, {"client_id": "c1"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("there", "mine", "same"), CHANGED)
async def test_beside_an_earlier_release(
    redis_client: redis.asyncio.Redis, there: dict[str, Any], mine: dict[str, Any], *, same: bool
) -> None:
    """It left an event and the key of its id; what is a repeat is told by the event."""
    data = {
        "iss": ISS, "jti": "j1", "sub": "alice", "sid": None, "client_id": None, "applies_to": "tenant",
        "logout_at": AT, **there,
    }  # fmt: skip
    place: Any = await redis_client.xadd(KEYS.events, {"n": 1, "event": json.dumps({"id": "e1", "data": data})})
    await redis_client.set(KEYS.jti("e1"), place)

    reply = await publish(redis_client, logout(**mine))

    assert ((place.decode(), 1, "e1") if same else (0, 1)) == (reply[:3] if same else (reply.repeated, reply.reused))
    noted: Any = await redis_client.get(KEYS.logout(subject_of(logout(**mine))))
    assert noted.decode() == (f"{data['logout_at']} e1" if same else f"{AT} {id_if_reused(logout(**mine))}")


@pytest.mark.parametrize("event", ["x", "5", "[]", '{"data":5}', '{"data":{"logout_at":"x"}}', None])
async def test_beside_an_event_that_cannot_be_read(redis_client: redis.asyncio.Redis, event: str | None) -> None:
    """It counts as another one's."""
    place: Any = await redis_client.xadd(KEYS.events, {"n": 1, "event": event} if event else {"n": 1})
    await redis_client.set(KEYS.jti("e1"), place)
    assert 1 == (await publish(redis_client)).reused


async def test_beside_an_earlier_event_that_is_gone(redis_client: redis.asyncio.Redis) -> None:
    """It may have been any logout."""
    await redis_client.set(KEYS.jti("e1"), "5-1")
    assert 1 == (await publish(redis_client)).reused


def line(
    expires: Any = AT + 100, *, auth: Any = 5, began: Any = "", app: str = '"c"', sid: str = SESSION,
    account: str = '"a.b"', home: str = HOME, keys: str = '"k"',
) -> str:  # fmt: skip
    """As register.lua writes it."""
    return "\t".join([str(expires), str(auth), str(began), app, sid, account, home, keys])


async def registered(client: redis.asyncio.Redis, user: str, *lines: str, session: str = SESSION) -> None:
    """This user has these."""
    await client.set(KEYS.user(user), "\n".join(lines), ex=900)
    members: Any = await client.hget(KEYS.session_bucket(session), session)
    users = [*members.decode().split(",")[1:], user] if members else [user]
    await client.hset(KEYS.session_bucket(session), session, f"{AT + 100},{','.join(users)}")


async def left(client: redis.asyncio.Redis, user: str = ALICE) -> list[str]:
    """What is registered."""
    found: Any = await client.get(KEYS.user(user))
    assert not found or 900 == await life(client, KEYS.user(user))
    return found.decode().split("\n") if found else []


def keys_of(event: Eviction) -> list[str]:
    """What the sessions in it are called."""
    return [key for session in event.sessions for key in session.keys]


@pytest.mark.parametrize(
    ("text", "source", "ends", "damaged"),
    [
        (line(auth=AT), 0, True, 0), (line(auth=AT + 1), 0, False, 0), (line(auth=""), 0, True, 0),
        (line(auth=AT, began=AT + 1), 0, False, 0), (line(auth=AT + 1, began=AT), 0, True, 0),
        (line(auth=AT + 60), 1, True, 0), (line(auth=AT + 61), 1, False, 0),
        (line(auth=AT + 1, expires=AT), 0, None, 0), (line(auth=AT + 1, expires=AT + 1), 0, False, 0),
        (line(auth=AT + 1, expires="x"), 0, None, 0),
        ("damaged", 0, None, 1), (line() + "\tmore", 0, None, 1),
        (line(keys="k"), 0, None, 1), (line(app="c"), 0, None, 1), (line(app='"c","d"'), 0, None, 1),
        (line(keys=""), 0, None, 0), (line(keys='"k","l"'), 0, True, 0),
    ],
)  # fmt: skip
async def test_a_users_sessions(
    redis_client: redis.asyncio.Redis, *, text: str, source: int, ends: bool | None, damaged: int
) -> None:
    """Those that began until then end and are named; later ones stay; those over or damaged go, and stop nothing."""
    await registered(redis_client, ALICE, text)
    assert damaged == (await publish(redis_client, source=source)).damaged
    [event] = await evictions(redis_client)
    assert ("k" in keys_of(event)) == bool(ends)
    assert ([text] if ends is False else []) == await left(redis_client)


async def test_dates_that_are_not_there(redis_client: redis.asyncio.Redis) -> None:
    """They are the earliest there are."""
    await registered(redis_client, ALICE, line(auth=""), line("x", auth=1))
    await publish(redis_client, logout(logout_at=0), now_s=0)
    [event] = await evictions(redis_client)
    assert (["k"], []) == (keys_of(event), await left(redis_client))


async def test_some_of_a_users_sessions(redis_client: redis.asyncio.Redis) -> None:
    """In their order; and what stays is to the byte what it was."""
    later = [line(auth=AT + 1, keys=f'"later{number}"') for number in range(4)]
    ended = [line(keys='"a"'), line(keys='"b"', account=""), line(keys='"c"')]
    lines = [ended[0], *later[:2], ended[1], later[2], "x", ended[2], later[3]]
    await registered(redis_client, ALICE, *lines)
    assert 1 == (await publish(redis_client)).damaged
    [event] = await evictions(redis_client)
    assert (("a.b",), ["a", "b", "c"]) == (event.accounts, keys_of(event))
    assert later == await left(redis_client)


@pytest.mark.parametrize("client", ["c1", "c2"])
async def test_one_clients_sessions(redis_client: redis.asyncio.Redis, client: str) -> None:
    """Where a logout counts for one client the others' stay."""
    lines = {name: line(app=f'"{name}"', keys=f'"of {name}"') for name in ("c1", "c2")}
    await registered(redis_client, ALICE, *lines.values())
    await publish(redis_client, logout(client_id=client, applies_to="client"))
    [event] = await evictions(redis_client)
    assert [f"of {client}"] == keys_of(event)
    assert [text for name, text in lines.items() if name != client] == await left(redis_client)


def of_session(**changes: Any) -> Eviction:
    """A logout of the session."""
    return logout(sub=None, sid="s1", scope="session", **changes)


@pytest.mark.parametrize(
    ("lines", "named", "stay", "is_known"),
    [
        ([line()], ["k"], [], False),
        ([line(sid="other", keys='"o"'), line()], ["k"], [0], False),
        # By auth_time, also where another beginning is known.
        ([line(auth=AT, began=AT + 1)], ["k"], [], False),
        ([line(auth=AT + 1)], [], [0], True),
        ([line(auth=AT + 1), line(keys='"l"')], ["l"], [0], True),
        ([line(keys='"l"'), line(auth=AT + 1)], ["l"], [1], True),
    ],
)
async def test_a_session(
    redis_client: redis.asyncio.Redis, lines: list[str], named: list[str], stay: list[int], *, is_known: bool
) -> None:
    """It ends for all its users, but where it was begun anew; the users' other sessions stay."""
    bob = digest("sub", ISS, "bob")
    await registered(redis_client, ALICE, *lines)
    await registered(redis_client, bob, line(keys='"of bob"'))

    reply = await publish(redis_client, of_session())

    [event] = await evictions(redis_client)
    assert [*named, "of bob"] == keys_of(event)
    assert (0, 0, 0) == (reply.damaged, reply.beyond, event.beyond)
    assert [lines[number] for number in stay] == await left(redis_client)
    assert is_known == await redis_client.hexists(KEYS.session_bucket(SESSION), SESSION)
    assert [f"{AT}".encode(), None] == await redis_client.mget(KEYS.mark(SESSION), KEYS.mark(ALICE))


@pytest.mark.parametrize("sub", ["alice", "bob", "carol"])
async def test_a_session_and_a_user(redis_client: redis.asyncio.Redis, sub: str) -> None:
    """Where it is known to be another user's both together are marked, and nothing of it ends."""
    user, is_foreign = digest("sub", ISS, sub), sub == "carol"
    for known in ("alice", "bob"):
        await registered(redis_client, digest("sub", ISS, known), line())
    await redis_client.hset(KEYS.index_bucket(SESSION), SESSION, f'{AT},{HOME} "indexed"')

    await publish(redis_client, logout(sub=sub, sid="s1", scope="session"))

    [event] = await evictions(redis_client)
    assert ([] if is_foreign else ["k", "k"]) == keys_of(event)
    assert ("indexed" in event.accounts) != is_foreign
    both = await redis_client.mget(KEYS.mark(SESSION), KEYS.mark(f"{SESSION}+{user}"))
    assert [not is_foreign, is_foreign] == [text is not None for text in both]
    assert is_foreign == bool(await left(redis_client))


async def test_a_user_by_a_session(redis_client: redis.asyncio.Redis) -> None:
    """A logout of a user that names a session, too, ends all of that user's, and marks both."""
    await registered(redis_client, ALICE, line(), line(sid="other", keys='"o"'))
    await publish(redis_client, logout(sid="s1"))
    [event] = await evictions(redis_client)
    assert ["k", "o"] == keys_of(event)
    assert [f"{AT}".encode()] * 3 == await redis_client.mget(*map(KEYS.mark, (SESSION, ALICE, HOME)))


async def test_a_session_that_is_not_known(redis_client: redis.asyncio.Redis) -> None:
    """It is marked, for apps that register late."""
    await publish(redis_client, logout(sid="s1", scope="session"))
    assert [f"{AT}".encode(), None] == await redis_client.mget(KEYS.mark(SESSION), KEYS.mark(f"{SESSION}+{ALICE}"))


INDEXED = [
    (f'{AT},{HOME} "x.y"', ["x.y"], 0),
    (f'{AT},{HOME} "x.y",{HOME} "z"', ["x.y", "z"], 0),
    (f'{AT},{HOME} "x.y",{HOME} "x.y"', ["x.y"], 0),
    (f"{AT},damaged", [], 1),
    (f"{AT},{HOME} ", [], 1),
    (f'{AT},{HOME} x,{HOME} "y"', ["y"], 1),
    (f'{AT},{HOME} "y" "z"', [], 1),
    (f'{AT},{HOME} ["y"]', [], 1),
    (f'{AT},{HOME} "\\u00fc",{HOME} "\\q"', ["ü"], 1),
    (f'{AT},{HOME} "ü"', [], 1),
    (f'{AT},{HOME} "\\"ü"', [], 1),
    (f"{AT},{HOME} 5", [], 1),
    (f'{AT},{HOME} "', [], 1),
    (f'{AT},{HOME} ""', [""], 0),
    ("", [], 0),
    ("damaged", [], 0),
]


@pytest.mark.parametrize(("entry", "accounts", "damaged"), INDEXED)
async def test_what_was_found_in_caches(
    redis_client: redis.asyncio.Redis, entry: str, accounts: list[str], damaged: int
) -> None:
    """Accounts of the user, each once; what is not as it is written is counted and left out."""
    await redis_client.hset(KEYS.index_bucket(ALICE), ALICE, entry)
    assert damaged == (await publish(redis_client)).damaged
    [fields] = [fields for _, fields in await entries(redis_client)]
    assert accounts == json.loads(fields[b"event"])["data"]["accounts"]


async def test_accounts_in_the_order(redis_client: redis.asyncio.Redis) -> None:
    """Those that are known already come first, each once; a session's are found by its name."""
    await redis_client.hset(KEYS.index_bucket(SESSION), SESSION, f'{AT},{HOME} "a",{HOME} "c"')
    await publish(redis_client, of_session(accounts=("a", "b")))
    [event] = await evictions(redis_client)
    assert ("a", "b", "c") == event.accounts


async def test_keys_that_are_escaped(redis_client: redis.asyncio.Redis) -> None:
    """Any text, as long as it is JSON in ASCII."""
    good = ['"a,b","c\\"d"', '"\\u00fc"', '"\\\\",""']
    bad = [
        '"""',
        '"\\"',
        '"a""b"',
        '"a"x"b"',
        '"a",',
        '"a" ,"b"x',
        '"\\x"',
        '"ü"',
        "5",
        '"a",5',
        '"a',
        '"a"b',
        'a"',
        '["a"]',
        '"\\"","b",7',
    ]
    await registered(redis_client, ALICE, *(line(keys=keys) for keys in (*good, *bad)))
    assert len(bad) == (await publish(redis_client)).damaged
    [event] = await evictions(redis_client)
    assert [tuple(json.loads(f"[{keys}]")) for keys in good] == [session.keys for session in event.sessions]


@pytest.mark.parametrize(
    ("home", "marked"), [(HOME, True), ("abc", True), ("ab", False), ("a b c", False), ("", False)]
)
async def test_the_account_of_a_session(redis_client: redis.asyncio.Redis, home: str, *, marked: bool) -> None:
    """It is marked, also of a later one; so are the subjects that it has at other clients, and these end."""
    other = digest("sub", ISS, "alice-at-c2")
    await registered(redis_client, ALICE, line(auth=AT + 1, home=home))
    await registered(redis_client, other, line(keys='"o"', home=""))
    if len(home) > 2:
        await redis_client.hset(KEYS.account_bucket(home), home, f"{AT},{ALICE},{other}")
    await publish(redis_client)
    [event] = await evictions(redis_client)
    assert (["o"] if marked else []) == keys_of(event)
    found = await redis_client.mget(*map(KEYS.mark, (ALICE, home or "-", other)))
    assert [f"{AT}".encode(), *[f"{AT}".encode() if marked else None] * 2] == found


async def test_an_order_that_names_an_account(redis_client: redis.asyncio.Redis) -> None:
    """In place of a user: it is marked, and its subjects' sessions end."""
    await registered(redis_client, ALICE, line())
    await redis_client.hset(KEYS.account_bucket(HOME), HOME, f"{AT},{ALICE}")
    await publish(redis_client, logout(sub="a.b", account="a.b"))
    [event] = await evictions(redis_client)
    assert ["k"] == keys_of(event)
    assert [f"{AT}".encode()] * 2 == await redis_client.mget(KEYS.mark(HOME), KEYS.mark(ALICE))


@pytest.mark.parametrize(
    ("homes", "users", "beyond"), [(15, 16, 0), (16, 16, 0), (17, 1, 1), (20, 1, 4), (1, 257, 1), (2, 130, 4)]
)
async def test_how_much_is_marked(redis_client: redis.asyncio.Redis, homes: int, users: int, beyond: int) -> None:
    """Sixteen accounts and 256 subjects; how many more there are is told, in the event, too."""
    names = [digest("account", ISS, str(number)) for number in range(homes)]
    members = [f'{name} "{name}"' for name in names]
    await redis_client.hset(KEYS.index_bucket(ALICE), ALICE, ",".join([str(AT), *members]))
    for home in names:
        subjects = [digest("sub", ISS, f"{home}{number}") for number in range(users)]
        await redis_client.hset(KEYS.account_bucket(home), home, ",".join([str(AT), ALICE, *subjects]))

    assert beyond == (await publish(redis_client)).beyond

    assert [beyond] == [event.beyond for event in await evictions(redis_client)]
    assert bool(beyond) == any(b"beyond" in fields[b"event"] for _, fields in await entries(redis_client))
    marks = [name async for name in redis_client.scan_iter(KEYS.mark("*"), count=1000) if b"epoch" not in name]
    assert 1 + min(homes, 16) + min(min(homes, 16) * users, 256) == len(marks)


@pytest.mark.parametrize(
    ("lacks", "parts"),
    [(0, [3]), (1, [2, 1]), (11, [2, 1]), (12, [1, 1, 1]), (10**6, [1, 1, 1]), (11, [2, 2]), (12, [1, 1, 1, 1])],
)
async def test_what_is_too_much_for_one_event(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, lacks: int, parts: list[int]
) -> None:
    """It becomes several, each with an id and a number of its own; none is left out, however large."""
    accounts = [f"account{number}" for number in range(sum(parts))]
    head = len(logout(accounts=tuple(accounts)).to_json_head())
    # The head, what closes the event, a little for the id, and so much for each account with its quotes and comma.
    largest = head + len('],"sessions":[') + len("]}}") + 16 + 3 * len('"account0",')
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", max(0, largest - lacks))

    first = await publish(redis_client, logout(accounts=tuple(accounts)))

    found = await entries(redis_client)
    ids = ["e1", "e1-2", "e1-3", "e1-4"][: len(parts)]
    events = await evictions(redis_client)
    assert parts == [len(event.accounts) for event in events]
    assert accounts == [account for event in events for account in event.accounts]
    assert ids == [event.id for event in events]
    assert [str(number + 1).encode() for number in range(len(parts))] == [fields[b"n"] for _, fields in found]
    assert first.place == found[0][0].decode()
    assert [place for place, _ in found] == await redis_client.mget([KEYS.jti(one) for one in ids])
    assert {700} == {await life(redis_client, KEYS.jti(one)) for one in ids}


@pytest.mark.parametrize("before", [0, 98, 99, 100, 101])
async def test_further_events_of_a_jti(redis_client: redis.asyncio.Redis, before: int) -> None:
    """The last hundred are found by the first one's id."""
    first = replace(logout(), id=eviction_id(ISS, "j1"))
    key = KEYS.further(first.id)
    await publish(redis_client, first)
    assert not await redis_client.exists(key)
    ids = [f"i{number}" for number in range(before)]
    if ids:
        await redis_client.set(key, " ".join(ids))
    later = replace(first, logout_at=AT + 1)
    await publish(redis_client, later)
    found: Any = await redis_client.get(key)
    assert [*ids, id_if_reused(later)][-100:] == found.decode().split(" ")
    assert 700 == await life(redis_client, key)


@pytest.mark.parametrize("accounts", ["ab", "abc"])
async def test_parts_are_further_events(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, accounts: str
) -> None:
    """All but the first."""
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 1)
    first = replace(logout(accounts=tuple(accounts)), id=eviction_id(ISS, "j1"))
    await publish(redis_client, first)
    ids = [f"{first.id}-{number + 1}" for number in range(1, len(accounts))]
    assert " ".join(ids).encode() == await redis_client.get(KEYS.further(first.id))


@pytest.mark.parametrize(
    ("retention", "stay"),
    [
        (replace(RETENTION, max_events=10**6, max_age_s=10**9), 301),
        (replace(RETENTION, max_events=10**6, max_age_s=500), 101),
        (replace(RETENTION, max_events=150, max_age_s=10**9), 201),
    ],
)  # fmt: skip
async def test_old_entries_go(redis_client: redis.asyncio.Redis, retention: Retention, stay: int) -> None:
    """By their age on Redis's clock, or beyond so many; a hundred at a time."""
    seconds, _ = await redis_client.time()
    async with redis_client.pipeline(transaction=False) as pipeline:
        for number in range(300):
            at_ms = (seconds - (10_000 if number < 200 else 100)) * 1000
            add: Any = pipeline.xadd
            add(KEYS.events, {"event": "e", "n": 1}, id=f"{at_ms}-{number + 1}")
        await pipeline.execute()
    await publish(redis_client, retention=retention)
    assert stay == await redis_client.xlen(KEYS.events)
