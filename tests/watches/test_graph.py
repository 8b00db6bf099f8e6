"""Microsoft Graph, watched: what an Entra administrator does reaches every app."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.consumer import Subscriber
from receiver.consumer.msal_cache import forget_account
from receiver.core.sign_in import SignIn
from receiver.errors import ConfigurationError
from receiver.ingress.inputs.graph import CONTROL_S, OVERLAP_S, PATIENCE_S
from receiver.ingress.server import running
from receiver.ops.settings import Settings
from tests.ingress.test_inputs_to_msal import filled_cache, tokens_in
from tests.support.clock import NOW, Clock
from tests.support.graph import CLIENT, DIRECTORY, VALID_FROM, Graph
from tests.support.receiver import start_receiver
from tests.watches.graph_rig import (
    DEADLINE_S,
    DELETED,
    DISABLED,
    INTERVAL_S,
    LONG_AGO,
    REVOKED,
    SWEEP_S,
    account,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.eviction import Eviction
    from tests.watches.conftest import Watching

    Start = Callable[..., AbstractAsyncContextManager[Watching]]


async def test_what_an_administrator_does(graph: Graph, watch: Start, clock: Clock) -> None:
    """Sessions revoked, an account disabled and one deleted: each ends its user, by the account that MSAL keeps."""
    revoked, disabled, deleted, untouched = (graph.add(number) for number in range(4))
    async with watch(graph.tenant()) as watching:
        assert INTERVAL_S == await watching.job.turn()
        clock.advance(LONG_AGO)
        graph.revoke(revoked)
        clock.advance(20)
        graph.enable(disabled, enabled=False)
        graph.delete(deleted)
        assert INTERVAL_S == await watching.job.turn()

        assert [
            (account(revoked), REVOKED, NOW + LONG_AGO), (account(disabled), DISABLED, NOW + LONG_AGO + 20),
            (account(deleted), DELETED, NOW + LONG_AGO + 20),
        ] == sorted(await watching.told())  # fmt: skip
        data = (await watching.receiver.events())[0]["data"]
        assert ("revocation", "graph", "user", graph.tenant()["issuer"]) == (
            data["input"], data["origin"], data["scope"], data["iss"],
        )  # fmt: skip
        assert 1 == watching.receiver.count(input="graph", outcome="ok", code="ok")
        assert account(untouched) not in str(await watching.told())


async def test_tokens_are_gone_from_the_cache(
    graph: Graph, watch: Start, clock: Clock, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """From `revokeSignInSessions` to an MSAL cache without the account, and a registered sign-in that is over."""
    user = graph.add(1)
    cache, emptied = filled_cache(user, DIRECTORY), asyncio.Event()

    def handle(eviction: Eviction) -> None:
        for one in eviction.accounts:
            forget_account(cache, one, logout_at=eviction.logout_at)
        emptied.set()

    sign_in = SignIn(
        iss=graph.tenant()["issuer"], client_ids=("c1",), sub="pairwise", sid="s1", auth_time=NOW - 60,
        home_account_id=account(user),
    )  # fmt: skip
    sign_ins = SignIns(lambda: redis_client, KeyNames(), clock=clock)
    async with watch(graph.tenant()) as watching, Subscriber(redis_server.url, handle, app="shop"):
        await sign_ins.register(sign_in, lifetime_s=600)
        await watching.job.turn()
        before = tokens_in(cache)
        graph.revoke(user)
        await watching.job.turn()
        async with asyncio.timeout(DEADLINE_S):
            await emptied.wait()
        assert (2, 0) == (before, tokens_in(cache))
        assert (await sign_ins.ask(sign_in, skew_s=60.0)).ended


async def test_the_command_has_no_public_listener(
    graph: Graph, redis_server: EmbeddedRedis, clock: Clock, tmp_path: Path
) -> None:
    """`receiver watch-graph` runs the watchers, answers probes, takes no logout token, and drains; it has no outbox."""
    settings = Settings(
        public={"host": "127.0.0.1", "port": 0}, internal={"host": "127.0.0.1", "port": 0},
        redis={"url": redis_server.url}, tenants=[graph.tenant(command="watch-graph")],
        outbox={"path": str(tmp_path / "outbox.db")},
    )  # fmt: skip
    async with running(settings, clock=clock, command="watch-graph") as server:
        assert [] == list(tmp_path.iterdir())  # noqa: ASYNC240  # before anything else runs
        assert "input:graph:t1" in server.jobs.report()
        assert (0, True) == (server.public_port, server.internal_port > 0)
        await server.drain()
        assert server.state.draining


async def test_nothing_is_told_twice(graph: Graph, watch: Start, clock: Clock) -> None:
    """A look that finds the same again, by delta query, by filter or after a restart, makes no further event."""
    revoked, disabled = graph.add(1), graph.add(2)
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        graph.revoke(revoked)
        graph.enable(disabled, enabled=False)
        for _ in range(3):
            await watching.job.turn()
            clock.advance(INTERVAL_S)
        assert (1, 0) == tuple(
            watching.receiver.count(input="graph", outcome=outcome, code="ok") for outcome in ("ok", "duplicate")
        )
        await watching.job.release()
    async with watch(graph.tenant()) as successor:
        await successor.job.turn()
        assert 2 == len(await successor.told())


async def test_what_was_before_the_watch_is_left(graph: Graph, watch: Start) -> None:
    """The first look notes who is disabled and deleted, and ends no session for it."""
    graph.enable(graph.add(1), enabled=False)
    graph.delete(graph.add(2))
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        await watching.job.turn()
        assert [] == await watching.told()


async def test_disabled_again(graph: Graph, watch: Start, clock: Clock) -> None:
    """An account that was enabled in between ends again; one that is still disabled does not."""
    user = graph.add(1)
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        for enabled in (False, True, False, False):
            clock.advance(INTERVAL_S)
            graph.enable(user, enabled=enabled)
            await watching.job.turn()
        assert [(account(user), DISABLED, NOW + 30), (account(user), DISABLED, NOW + 90)] == await watching.told()


async def test_reading_all_users_is_rare_where_delta_tells(graph: Graph, watch: Start, clock: Clock) -> None:
    """Where delta queries tell of revocations, all users are read hourly; oftener again after one they kept back."""
    graph.filters_dates = False
    told, kept_back, later = (graph.add(number) for number in range(3))
    all_users = f"/users?$select=id,{VALID_FROM}&$top"
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        clock.advance(INTERVAL_S)
        graph.revoke(told)
        await watching.job.turn()
        read = graph.times_asked(all_users)
        clock.advance(CONTROL_S - INTERVAL_S - 1)
        await watching.job.turn()
        assert read == graph.times_asked(all_users)

        graph.delta = "silent"
        graph.revoke(kept_back)
        clock.advance(1)
        await watching.job.turn()
        assert account(kept_back) == (await watching.told())[-1][0]
        clock.advance(PATIENCE_S)
        await watching.job.turn()
        graph.revoke(later)
        clock.advance(SWEEP_S)
        await watching.job.turn()
        assert [account(user) for user in (told, kept_back, later)] == [one[0] for one in await watching.told()]


async def test_accounts_of_b2c(graph: Graph, watch: Start) -> None:
    """B2C names the user flow in MSAL's account: each configured one is ended."""
    user = graph.add(1)
    async with watch(graph.tenant(policies=["b2c_1_signin", "b2c_1_edit"])) as watching:
        await watching.job.turn()
        graph.revoke(user)
        await watching.job.turn()
        assert {f"{user}-b2c_1_signin.{DIRECTORY}", f"{user}-b2c_1_edit.{DIRECTORY}"} == {
            one[0] for one in await watching.told()
        }


