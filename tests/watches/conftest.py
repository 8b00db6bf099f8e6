"""A directory on loopback, and a receiver that watches it when a test says so."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from demo.tls import Certificates, make_certificates
from receiver.errors import PublishError
from receiver.ingress import server
from receiver.ingress.inputs import input_jobs
from tests.support.graph import Graph
from tests.support.receiver import Receiver, start_receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.ingress.inputs.poller import Poller
    from tests.support.clock import Clock


class Watching:
    """A receiver and its watcher, which is not run by the supervisor."""

    def __init__(self, receiver: Receiver, job: Poller) -> None:
        self.receiver = receiver
        self.job = job

    async def told(self) -> list[tuple[str, str, int]]:
        """First account, reason and `logout_at` of every event, in order."""
        events = [event["data"] for event in await self.receiver.events()]
        return [(data["accounts"][0], data["reason"], data["logout_at"]) for data in events]

    @contextlib.contextmanager
    def nothing_published(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """While Redis takes no event."""

        def refuse(*_: object) -> None:
            raise PublishError("away")

        with monkeypatch.context() as patch:
            patch.setattr(type(self.receiver.server._publisher), "begin", refuse)
            yield


Watch = "Callable[..., contextlib.AbstractAsyncContextManager[Watching]]"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def graph(certificates: Certificates, clock: Clock) -> AsyncIterator[Graph]:
    async with Graph(certificates, clock) as running:
        yield running


@pytest.fixture
def watch(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock
) -> Callable[..., contextlib.AbstractAsyncContextManager[Watching]]:
    """Starts a receiver for these settings of one tenant."""

    @contextlib.asynccontextmanager
    async def start(tenant: dict[str, Any], **sections: Any) -> AsyncIterator[Watching]:
        made: list[Any] = []

        def jobs(resources: Any) -> tuple[()]:
            made.extend(input_jobs(resources))
            return ()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server, "input_jobs", jobs)
            async with start_receiver(redis_server.url, redis_client, clock, [tenant], **sections) as receiver:
                [job] = made
                yield Watching(receiver, job)

    return start
