"""Microsoft Graph, watched: what an Entra administrator does reaches every app, however the directory answers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.keys import Keys
from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.consumer import Subscriber
from receiver.consumer.msal_cache import forget_account
from receiver.core.sign_in import SignIn
from receiver.errors import ConfigurationError, PublishError
from receiver.ingress.inputs.graph import CONTROL_S, OVERLAP_S, PATIENCE_S
from receiver.ingress.inputs.poller import LEASE_S
from receiver.ingress.server import running
from receiver.ops.settings import Settings
from tests.ingress.test_inputs_to_msal import filled_cache, tokens_in
from tests.support.clock import NOW
from tests.support.graph import CLIENT, DIRECTORY, VALID_FROM
from tests.support.receiver import start_receiver

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.eviction import Eviction
    from tests.support.clock import Clock
    from tests.support.graph import Graph
    from tests.watches.conftest import Watching

    Start = Callable[..., AbstractAsyncContextManager[Watching]]

INTERVAL_S, SWEEP_S = 30.0, 300.0
REVOKED, DISABLED, DELETED = "sessions revoked", "account disabled", "account deleted"
LONG_AGO = 3600 * 24
DEADLINE_S = 20.0


def account(user: str) -> str:
    """MSAL's `home_account_id`."""
    return f"{user}.{DIRECTORY}"


def names(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The watcher's log lines."""
    return [one.message for one in caplog.records if one.message.startswith(("graph.", "input."))]


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
    sign_ins = SignIns(lambda: redis_client, Keys(), clock=clock)
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


async def test_the_command_has_no_public_listener(graph: Graph, redis_server: EmbeddedRedis, clock: Clock) -> None:
    """`receiver watch-graph` runs the watchers, answers probes, takes no logout token, and drains."""
    settings = Settings(
        public={"host": "127.0.0.1", "port": 0}, internal={"host": "127.0.0.1", "port": 0},
        redis={"url": redis_server.url}, tenants=[graph.tenant(command="watch-graph")],
    )  # fmt: skip
    async with running(settings, clock=clock, command="watch-graph") as server:
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
        with monkeypatch.context() as patch:

            async def refuse(*_: object) -> None:
                raise PublishError("away")

            patch.setattr(type(watching.receiver.server._publisher), "publish", refuse)
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