async def test_date_ahead_of_ours(graph: Graph, watch: Start, clock: Clock) -> None:
    """A directory whose clock is ahead does not end sign-ins that are still to come."""
    user = graph.add(1)
    async with watch(graph.tenant()) as watching:
        await watching.job.turn()
        clock.advance(600)
        graph.revoke(user)
        clock.advance(-300)
        await watching.job.turn()
        assert [NOW + 300] == [one[2] for one in await watching.told()]


async def test_until_when_it_was_taken_in(graph: Graph, watch: Start, clock: Clock) -> None:
    """The metrics say it, and how Graph answered."""
    async with watch(graph.tenant()) as watching:
        clock.advance(OVERLAP_S)
        await watching.job.turn()
        sample = watching.receiver.server.metrics.registry.get_sample_value
        labels = {"tenant": "t1", "input": "graph"}
        for what in ("revocations", "accounts"):
            named = {**labels, "what": what}
            assert NOW + OVERLAP_S == sample("logout_watched_until_timestamp_seconds", named)
        assert len(graph.asked) == sample("logout_source_answers_total", {**labels, "status": "200"})


@pytest.mark.parametrize(("command", "serves"), [("serve", True), ("watch-graph", False)])
async def test_who_watches(
    graph: Graph, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, command: str,
    *, serves: bool,
) -> None:  # fmt: skip
    """Every receiver, or the command alone where the tenant says so."""
    tenant = graph.tenant(command=command)
    async with start_receiver(redis_server.url, redis_client, clock, [tenant]) as receiver:
        assert serves is ("input:graph:t1" in receiver.server.jobs.report())


@pytest.mark.parametrize(
    ("graph", "issuer"),
    [
        ({}, DIRECTORY),
        ({"client_secret": "s", "client_secret_file": "/f"}, DIRECTORY),
        ({"client_secret": "s"}, "common"),
        ({"client_secret": "s", "tenant_id": "contoso"}, "common"),
        ({"client_secret": "s", "endpoint": "http://graph.example/v1.0"}, DIRECTORY),
    ],
)
def test_settings_that_do_not_fit(graph: dict[str, Any], issuer: str) -> None:
    """One credential, a directory, and https."""
    tenant = {
        "name": "t1", "issuer": f"https://login.microsoftonline.com/{issuer}/v2.0", "client_ids": ["c1"],
        "graph": {"client_id": CLIENT, **graph},
    }  # fmt: skip
    with pytest.raises(ValueError, match="graph"):
        Settings(tenants=[tenant])


async def test_without_msal(graph: Graph, watch: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that cannot get tokens does not start."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError):
        async with watch(graph.tenant()):
            pass
