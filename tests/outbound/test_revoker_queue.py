"""The revoker at work: bounded, several at once, closed; never in anybody's way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from receiver.ops.sections import OutboundSettings
from receiver.outbound.egress import Egress, Ways
from receiver.outbound.fetch import Fetcher
from receiver.outbound.revocation import Revoker
from tests.outbound.rig import DEADLINE_S, TOKEN, RevokingOP, make_revoker, of, revoking_op, tokens, total, working
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.outbound.conftest import Log
    from tests.outbound.rig import Counts

AT_ONCE = 4
"""What docs/revocation.md says."""


async def test_queue_is_bounded(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """Beyond its limit new tokens are dropped, counted and said once; those that wait are revoked."""
    revoker = make_revoker(of(revoking), counts=counts, max_waiting=2)
    for token in tokens(4):
        revoker.revoke("t1", "portal", token)
    assert {("t1", "dropped"): 2} == counts
    await revoker.aclose(drain_s=DEADLINE_S)

    assert sorted(tokens(2)) == sorted(revoking.tokens)
    assert {("t1", "dropped"): 2, ("t1", "ok"): 2} == counts
    assert len(log.lines("revocation.dropped")) == 1


async def test_slow_op_holds_up_nobody_else(revoking: RevokingOP, counts: Counts) -> None:
    """While one tenant's OP hangs with all it was given, another tenant's tokens are revoked."""
    release = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    async with revoking_op() as slow:
        slow.answers = [wait] * 20
        async with working(of(slow, "slow"), of(revoking), counts=counts) as revoker:
            for token in tokens(20):
                revoker.revoke("slow", "portal", token)
            revoker.revoke("t1", "portal", TOKEN)
            await until(lambda: counts)
            assert {("t1", "ok"): 1} == counts
            release.set()
            await until(lambda: total(counts) == 21)


async def test_several_requests_are_under_way_at_once(revoking: RevokingOP, counts: Counts) -> None:
    """One token that takes long does not hold up those behind it."""
    all_here = asyncio.Event()

    async def wait_for_all(_: web.Request) -> web.Response:
        if len(revoking.received) == AT_ONCE:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), DEADLINE_S)
        return web.Response()

    revoking.answers = [wait_for_all] * AT_ONCE
    async with working(of(revoking), counts=counts) as revoker:
        for token in tokens(AT_ONCE):
            revoker.revoke("t1", "portal", token)
        await until(lambda: total(counts) == AT_ONCE)

    assert {("t1", "ok"): AT_ONCE} == counts


async def test_closing_sends_what_waits(revoking: RevokingOP, counts: Counts) -> None:
    """Closed in good order, everything that was handed over is revoked first; later ones are dropped."""
    async with working(of(revoking), counts=counts) as revoker:
        for token in tokens(50):
            revoker.revoke("t1", "portal", token)
    revoker.revoke("t1", "portal", TOKEN)

    assert sorted(tokens(50)) == sorted(revoking.tokens)
    assert {("t1", "ok"): 50, ("t1", "dropped"): 1} == counts


async def test_closing_has_its_time(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """An OP that hangs does not keep the process: what is left is counted as dropped, and said."""

    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(DEADLINE_S)
        return web.Response()

    revoking.answers = [never] * 50
    revoker = make_revoker(of(revoking), counts=counts, timeout_s=60.0)
    task = asyncio.create_task(revoker.run())
    for token in tokens(9):
        revoker.revoke("t1", "portal", token)
    async with asyncio.timeout(DEADLINE_S / 2):
        await revoker.aclose(drain_s=0.1)
        await task

    assert {("t1", "dropped"): 9} == counts
    [line] = log.lines("revocation.left")
    assert ("t1", 9) == (line["tenant"], line["count"])


async def test_cancelled_work_is_taken_up_by_closing(revoking: RevokingOP, counts: Counts) -> None:
    """A `run` that is cancelled loses nothing it had in hand: `aclose` still revokes it."""
    begun = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        begun.set()
        await asyncio.sleep(DEADLINE_S)
        return web.Response()

    revoking.answers = [never]
    revoker = make_revoker(of(revoking), counts=counts)
    task = asyncio.create_task(revoker.run())
    revoker.revoke("t1", "portal", TOKEN)
    await asyncio.wait_for(begun.wait(), DEADLINE_S)
    task.cancel()
    await asyncio.wait([task])
    await revoker.aclose(drain_s=DEADLINE_S)

    assert task.cancelled()
    assert {("t1", "ok"): 1} == counts


async def test_closing_what_never_ran(counts: Counts) -> None:
    """A revoker without tenants, or never used, closes at once, also twice."""
    revoker = make_revoker(counts=counts)
    revoker.revoke("t1", "portal", TOKEN)
    async with asyncio.timeout(DEADLINE_S):
        await revoker.aclose()
        await revoker.aclose()

    assert not counts


class _CountedFetcher(Fetcher):
    """Counts how often it was opened and closed."""

    opened = closed = 0

    async def open(self) -> None:
        self.opened += 1
        await super().open()

    async def aclose(self) -> None:
        await super().aclose()
        self.closed += 1


def _counted_fetcher() -> _CountedFetcher:
    return _CountedFetcher(OutboundSettings(), Ways(Egress(ca_file=None, proxy_url=None), {}))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_cancelled_while_it_ends_it_closes_its_connections(
    revoking: RevokingOP, counts: Counts, turns: int
) -> None:
    """A second cancellation, at any moment of the end, leaves no connection open."""
    fetcher = _counted_fetcher()
    running = asyncio.create_task(Revoker([of(revoking)], fetcher, count=counts).run())
    await until(lambda: fetcher.opened)

    running.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])

    assert running.cancelled()
    assert (1, 1) == (fetcher.opened, fetcher.closed)


async def test_cancelled_closing_leaves_nothing_running(revoking: RevokingOP, counts: Counts) -> None:
    """Closing that is cancelled while it sends what waits ends its requests and closes their connections."""

    async def wait_for_ever(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    revoking.answers = [wait_for_ever]
    fetcher = _counted_fetcher()
    revoker = Revoker([of(revoking)], fetcher, count=counts)
    revoker.revoke("t1", "portal", TOKEN)
    closing = asyncio.create_task(revoker.aclose(drain_s=DEADLINE_S))
    await until(lambda: revoking.received)

    closing.cancel()
    await asyncio.wait([closing])

    assert closing.cancelled()
    assert (1, 1) == (fetcher.opened, fetcher.closed)
