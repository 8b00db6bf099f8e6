"""Tenants and files changed under a running receiver: taken over as a whole, or refused as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from receiver.ingress.server import running
from receiver.ops.settings_source import SettingsSource
from tests.support.receiver import t1

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from tests.runtime.site import Site
    from tests.support.op import OP


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


def fields(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """What the lines of one event say."""
    return [record.fields for record in caplog.records if record.getMessage() == event]  # type: ignore[attr-defined]
