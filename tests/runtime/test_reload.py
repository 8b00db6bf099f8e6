"""Tenants and files changed under a running receiver: taken over as a whole, or refused as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from receiver.evictor.worker import working
from receiver.ingress.server import running
from receiver.ops.settings_source import SettingsSource
from receiver.runtime import process
from tests.support.keys import rsa_pair
from tests.support.op import OP
from tests.support.receiver import Receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.ops.settings import Settings
    from receiver.runtime.reload import Reload
    from tests.support.clock import Clock


class Site:
    """A receiver that has its tenants from a file, and the file."""

    def __init__(self, path: Path, redis_url: str, client: redis.asyncio.Redis, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self._client = client
        self._base = {
            "public": {"host": "127.0.0.1", "port": 0},
            "internal": {"port": 0},
            "redis": {"url": redis_url},
            "reload": {"interval_s": 0},
        }
        self.receiver: Receiver
        self.reload: Reload

    def write(self, *tenants: dict[str, Any], **sections: Any) -> None:
        """Replace the file, as an editor does."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(yaml.safe_dump({**self._base, "tenants": list(tenants), **sections}))
        fresh.replace(self.path)

    async def looked(self) -> None:
        """The watching job has looked twice."""
        await self.reload.look()
        await self.reload.look()

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Receiver]:
        """Serve what the file says."""
        source = SettingsSource(self.path)
        async with running(source.read(), source, clock=self.clock) as server, aiohttp.ClientSession() as http:
            assert server.state.reload is not None
            self.reload, self.receiver = server.state.reload, Receiver(server, http, self._client)
            yield self.receiver

    def metric(self, name: str, **labels: str) -> float | None:
        """A sample of the receiver."""
        return self.receiver.server.metrics.registry.get_sample_value(name, labels)

    async def readiness(self) -> dict[str, Any]:
        """What `/readyz` says."""
        async with self.receiver.http.get(self.receiver.internal + "/readyz") as response:
            return dict(json.loads(await response.text()))


@pytest.fixture
def site(tmp_path: Path, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock) -> Site:
    """A receiver's file; nothing is written yet."""
    return Site(tmp_path / "receiver.yaml", redis_server.url, redis_client, clock)


@pytest.fixture
async def second(clock: Clock) -> AsyncIterator[OP]:
    """Another OP."""
    async with OP(clock, path="/t2", signing_key=rsa_pair("k2")) as op:
        yield op


