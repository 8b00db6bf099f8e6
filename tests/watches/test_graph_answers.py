"""Microsoft Graph, watched: a directory that answers late, in part, not at all, or with something else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from receiver.ingress.inputs.graph import PATIENCE_S
from receiver.ingress.inputs.poller import LEASE_S
from tests.support.clock import NOW, Clock
from tests.watches.graph_rig import (
    DELETED,
    DISABLED,
    INTERVAL_S,
    REVOKED,
    SWEEP_S,
    account,
    names,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import redis.asyncio

    from tests.support.graph import Graph
    from tests.watches.conftest import Watching

    Start = Callable[..., AbstractAsyncContextManager[Watching]]


@pytest.mark.parametrize("filters_dates", [True, False], ids=["filter", "pages"])
async def test_delta_that_is_silent_about_revocations(
    graph: Graph, watch: Start, clock: Clock, caplog: pytest.LogCaptureFixture, *, filters_dates: bool
) -> None:
    """What delta queries do not tell is found in another way, and that they do not tell it is noticed and said."""
    graph.delta, graph.filters_dates, graph.page = "silent", filters_dates, 2
    users = [graph.add(number) for number in range(5)]
    caplog.set_level(logging.INFO, "receiver.graph")
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        clock.advance(SWEEP_S)
        graph.revoke(users[4])
        await watching.job.turn()
        assert [(account(users[4]), REVOKED, NOW + SWEEP_S)] == await watching.told()

        clock.advance(PATIENCE_S)
        await watching.job.turn()
    by = [vars(one)["fields"]["by"] for one in caplog.records if one.message == "graph.dates_by"]
    assert ["filter" if filters_dates else "pages"] == by
    assert (names(caplog).count("graph.filter_unsupported") == 0) is filters_dates


@pytest.mark.parametrize("tenant_type", ["AAD B2C", "CIAM"])
async def test_directory_without_delta(
    graph: Graph, watch: Start, clock: Clock, caplog: pytest.LogCaptureFixture, tenant_type: str
) -> None:
    """External ID and B2C are not asked by delta query; the log says so at start, and nothing is missed."""
    graph.tenant_type = tenant_type
    revoked, disabled, deleted = (graph.add(number) for number in range(3))
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        assert ["graph.delta_unsupported"] == names(caplog)
        clock.advance(SWEEP_S)
        graph.revoke(revoked)
        graph.enable(disabled, enabled=False)
        graph.delete(deleted)
        await watching.job.turn()
        assert [(account(revoked), REVOKED), (account(disabled), DISABLED), (account(deleted), DELETED)] == sorted(
            one[:2] for one in await watching.told()
        )
    assert 0 == graph.times_asked("delta")


@pytest.mark.parametrize("delta", ["unsupported", "without-dates"])
async def test_directory_that_refuses(graph: Graph, watch: Start, clock: Clock, delta: str) -> None:
    """Where delta queries, or the property in them, are refused, and the type is not to be had, the rest is asked."""
    graph.delta, graph.tenant_type = delta, None
    revoked, disabled = graph.add(1), graph.add(2)
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        clock.advance(SWEEP_S)
        graph.revoke(revoked)
        graph.enable(disabled, enabled=False)
        await watching.job.turn()
        assert [(account(revoked), REVOKED), (account(disabled), DISABLED)] == sorted(
            one[:2] for one in await watching.told()
        )
        assert "" == watching.job.problem


async def test_resync(graph: Graph, watch: Start, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """After 410 nothing is missed that happened since the last good look, and what was told is not told again."""
    revoked, disabled, deleted, before = (graph.add(number) for number in range(4))
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        graph.enable(before, enabled=False)
        await watching.job.turn()
        clock.advance(8 * 86_400)
        graph.revoke(revoked)
        graph.enable(disabled, enabled=False)
        graph.delete(deleted)
        graph.forgotten = 4
        clock.advance(INTERVAL_S)
        assert INTERVAL_S == await watching.job.turn()
        assert [
            (account(revoked), REVOKED), (account(disabled), DISABLED), (account(deleted), DELETED),
            (account(before), DISABLED),
        ] == sorted(one[:2] for one in await watching.told())  # fmt: skip
        graph.revoke(before)
        clock.advance(INTERVAL_S)
        await watching.job.turn()
        assert 5 == len(await watching.told())
    assert 1 == names(caplog).count("graph.resync")


@pytest.mark.parametrize("status", [429, 503])
async def test_throttled(graph: Graph, watch: Start, clock: Clock, status: int) -> None:
    """`Retry-After` is obeyed, by the receiver that takes over too, and then everything is taken in."""
    user = graph.add(1)
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        clock.advance(INTERVAL_S)
        graph.revoke(user)
        graph.answers = [(status, "120")]
        assert 120.0 == await watching.job.turn()
        assert str(status) in watching.job.problem
        await watching.job.release()

    asked = len(graph.asked)
    clock.advance(20)
    async with watch(graph.tenant()) as successor:
        assert 100.0 == await successor.job.turn()
        assert asked == len(graph.asked)
        clock.advance(100)
        assert INTERVAL_S == await successor.job.turn()
        assert [(account(user), REVOKED, NOW + INTERVAL_S)] == await successor.told()


async def test_what_is_not_durable_comes_again(
    graph: Graph, watch: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While events cannot be published the position stands still; then each is published once."""
    revoked, disabled = graph.add(1), graph.add(2)
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        graph.revoke(revoked)
        graph.enable(disabled, enabled=False)
        with watching.nothing_published(monkeypatch):
            await watching.job.turn()
            assert watching.job.problem
        clock.advance(INTERVAL_S)
        await watching.job.turn()
        assert [(account(revoked), REVOKED), (account(disabled), DISABLED)] == sorted(
            one[:2] for one in await watching.told()
        )


