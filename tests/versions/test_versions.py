"""An update while logouts come in, and the way back: nothing is lost, and no app is told to drop everything."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from receiver.core.eviction import Eviction, Input
from receiver.core.tenants import Tenant
from tests.chaos.notes import Notes, Read
from tests.chaos.sender import Sender
from tests.support.receiver import EVENTS
from tests.versions.releases import Release, releases
from tests.versions.town import Slot, Town, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    """The earlier release and the present one."""
    return releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """A Redis and an OP."""
    async with Town(tmp_path) as running:
        yield running


@pytest.mark.parametrize("direction", ["update", "rollback"])
async def test_rolling_change_under_load(
    town: Town, both: tuple[Release, Release], tmp_path: Path, direction: str
) -> None:
    """One process after the other is replaced while logouts come in: each is heard by all, once counted, none reset."""
    before, after = both if direction == "update" else both[::-1]
    receivers = [town.receiver() for _ in range(2)]
    evictors = [town.evictor() for _ in range(2)]
    listener, listened = town.consumer("async", "portal")
    thread, heard_in_thread = town.consumer("thread", "orders")
    workers = [town.consumer("group", "cache") for _ in range(2)]
    slots: list[Slot] = (
        [slot for slot, _, _ in receivers] + evictors + [listener, thread] + [slot for slot, _ in workers]
    )
    await asyncio.gather(*(slot.run(before) for slot in slots))
    acknowledged = Notes(tmp_path / "acknowledged.notes")
    sender = Sender(town.op, [url for _, url, _ in receivers], acknowledged, town.tokens, random.Random(1))  # noqa: S311  # not a secret
    sending = asyncio.create_task(sender.run(30 * (len(slots) + 2)))
    try:
        sender.allow(30)
        for slot in slots:
            sender.allow(30)
            await slot.run(after)
        sender.allow(30)
        await sending
    finally:
        sending.cancel()
        acknowledged.close()
    expected = {line.split()[0] for line in (tmp_path / "acknowledged.notes").read_text().splitlines()}

    assert len(expected) > 100
    for reads in ([listened], [heard_in_thread], [read for _, read in workers]):
        await all_heard(expected, reads, town)
    await eventually(lambda: not any(slot.child is not None and slot.child.died for slot in slots))
    users = [sender.users[event_id] for event_id in expected]
    async with asyncio.timeout(60):
        while await town.tokens.left(users):
            await asyncio.sleep(0.2)


async def all_heard(expected: set[str], reads: list[Read], town: Town) -> None:
    """Every logout is noted, and no reset."""

    def missing() -> set[str]:
        for read in reads:
            read.refresh()
        return expected - {event_id for read in reads for event_id in read.first}

    try:
        await eventually(lambda: not missing())
    except TimeoutError:
        pytest.fail(f"{len(missing())} of {len(expected)} not heard\n{town.logs()}")
    assert 0 == sum(read.resets for read in reads), town.logs()


@pytest.mark.parametrize("direction", ["update", "rollback"])
async def test_outbox_of_the_other_release(town: Town, both: tuple[Release, Release], direction: str) -> None:
    """What one release has in its outbox when it is killed, the other one publishes."""
    before, after = both if direction == "update" else both[::-1]
    slot, url, _ = town.receiver()
    listener, listened = town.consumer("async", "portal")
    await slot.run(before)
    await listener.run(after)
    assert 200 == await town.log_out(url, sub="warm-up", jti="warm-up")
    await asyncio.to_thread(town.redis.kill)
    for number in range(20):
        assert 200 == await town.log_out(url, sub=f"u{number}", jti=f"j{number}")
    await slot.run(after)
    await asyncio.to_thread(town.redis.start)

    def heard() -> int:
        listened.refresh()
        return len(listened.first)

    await eventually(lambda: heard() == 21)
    assert 0 == listened.resets


@pytest.mark.parametrize("direction", ["update", "rollback"])
async def test_repeats_at_the_other_release(town: Town, both: tuple[Release, Release], direction: str) -> None:
    """A token that one release has published is a repeat at the other, also when it is for two clients."""
    one, other = both if direction == "update" else both[::-1]
    (first, url, _), (second, other_url, _) = town.receiver(), town.receiver()
    await asyncio.gather(first.run(one), second.run(other))
    claims: dict[str, object] = {"iat": int(time.time())}

    for number, aud in enumerate(("c1", ["c1", "c2"])):
        for at in (url, other_url, url, other_url):
            assert 200 == await town.log_out(at, jti=f"j{number}", aud=aud, **claims)

    async with redis.asyncio.Redis.from_url(town.redis.url) as client:
        assert 2 == await client.xlen(EVENTS)


@pytest.mark.parametrize("direction", ["update", "rollback"])
async def test_sign_ins_registered_at_the_other_release(
    town: Town, both: tuple[Release, Release], direction: str
) -> None:
    """A logout at one release ends the session registered at the other; a later sign-in lives at both."""
    one, other = both if direction == "update" else both[::-1]
    (first, url, api), (second, _, other_api) = town.receiver(), town.receiver()
    await asyncio.gather(first.run(one), second.run(other))
    now_s = int(time.time())
    user = uuid.uuid4().hex
    session = {
        "iss": town.op.issuer,
        "client_id": "c1",
        "sub": user,
        "sid": "s1",
        "auth_time": now_s - 60,
        "iat": now_s,
    }
    assert 200 == (await town.call(other_api, "PUT", "/sessions", session))[0]

    assert 200 == await town.log_out(url, sub=user, sid="s1")

    for at in (api, other_api):
        assert (200, {"signed_out": True}) == await town.call(at, "POST", "/sessions/check", session)
        assert 409 == (await town.call(at, "PUT", "/sessions", session))[0]
    anew = {**session, "sid": "s2", "auth_time": int(time.time()) + 1, "iat": int(time.time()) + 1}
    assert 200 == (await town.call(api, "PUT", "/sessions", anew))[0]
    for at in (api, other_api):
        assert (200, {"signed_out": False}) == await town.call(at, "POST", "/sessions/check", anew)


READ = """
import sys
from receiver.core.eviction import Eviction