async def test_tenants_are_added_changed_and_removed(
    site: Site, op: OP, second: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """A change of the file is in force at the second look, and each answer follows it from then on."""
    site.write(t1(op))
    async with site.served() as receiver:
        assert [200, 400] == [(await receiver.post(op.token())).status, (await receiver.post(second.token())).status]

        site.write(t1(op, client_ids=["c9"]), {**t1(second), "name": "t2"})
        await site.looked()
        assert ["audience"] == [(await receiver.post(op.token())).code]
        assert [200, 200] == [
            (await receiver.post(op.token(aud="c9"))).status,
            (await receiver.post(second.token(), "/backchannel-logout/t2")).status,
        ]
        assert 2 == (await site.readiness())["tenants"]["configured"]

        caplog.set_level(logging.INFO)
        site.write({**t1(second), "name": "t2"})
        await site.looked()
        assert "issuer" == (await receiver.post(op.token(aud="c9"))).code
        assert 1 == op.jwks_fetches == second.jwks_fetches
        told = fields(caplog, "config.reloaded")
        assert [(1, 0, 0, 1)] == [tuple(line[n] for n in ("tenants", "added", "changed", "removed")) for line in told]
        assert 2.0 == site.metric("logout_config_reloads_total", result="ok")


@pytest.mark.parametrize("where", ["config", "tenants_file"])
async def test_file_that_changes_while_it_starts(site: Site, op: OP, second: OP, where: str, tmp_path: Path) -> None:
    """What a file says by the time the receiver runs is in force, though it was read before."""
    tenants = tmp_path / "tenants.yaml"

    def write(*these: dict[str, Any]) -> None:
        if where == "config":
            site.write(*these)
        else:
            tenants.write_text(yaml.safe_dump(list(these)))

    if where == "tenants_file":
        site.write(tenants_file=str(tenants))
    write(t1(op))
    source = SettingsSource(site.path)
    settings = source.read()
    write(t1(op), {**t1(second), "name": "t2"})
    async with running(settings, source, clock=site.clock) as server:
        assert server.state.reload is not None
        for _ in range(2):
            await server.state.reload.look()
        assert ["t1", "t2"] == [tenant.name for tenant in server.tenants]


async def test_file_that_is_still_being_written(site: Site, op: OP, second: OP) -> None:
    """A file that has changed since the last look is left alone: half of it would be half of the tenants."""
    site.write(t1(op))
    async with site.served() as receiver:
        site.write()
        await site.reload.look()
        site.write(t1(op), {**t1(second), "name": "t2"})
        await site.reload.look()
        assert "issuer" == (await receiver.post(second.token())).code
        await site.reload.look()
        assert 200 == (await receiver.post(second.token())).status


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("tenants: [", "is not YAML"),
        ("tenants: [{name: t1, issuer: 'https://op', client_ids: [2026-02-30]}]", "is not YAML"),
        ("tenants: []\nreload: {interval_s: 0}\n", "no tenant is left"),
        ("tenants: [{name: t1, issuer: 'http://op.example', client_ids: [c1]}]", "plain http"),
        ("tenants: [{name: t1, issuer: 'https://op', client_ids: [c], decryption_key_file: /no/such}]", "/no/such"),
        ("tenants: [{name: t1, issuer: 'https://op', client_ids: [c], outbound: {ca_file: /no/ca}}]", "/no/ca"),
        (None, "cannot read"),
    ],
)
async def test_bad_file_is_refused(broken: str | None, named: str, site: Site, op: OP) -> None:
    """What cannot be used changes nothing, is named in readiness and metric, and is forgotten once it is put right."""
    site.write(t1(op))
    async with site.served() as receiver:
        if broken is None:
            site.path.unlink()
        else:
            site.path.write_text(broken)
        await site.looked()
        state = await site.readiness()
        assert named in state["config"]
        assert (True, 0.0, 1.0) == (
            state["ready"],
            site.metric("logout_config_ok"),
            site.metric("logout_config_reloads_total", result="refused"),
        )
        assert 200 == (await receiver.post(op.token())).status

        site.write(t1(op))
        await site.looked()
        assert ("ok", 1.0) == ((await site.readiness())["config"], site.metric("logout_config_ok"))