async def test_one_receiver_watches(graph: Graph, watch: Start) -> None:
    """The one with the lease; another goes on from its position when it is given up."""
    user = graph.add(1)
    async with watch(graph.tenant()) as first, watch(graph.tenant()) as second:
        await first.job.turn()
        assert LEASE_S / 3 == await second.job.turn()
        await first.job.release()
        graph.revoke(user)
        await second.job.turn()
        assert LEASE_S / 3 == await first.job.turn()
        assert [account(user)] == [one[0] for one in await second.told()]
        assert 1 == graph.times_asked("latest")


async def test_token_that_was_withdrawn(graph: Graph, watch: Start) -> None:
    """A 401 is answered with a new token, once; one token serves all requests meanwhile."""
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        await watching.job.turn()
        assert 1 == graph.tokens
        graph.tokens = 7
        await watching.job.turn()
        assert (8, "") == (graph.tokens, watching.job.problem)


async def test_no_token(graph: Graph, watch: Start) -> None:
    """A wrong secret is a problem of the job; the reason names neither the secret nor the answer."""
    async with watch(graph.tenant(client_secret="wrong")) as watching:
        await watching.job.turn()
        assert "invalid_client" in watching.job.problem
        assert "wrong" not in watching.job.problem


async def test_link_to_another_host(graph: Graph, watch: Start, redis_client: redis.asyncio.Redis) -> None:
    """The token is sent to the configured host only, wherever a link leads."""
    async with watch(graph.tenant()) as watching:
        await redis_client.hset("{logout}:watch:graph:t1", items=["link", "https://evil.example/v1.0/users/delta"])
        await watching.job.turn()
        assert "another host" in watching.job.problem


@pytest.mark.parametrize(
    "answer",
    [[], {"value": [{"id": "x"}]}, {"value": [{}]}, {"value": {}}, {"value": [], "@odata.nextLink": 1}],
)
async def test_answer_that_is_no_page(graph: Graph, watch: Start, answer: Any) -> None:
    """A page that cannot be read whole is taken in not at all, and the position stands still."""
    user = graph.add(1)
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        graph.revoke(user)
        graph.bodies = [answer]
        await watching.job.turn()
        assert watching.job.problem
        assert INTERVAL_S == await watching.job.turn()
        assert 1 == len(await watching.told())
