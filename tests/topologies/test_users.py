"""Publisher, consumer and registry with exactly the rights on the pages, on each topology."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.link.connection import connect, ping
from receiver.consumer import Eviction, Sessions, Subscriber, ThreadSessions
from receiver.tasks import cancel
from tests.support.receiver import start_receiver, t1
from tests.topologies.servers import DEADLINE_S, Cluster, SentinelSetUp

if TYPE_CHECKING:
    from tests.support.clock import Clock
    from tests.support.op import OP

pytestmark = pytest.mark.topology


@pytest.fixture(params=["sentinel", "cluster"])
def topology(request: pytest.FixtureRequest) -> SentinelSetUp | Cluster:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


SENTINEL_USER = {"sentinel_username": "receiver", "sentinel_password": "secret"}


async def test_documented_rights_are_enough(topology: SentinelSetUp | Cluster, clock: Clock, op: OP) -> None:
    """The service publishes and waits for a replica, an app registers (async and not), another one listens."""
    access = {"username": "receiver", "password": "secret"}
    if "sentinel" in topology.url():
        access |= SENTINEL_USER
    heard: asyncio.Queue[Eviction] = asyncio.Queue()
    subscriber = Subscriber(topology.url("listener:secret@"), heard.put, app="portal", acknowledge=False)
    listening = asyncio.create_task(subscriber.run())
    sessions = Sessions(topology.url("sessions:secret@"))
    sync_sessions = ThreadSessions(topology.url("sessions:secret@"))
    jtis = [str(uuid.uuid4()) for _ in range(3)]
    sub = str(uuid.uuid4())
    claims = {"iss": op.issuer, "aud": "c1", "sub": sub, "sid": sub, "auth_time": clock() - 1}
    client = connect(topology.url(), timeout_s=2)
    try:
        # A receiver of another test may have found an empty server, and ended all sessions from before.
        await client.delete(KeyNames().epoch)
        assert await sessions.register(claims, home_account_id="uid.utid", keys=["k1"])
        assert await asyncio.to_thread(sync_sessions.register, claims | {"sid": "s2"})
        async with start_receiver(
            topology.url(), client, clock, [t1(op)], redis={**access, "wait_replicas": 1}
        ) as receiver:
            for jti in [*jtis, jtis[0]]:
                answer = await receiver.post(op.token(jti=jti, sub=sub, sid=sub))
                assert 200 == answer.status, answer.text
            assert jtis == [event["data"]["jti"] for event in await receiver.events()][-3:]
        async with asyncio.timeout(DEADLINE_S):
            # Others have published here too.
            while (first := await heard.get()).jti not in jtis:
                pass
        assert (jtis[0], True) == (first.jti, "uid.utid" in first.accounts)
        assert await sessions.is_signed_out(claims)
        assert await asyncio.to_thread(sync_sessions.is_signed_out, claims)
        await client.delete(KeyNames().events, KeyNames().sequence)
    finally:
        await cancel(listening)
        await sessions.aclose()
        sync_sessions.close()
        await client.aclose()


async def test_sentinel_password_is_not_redis_s(sentinel: SentinelSetUp) -> None:
    """A Sentinel's user that does not exist is refused, and Redis's own password is never offered instead."""
    client = connect(
        sentinel.url("receiver:secret@"), timeout_s=2, sentinel_username="nobody", sentinel_password="secret"
    )
    assert "AuthenticationError: user name or password is missing or wrong" == await ping(client)
    await client.aclose()
