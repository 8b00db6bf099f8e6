"""Every background job of every kind of listener: killed, said to be by `health`, and back by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events import acks
from receiver.bus.events.groups import GroupMember
from receiver.bus.events.stream import StreamReader
from receiver.consumer import Eviction, GroupSubscriber, Subscriber, reader
from receiver.consumer.clearing import RefusingSubscriber
from tests.consumer.listening import eviction
from tests.runtime.faults import Fault
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

JOBS: dict[type[reader.Reader], dict[str, tuple[Any, str]]] = {
    Subscriber: {"evictions": (StreamReader, "read"), "acknowledgements": (acks, "acknowledge")},
    RefusingSubscriber: {
        "evictions": (StreamReader, "read"), "acknowledgements": (acks, "acknowledge"),
        "clearing": (RefusingSubscriber, "_reset_when_due"),
    },
    GroupSubscriber: {
        "evictions": (GroupMember, "read"), "acknowledgements": (acks, "acknowledge"), "claims": (GroupMember, "keep"),
    },
}  # fmt: skip
"""Each kind of listener, its jobs, and what fails beneath each."""


def made(kind: type[reader.Reader], url: str, handler: Any) -> reader.Reader:
    """A listener of this kind."""
    if kind is RefusingSubscriber:
        return RefusingSubscriber(
            url, note=lambda _: None, forget=lambda: None, on_eviction=handler, on_reset=None, app="portal",
            prefix="{logout}",
        )  # fmt: skip
    return GroupSubscriber(url, handler, app="portal", min_idle_s=0.3) if kind is GroupSubscriber else Subscriber(
        url, handler, app="portal"
    )  # fmt: skip


@pytest.mark.parametrize("case", [(kind, job) for kind, jobs in JOBS.items() for job in jobs])
async def test_each_job_of_a_listener(
    case: tuple[type[reader.Reader], str], redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A job that fails is named with its reason and without what it worked on, started again, and loses nothing."""
    kind, job = case
    heard: list[str] = []

    def handle(event: Eviction) -> None:
        heard.append(event.id)

    listener = made(kind, redis_server.url, handle)
    fault = Fault(monkeypatch, *JOBS[kind][job])
    async with listener:
        await until(lambda: f"{job}: ArithmeticError" in str(listener.health().last_error))
        await publisher_to(redis_client).publish(eviction("e1"))
        await until(lambda: len([one for one in caplog.records if one.exc_info and one.args[1] == job]) > 1)  # type: ignore[index]
        fault.end()

        await until(lambda: heard == ["e1"])
        await until(lambda: fault.calls > 0 and listener.health().last_error is None)


@pytest.mark.parametrize("kind", JOBS)
async def test_each_job_has_a_case(kind: type[reader.Reader], redis_server: EmbeddedRedis) -> None:
    """The jobs of a listener are those of the table above."""
    async with made(kind, redis_server.url, None).opened() as jobs:
        assert list(JOBS[kind]) == [job.name for job in jobs]
