"""Held tokens in the outbox: they survive a restart, and are judged and bounded as ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from receiver.ingress.outbox.file import OutboxFile
from tests.keys.rig import Rig, start_rig
from tests.outbox.waiting import jtis, waiting
from tests.support.keys import rsa_pair
from tests.support.receiver import t1

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.ingress.outbox.records import HeldRow
    from tests.support.clock import Clock
    from tests.support.op import OP

    class StartRig(Protocol):
        """Run a receiver whose periodic tasks stand still; keyword arguments are settings sections."""

        def __call__(
            self, tenants: list[dict[str, Any]] | None = None, **sections: Any
        ) -> AbstractAsyncContextManager[Rig]:
            """Run it."""


RETRY_S = 10.0


@pytest.fixture
def run(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, path: Path) -> StartRig:
    """One receiver after the other, on the same outbox."""

    def start(tenants: list[dict[str, Any]] | None = None, **sections: Any) -> AbstractAsyncContextManager[Rig]:
        given = {"outbox": {"path": str(path)}, **sections}
        return start_rig(redis_server.url, redis_client, clock, tenants or [t1(op)], **given)

    return start


def on_disk(path: Path) -> list[HeldRow]:
    """The held tokens of a closed outbox."""
    file = OutboxFile(path, max_entries=10, max_bytes=1 << 20)
    try:
        return file.held()
    finally:
        file.close()


async def test_restart_while_the_op_is_away(run: StartRig, op: OP, clock: Clock, path: Path) -> None:
    """Tokens that came when no keys could be had are published by the next process, as of their receipt."""
    op.status = 500
    received_at = clock()
    async with run() as rig:
        for number in range(3):
            assert 503 == (await rig.post(op.token(jti=f"j{number}"))).status
    op.status = 200
    # Longer than their exp: they are judged by the time they came.
    clock.advance(600)
    async with run() as rig:
        assert 3 == rig.waiting
        await rig.retry()

        events = await rig.events()
        assert (["j0", "j1", "j2"], 0, 3) == (jtis(events), rig.waiting, rig.held("accepted"))
        assert {received_at} == {event["data"]["logout_at"] for event in events}
    assert [] == on_disk(path)


async def test_crash_after_holding(run: StartRig, op: OP, path: Path) -> None:
    """They are on disk while the process runs, not only when it stops."""
    op.status = 500
    async with run() as rig:
        await rig.post(op.token(jti="j0"))
        await rig.verifier.held.save()
        # What a crash would leave: the database and its log, as they are now.
        for suffix in ("", "-journal"):
            content = path.with_name(path.name + suffix).read_bytes()
            path.with_name("crashed.db" + suffix).write_bytes(content)
    token = on_disk(path.with_name("crashed.db"))[0].token

    assert [token] == [row.token for row in on_disk(path)]


async def test_restart_within_the_cooldown(run: StartRig, op: OP, clock: Clock) -> None:
    """A token of a key nobody has yet is not refused by the old keys after a restart; its key is waited for."""
    new = rsa_pair("k2")
    async with run() as rig:
        assert 200 == (await rig.post(op.token(jti="warm"))).status
        assert 400 == (await rig.post(op.token(key=new, header={"kid": "k2"}, jti="waits"))).status
        assert 1 == rig.waiting
    async with run() as rig:
        # The first look finds the keys other replicas share, which lack it, and may not fetch more.
        await rig.retry()
        assert (1, 0) == (rig.waiting, rig.held("refused"))
        op.keys.append(new.published())
        clock.advance(60)
        await rig.retry()

        assert "waits" == jtis(await rig.events())[-1]
        assert (0, 1) == (rig.waiting, rig.held("accepted"))


async def test_bounds_hold_over_a_restart(run: StartRig, op: OP, clock: Clock, path: Path) -> None:
    """Number and time are bounded as without a restart; the oldest give way, on disk too."""
    op.status = 500
    async with run() as rig:
        for number in range(5):
            await rig.post(op.token(jti=f"j{number}"))
    assert 5 == len(on_disk(path))
    async with run(keys={"held_tokens": 3}) as rig:
        assert (3, 2) == (rig.waiting, rig.held("displaced"))
        await rig.post(op.token(jti="j5"))
        assert 3 == rig.waiting
    assert 3 == len(on_disk(path))
    clock.advance(901)
    async with run() as rig:
        await rig.retry()
        assert (0, 3) == (rig.waiting, rig.held("expired"))
    assert [] == on_disk(path)


async def test_tenant_that_is_gone(run: StartRig, op: OP, path: Path) -> None:
    """A held token of a tenant that was removed is dropped at start, and stops nothing."""
    op.status = 500
    async with run() as rig:
        await rig.post(op.token())
    async with run([t1(op, issuer="https://other.example")]) as rig:
        assert 0 == rig.waiting
    assert [] == on_disk(path)


async def test_keys_come_while_redis_is_away(
    own_redis: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, path: Path
) -> None:
    """A held token that verifies during an outage of Redis moves on into the outbox."""
    op.status = 500
    sections: dict[str, Any] = {"outbox": {"path": str(path)}, "redis": {"publish_timeout_s": 0.5}}
    async with start_rig(own_redis.url, redis_client, clock, [t1(op)], **sections) as rig:
        await rig.post(op.token())
        own_redis.kill()
        op.status = 200
        clock.advance(RETRY_S)
        await rig.retry()

        assert (0, 1) == (rig.waiting, rig.held("accepted"))
        assert 1 == waiting(rig.receiver)