async def test_symbolic_link_that_is_swapped(site: Site, op: OP, second: OP, tmp_path: Path) -> None:
    """Kubernetes swaps a link to a directory: the file is another one, also with the same time and size."""
    for name, tenant in (("one", t1(op)), ("two", {**t1(second), "name": "t1"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tenants.yaml").write_text(yaml.safe_dump([tenant]))
    (tmp_path / "data").symlink_to("one")
    site.write(tenants_file=str(tmp_path / "data" / "tenants.yaml"))
    async with site.served() as receiver:
        assert 200 == (await receiver.post(op.token())).status
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "data")
        await site.looked()
        assert ["issuer", 200] == [(await receiver.post(op.token())).code, (await receiver.post(second.token())).status]


async def test_missing_file_that_comes_later(site: Site, op: OP, second: OP, tmp_path: Path) -> None:
    """A file that only the refused settings name is looked for again, though nothing else changes."""
    site.write(t1(op))
    async with site.served() as receiver:
        later = tmp_path / "later.yaml"
        site.write(t1(op), tenants_file=str(later))
        await site.looked()
        assert "later.yaml" in site.reload.problem
        later.write_text(yaml.safe_dump([{**t1(second), "name": "t2"}]))
        for _ in range(15):
            await site.reload.look()
        assert ("", 200) == (site.reload.problem, (await receiver.post(second.token())).status)


async def test_held_token_follows_its_tenant(site: Site, op: OP) -> None:
    """A token that waits for keys is judged by its tenant as it is now: here by keys from where they really are."""
    site.write(t1(op, jwks_uri=op.origin + "/nothing-here"))
    async with site.served() as receiver:
        assert 503 == (await receiver.post(op.token(jti="waits"))).status
        site.write(t1(op))
        await site.looked()
        site.clock.advance(5)
        async with asyncio.timeout(20):
            while not await receiver.events():
                await asyncio.sleep(0.05)
        assert ["waits"] == [event["data"]["jti"] for event in await receiver.events()]


async def test_held_token_of_a_tenant_that_is_gone(site: Site, op: OP, second: OP) -> None:
    """It is dropped, as after a restart, counted, and the audit log says so."""
    audit = site.path.with_name("audit.jsonl")
    settings = {"audit": {"path": str(audit), "key": "2026 " + "k" * 32}}
    op.status = 500
    site.write(t1(op), {**t1(second), "name": "t2"}, **settings)
    async with site.served() as receiver:
        assert 503 == (await receiver.post(op.token(jti="waits"))).status
        assert 1 == site.metric("logout_held_tokens")
        site.write({**t1(second), "name": "t2"}, **settings)
        await site.looked()
        assert 0 == site.metric("logout_held_tokens")
        assert 1 == site.metric("logout_held_total", tenant="t1", outcome="refused")
    of_it = [record for line in audit.read_text().splitlines() if (record := json.loads(line)).get("jti") == "waits"]
    assert [("held", "jwks_unavailable", "t1"), ("refused", "issuer", "t1")] == [
        (record["decision"], record["code"], record["tenant"]) for record in of_it
    ]


async def test_other_settings_wait_for_a_restart(site: Site, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot change while running is named; the tenants of the same file change all the same."""
    site.write(t1(op))
    async with site.served() as receiver:
        site.write(t1(op, client_ids=["c2"]), keys={"fresh_s": 60})
        await site.looked()
        waiting = fields(caplog, "config.needs_restart")
        assert [["keys"]] == [line["settings"] for line in waiting]
        assert 200 == (await receiver.post(op.token(aud="c2"))).status


async def test_api_tokens(site: Site, op: OP, tmp_path: Path) -> None:
    """A token that is taken out of the file is refused from the next look on, a new one is accepted."""
    tokens = tmp_path / "tokens"
    tokens.write_text("old read 0123456789abcdef-old\n")
    site.write(t1(op), internal={"port": 0, "token_file": str(tokens)})
    async with site.served() as receiver:

        async def status(token: str) -> int:
            headers = {"Authorization": f"Bearer 0123456789abcdef-{token}"}
            async with receiver.http.get(receiver.internal + "/v1/evictions?jti=j", headers=headers) as response:
                return response.status

        assert [404, 401] == [await status("old"), await status("new")]
        tokens.write_text("new read 0123456789abcdef-new\n")
        await site.looked()
        assert [401, 404] == [await status("old"), await status("new")]


async def test_api_token_that_is_taken_back_ends_its_feeds(site: Site, op: OP, tmp_path: Path) -> None:
    """An open feed gives nothing more to a token that is out of the file, or without the scope; others go on."""
    tokens = tmp_path / "tokens"
    stays, goes, narrowed = (f"{name} events 0123456789abcdef-{name}\n" for name in ("stays", "goes", "narrowed"))
    tokens.write_text(stays + goes + narrowed)
    site.write(t1(op), internal={"port": 0, "token_file": str(tokens)})
    async with site.served() as receiver, contextlib.AsyncExitStack() as stack:

        async def opened(name: str) -> aiohttp.StreamReader:
            headers = {"Authorization": f"Bearer 0123456789abcdef-{name}"}
            feed = await stack.enter_async_context(receiver.http.get(receiver.internal + "/v1/events", headers=headers))
            await feed.content.readuntil(b"\n\n")
            return feed.content

        feeds = [await opened(name) for name in ("stays", "goes", "narrowed")]
        tokens.write_text(stays + narrowed.replace("events", "read"))
        await site.looked()
        assert 200 == (await receiver.post(op.token(sub="secret"))).status
        async with asyncio.timeout(20):
            assert b"secret" in await feeds[0].readuntil(b"}\n\n")
            assert [b"", b""] == [await feed.read() for feed in feeds[1:]]


async def test_hangup_reads_at_once(site: Site, op: OP, second: OP) -> None:
    """SIGHUP has the files read, also where no one looks whether they have changed."""
    site.write(t1(op))
    source = SettingsSource(site.path)
    async with hung_up(functools.partial(running, source=source), source) as opened:
        site.write(t1(op), {**t1(second), "name": "t2"})
        signal.raise_signal(signal.SIGHUP)
        while len(opened[0].tenants) == 1:
            await asyncio.sleep(0.01)
    assert 1 == len(opened)


async def test_evictor_goes_on_with_the_new_tenants(site: Site, op: OP, second: OP) -> None:
    """A worker whose tenants change is drained, and another one takes its place in the same process."""
    caches = {"caches": [{"name": "node", "layout": "msal-node", "prefix": "node:"}]}
    site.write(t1(op), **caches)
    source = SettingsSource(site.path)
    served: list[set[str]] = []

    def compose(settings: Settings) -> Any:
        served.append({tenant.name for tenant in settings.all_tenants})
        return working(settings, source)

    async with hung_up(compose, source) as opened:
        site.write(t1(op), {**t1(second), "name": "t2"}, **caches)
        signal.raise_signal(signal.SIGHUP)
        while len(opened) == 1:
            await asyncio.sleep(0.01)
        assert (True, False) == tuple(worker.state.draining for worker in opened)
    assert [{"t1"}, {"t1", "t2"}] == served


async def test_change_while_a_worker_is_drained(site: Site, op: OP, second: OP) -> None:
    """It is not lost between the old worker and the new one."""
    caches = {"caches": [{"name": "node", "layout": "msal-node", "prefix": "node:"}]}
    site.write(t1(op), **caches)
    source = SettingsSource(site.path)
    served: list[set[str]] = []

    @contextlib.asynccontextmanager
    async def compose(settings: Settings) -> AsyncIterator[Any]:
        served.append({tenant.name for tenant in settings.all_tenants})
        async with working(settings, source) as worker:
            yield worker
            if len(served) == 1:
                site.write(
                    t1(op), {**t1(second), "name": "t2"}, {**t1(second), "name": "t3", "client_ids": ["c3"]}, **caches
                )

    async with hung_up(compose, source) as opened:
        site.write(t1(op), {**t1(second), "name": "t2"}, **caches)
        signal.raise_signal(signal.SIGHUP)
        while len(opened) == 1:
            await asyncio.sleep(0.01)
        for _ in range(2):
            await opened[1].state.reload.look()
        while len(opened) == 2:
            await asyncio.sleep(0.01)
    assert [{"t1"}, {"t1", "t2"}, {"t1", "t2", "t3"}] == served


async def test_hangup_while_it_starts(site: Site, op: OP, second: OP) -> None:
    """It does not end the process, and has the files read once there is what reads them."""
    site.write(t1(op))
    source = SettingsSource(site.path)

    @contextlib.asynccontextmanager
    async def compose(settings: Settings) -> AsyncIterator[Any]:
        site.write(t1(op), {**t1(second), "name": "t2"})
        signal.raise_signal(signal.SIGHUP)
        async with running(settings, source, clock=site.clock) as server:
            yield server

    async with hung_up(compose, source) as opened:
        while len(opened[0].tenants) == 1:
            await asyncio.sleep(0.01)


async def test_hangup_before_the_event_loop() -> None:
    """A command that goes on running has it wait from before its settings are read."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "receiver", "serve", "--config", f"/dev/fd/{reading}",
        pass_fds=[reading], stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await until(lambda: process.returncode is not None or blocks(process.pid, signal.SIGHUP))
        process.send_signal(signal.SIGHUP)
        os.write(writing, b"- not settings\n")
        os.close(writing)
        async with asyncio.timeout(60):
            assert b"must hold settings by name" in (await process.communicate())[1]
        assert 2 == process.returncode
    finally:
        os.close(reading)
        if process.returncode is None:
            process.kill()
            await process.wait()


def blocks(pid: int, number: int) -> bool:
    """Whether the process has the signal wait (proc(5), `SigBlk`)."""
    blocked = re.search(r"^SigBlk:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    return blocked is not None and bool(int(blocked[1], 16) >> (number - 1) & 1)


@contextlib.asynccontextmanager
async def hung_up(compose: Callable[[Settings], Any], source: SettingsSource) -> AsyncIterator[list[Any]]:
    """A command run as from the command line, ended by a signal; what it has opened so far."""
    opened: list[Any] = []
    async with asyncio.timeout(30):
        main = asyncio.create_task(process.run(compose, source.read(), started=opened.append))
        while not opened:
            await asyncio.sleep(0.01)
        yield opened
        signal.raise_signal(signal.SIGTERM)
        await main


def fields(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """What the lines of one event say."""
    return [record.fields for record in caplog.records if record.getMessage() == event]  # type: ignore[attr-defined]
