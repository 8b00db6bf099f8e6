"""One release with a real Redis and OP: rolled out under load and while Redis is away, drained, set up wrongly."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from tests.kube.cases import CHART
from tests.kube.cluster import Cluster, FailedError
from tests.kube.load import Load
from tests.support.clock import Clock
from tests.support.op import OP
from tests.support.receiver import t1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


RELEASE = "logout"
NAME = "logout-logout-receiver"
WAIT = ("--wait", "--timeout", "180s")
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class WallClock(Clock):
    """The pods' own clock: they are real."""

    def __call__(self) -> float:
        """Now."""
        return time.time()


async def check(cluster: Cluster, directory: Path, say: Callable[[str], None]) -> None:
    """Go through all of it.

    Raises:
        FailedError: a logout failed or was lost, or what is wrong was not noticed.
    """
    with EmbeddedRedis(directory=directory, arguments=DURABLE) as server:
        async with OP(WallClock(), path="/op") as op:
            await asyncio.to_thread(_wrong_redis_is_noticed, cluster, op, directory)
            say("install --wait and test: refused with a wrong Redis")
            wrong = _values(directory, op, server.url, issuer=f"{op.issuer}/other")
            await asyncio.to_thread(cluster.install, "install", RELEASE, str(CHART), "--values", wrong, *WAIT)
            await helm_test_fails(cluster)
            say("test: refused with a wrong issuer")
            values = _values(directory, op, server.url)
            await asyncio.to_thread(cluster.install, "upgrade", RELEASE, str(CHART), "--values", values, *WAIT)
            await asyncio.to_thread(cluster.helm, "test", RELEASE, "--timeout", "120s")
            say("install --wait and test: good with a right one")
            url = f"http://{cluster.address(NAME)}/backchannel-logout"

            async with Load(url, op) as load:
                for _ in range(2):
                    await _restart(cluster)
            say(f"two rollouts: {await _nothing_lost(load, server)}")

            async with Load(url, op) as load:
                wrong = _values(directory, op, "redis://127.0.0.1:1/0")
                await _refused(cluster, "upgrade", wrong)
                await asyncio.to_thread(cluster.helm, "rollback", RELEASE, *WAIT)
            say(f"upgrade to a wrong Redis, refused, and back: {await _nothing_lost(load, server)}")

            async with Load(url, op) as load:
                server.kill()
                await asyncio.sleep(2)
                await cluster.aside("rollout", "restart", f"deployment/{NAME}")
                await asyncio.sleep(15)
                server.start()
                await cluster.aside("rollout", "status", f"deployment/{NAME}", "--timeout", "180s")
            say(f"a rollout while Redis is away for 17 s: {await _nothing_lost(load, server)}")

            async with Load(url, op) as load:
                least = await _drain(cluster)
            say(f"every node drained, {least} pod ready at least: {await _nothing_lost(load, server)}")
            await asyncio.to_thread(cluster.helm, "uninstall", RELEASE, *WAIT)


def _values(directory: Path, op: OP, url: str, **tenant: str) -> str:
    path = directory / "values.json"
    path.write_text(json.dumps({"config": {"redis": {"url": url}, "tenants": [t1(op, **tenant)]}}))
    return str(path)


def _wrong_redis_is_noticed(cluster: Cluster, op: OP, directory: Path) -> None:
    values = _values(directory, op, "redis://127.0.0.1:1/0")
    asked: tuple[Callable[[], str], ...] = (
        lambda: cluster.install("install", RELEASE, str(CHART), "--values", values, "--wait", "--timeout", "40s"),
        lambda: cluster.helm("test", RELEASE, "--timeout", "60s"),
    )
    for ask in asked:
        try:
            ask()
        except FailedError:
            continue
        raise FailedError("a Redis that does not answer was not noticed")
    cluster.helm("uninstall", RELEASE, *WAIT)


async def _refused(cluster: Cluster, verb: str, values: str) -> None:
    arguments = (verb, RELEASE, str(CHART), "--values", values, "--wait", "--timeout", "40s")
    try:
        await asyncio.to_thread(cluster.install, *arguments)
    except FailedError:
        return
    raise FailedError("a Redis that does not answer was not noticed")


async def helm_test_fails(cluster: Cluster) -> None:
    """`helm test` fails.

    Raises:
        FailedError: it does not.
    """
    try:
        await asyncio.to_thread(cluster.helm, "test", RELEASE, "--timeout", "120s")
    except FailedError:
        return
    raise FailedError("helm test noticed nothing")


async def _restart(cluster: Cluster) -> None:
    await cluster.aside("rollout", "restart", f"deployment/{NAME}")
    await cluster.aside("rollout", "status", f"deployment/{NAME}", "--timeout", "180s")


async def _drain(cluster: Cluster) -> int:
    """Drain each node that has pods of ours, one after the other; how many pods were ready at least."""
    least = 99

    async def watch() -> None:
        nonlocal least
        while True:
            pods = await asyncio.to_thread(cluster.objects, "pods", "-l", "app.kubernetes.io/component=receiver")
            ready = sum(_is_ready(pod["status"].get("conditions", [])) for pod in pods)
            least = min(least, ready)
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    for node in sorted({node["metadata"]["name"] for node in cluster.objects("nodes")}):
        try:
            await cluster.aside("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout", "180s")
            await cluster.aside("rollout", "status", f"deployment/{NAME}", "--timeout", "180s")
        finally:
            await cluster.aside("uncordon", node)
    watching.cancel()
    if least < 1:
        raise FailedError("a drain took every pod")
    return least


def _is_ready(conditions: Iterable[dict[str, str]]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def _nothing_lost(load: Load, server: EmbeddedRedis) -> str:
    """How many logouts were accepted, each of them in the stream."""
    missing = set(load.accepted)
    async with redis.asyncio.Redis.from_url(server.url) as client:
        for _ in range(60):
            entries: Any = await client.xrange("{logout}:events")
            published = {json.loads(fields[b"event"])["data"]["jti"] for _, fields in entries}
            missing -= published
            if not missing:
                break
            await asyncio.sleep(1)
    if missing or load.failed or not load.accepted:
        raise FailedError(f"{len(load.accepted)} accepted, {len(missing)} lost, failed: {load.failed[:6]}")
    return f"{len(load.accepted)} logouts, 0 failed, 0 lost"
