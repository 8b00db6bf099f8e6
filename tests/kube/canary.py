"""A release with its canary: heard of where all is well, alarming where the way is broken, and met by no app."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from typing import TYPE_CHECKING

import aiohttp
import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer import Eviction, Subscriber
from tests.kube.cases import CHART
from tests.kube.cluster import Cluster, FailedError
from tests.kube.rollouts import DURABLE, NAME, RELEASE, WAIT, WallClock, helm_test_fails
from tests.support.op import OP
from tests.support.receiver import t1

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


CANARY = f"{NAME}-canary"
DEPLOYMENT = f"deployment/{NAME}"
PUBLIC = f"http://{NAME}/backchannel-logout"
"""The Service, by its name, as a pod calls it."""

ENOUGH = 5
"""Probes with one result until that is the state of things."""

DEADLINE_S = 180.0


async def check(cluster: Cluster, directory: Path, say: Callable[[str], None]) -> None:
    """Go through all of it.

    Raises:
        FailedError: a good way is called broken or the other way round, or an app met one of the canary's logouts.
    """
    heard: list[str] = []

    def hear(eviction: Eviction) -> None:
        heard.append(f"{eviction.tenant} {eviction.sub}")

    with EmbeddedRedis(directory=directory, arguments=DURABLE) as server, EmbeddedRedis() as other:
        async with OP(WallClock(), path="/op") as op, Subscriber(server.url, hear, app="portal") as app:
            await asyncio.to_thread(
                cluster.install, "install", RELEASE, str(CHART), "--values", _values(directory, op, server.url), *WAIT
            )
            await asyncio.to_thread(cluster.helm, "test", RELEASE, "--timeout", "120s")
            say(f"install --wait and test: good, {await _counted(cluster, 'ok')} logouts heard of")

            await cluster.aside("scale", DEPLOYMENT, "--replicas", "0")
            said = await _broken(cluster, "unreachable")
            await helm_test_fails(cluster)
            say(f"no receiver: {said}; test: refused")
            await cluster.aside("scale", DEPLOYMENT, "--replicas", "2")
            say(f"two again: {await _counted(cluster, 'ok')} more logouts heard of")

            # Accepted, and in a Redis that no app reads.
            await cluster.aside("set", "env", DEPLOYMENT, f"RECEIVER_REDIS__URL={other.url}")
            await cluster.aside("rollout", "status", DEPLOYMENT, "--timeout", "180s")
            say(f"another Redis: {await _broken(cluster, 'not_heard')}")
            await cluster.aside("set", "env", DEPLOYMENT, "RECEIVER_REDIS__URL-")
            await cluster.aside("rollout", "status", DEPLOYMENT, "--timeout", "180s")
            say(f"the right one again: {await _counted(cluster, 'ok')} more logouts heard of")

            # The canary's next key is one that no receiver knows yet.
            await cluster.aside("rollout", "restart", f"deployment/{CANARY}")
            await cluster.aside("rollout", "status", f"deployment/{CANARY}", "--timeout", "180s")
            say(f"a new key: {await _counted(cluster, 'ok')} more logouts heard of")

            await _one_logout(f"http://{cluster.address(NAME)}/backchannel-logout", op)
            async with asyncio.timeout(DEADLINE_S):
                await app.caught_up()
            await _only_one(server, heard)
            say("apps, and the stream they read: one logout, which is not the canary's")
            await asyncio.to_thread(cluster.helm, "uninstall", RELEASE, *WAIT)


def _values(directory: Path, op: OP, url: str) -> str:
    path = directory / "canary.json"
    path.write_text(
        json.dumps(
            {
                "config": {"redis": {"url": url}, "tenants": [t1(op)], "canary": {"deadline_s": 2}},
                "canary": {"enabled": True, "url": PUBLIC, "intervalSeconds": 1},
            }
        )
    )
    return str(path)


def _metrics(cluster: Cluster) -> dict[str, float]:
    """The canary's probes by result, and when one last went all the way."""
    with urllib.request.urlopen(f"http://{cluster.address(CANARY)}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = dict(re.findall(r'^logout_canary_probes_total\{result="(\w+)"\} (\S+)', text, re.MULTILINE))
    found |= re.findall(r"^logout_canary_(last_success)_timestamp_seconds (\S+)", text, re.MULTILINE)
    return {name: float(value) for name, value in found.items()}


async def _counted(cluster: Cluster, result: str) -> int:
    """Wait for some probes in a row with this result; how many."""
    end = time.monotonic() + DEADLINE_S
    before = after = await asyncio.to_thread(_metrics, cluster)
    while after[result] < before[result] + ENOUGH:
        if time.monotonic() > end:
            raise FailedError(f"the canary counts no {result}: {after}")
        await asyncio.sleep(0.5)
        after = await asyncio.to_thread(_metrics, cluster)
        others = {name for name, value in after.items() if value != before[name]} - {result, "last_success"}
        if others or after[result] < before[result]:
            before = after
    return int(after[result] - before[result])


async def _broken(cluster: Cluster, result: str) -> str:
    """Wait until the way is known to be broken: the time that the alert goes by no longer moves."""
    await _counted(cluster, result)
    before = await asyncio.to_thread(_metrics, cluster)
    count = await _counted(cluster, result)
    after = await asyncio.to_thread(_metrics, cluster)
    if after["last_success"] != before["last_success"]:
        raise FailedError(f"the canary heard of a logout all the same: {after}")
    return f"{count} probes {result}, the last success {time.time() - after['last_success']:.0f} s ago"


async def _one_logout(url: str, op: OP) -> None:
    async with aiohttp.ClientSession() as http:
        answer = await http.post(url, data={"logout_token": op.token(jti="real", sub="real", sid="real")})
    if answer.status != 200:
        raise FailedError(f"a logout was answered {answer.status}")


async def _only_one(server: EmbeddedRedis, heard: list[str]) -> None:
    async with redis.asyncio.Redis.from_url(server.url) as client:
        there = await client.xlen("{logout}:events")
        probes = await client.xlen("{logout}:canary:events")
    if heard != ["t1 real"] or there != 1 or not probes:
        raise FailedError(f"an app heard {heard[:4]}; {there} entries for apps, {probes} of the canary")
