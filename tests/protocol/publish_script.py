"""The script that publishes, one call at a time, and what is registered for it to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.bus.events.publish import PUBLISH, Retention
from receiver.bus.events.publish_arguments import PublishArguments
from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction
from receiver.core.index_names import PLAIN
from receiver.core.marks import digest

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
    given = PublishArguments(KEYS, retention, PLAIN, lambda _: float(skew_s))
    arguments = [*given(eviction or logout(), now_s)]
    arguments[-2:] = source, skew_s if source else 0
    place, repeated, event_id, *rest = await PUBLISH.run(client, [str(key) for key in arguments[:3]], arguments[3:])
    return Reply(place.decode(), repeated, event_id.decode(), *rest)


async def life(client: redis.asyncio.Redis, name: str) -> int:
    """Seconds for which it is kept, to the hundred above."""
    return -(-int(await client.ttl(name)) // 100) * 100


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


def of_session(**changes: Any) -> Eviction:
    """A logout of the session."""
    return logout(sub=None, sid="s1", scope="session", **changes)