for line in sys.stdin:
    read = Eviction.from_json(line)
    print(read.input, read.scope, read.sub or "-", read.sid or "-", *read.accounts)
"""


def test_events_of_every_way_in_are_read_by_the_earlier_release(both: tuple[Release, Release]) -> None:
    """Kinds and scopes are those it knows; members that are new do it no harm."""
    ways: list[tuple[Input, str | None, str | None, str | None]] = [
        ("backchannel", None, "u1", "s1"), ("frontchannel", None, None, "s1"), ("revocation", None, "u1", None),
        ("ssf", "ssf-push", "u1", None), ("admin", None, "u1", None),
    ]  # fmt: skip
    tenant = Tenant(name="t1", issuer="https://op.example", client_ids=frozenset({"c1"}), account_from_sub=False)
    made = [
        Eviction.for_subject(
            tenant, id=f"{number:032x}", iss=tenant.issuer, sub=sub, sid=sid, logout_at=1, received_at=1.0, input=kind,
            origin=origin, applies_to="tenant", reason="why",
        )
        for number, (kind, origin, sub, sid) in enumerate(ways)
    ]  # fmt: skip
    made.append(replace(made[-1], sub="uid.utid", account="uid.utid", accounts=("uid.utid",)))
    lines = "".join(eviction.to_json() + "\n" for eviction in made)

    read = subprocess.run(
        [sys.executable, "-c", READ], cwd=both[0].root, input=lines, capture_output=True, text=True, check=True,
        timeout=60,
    ).stdout  # fmt: skip

    assert [
        "backchannel session u1 s1", "frontchannel session - s1", "revocation user u1 -", "ssf user u1 -",
        "admin user u1 -", "admin user uid.utid - uid.utid",
    ] == read.splitlines()  # fmt: skip
