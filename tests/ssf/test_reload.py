"""Settings of transmitters and watched sources that change while a receiver runs, and the files they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.runtime.site import Site
from tests.support.receiver import Receiver, t1
from tests.support.transmitter import CLIENT, POLL, SECRET, Transmitter
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

ACCESS = {"client_id": CLIENT, "client_secret": SECRET}


@pytest.fixture
def site(tmp_path: Path, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock) -> Site:
    """A receiver's file; nothing is written yet."""
    return Site(tmp_path / "receiver.yaml", redis_server.url, redis_client, clock)


async def pushed(receiver: Receiver, transmitter: Transmitter, header: str = "", **claims: Any) -> int:
    """The answer to a good SET, with this header."""
    headers = {"Authorization": header} if header else {}
    status, _ = await transmitter.push(
        receiver.http, f"{receiver.public}/ssf/t1", transmitter.a_set(**claims), **headers
    )  # fmt: skip
    return status


def sources(receiver: Receiver) -> set[str]:
    """The jobs that ask a source."""
    return {name for name in receiver.server.jobs.report() if name.startswith("input:")}


async def test_pushed_events(site: Site, transmitter: Transmitter, tmp_path: Path) -> None:
    """They are taken once the section is there, by its audience and its header, and no more once it is gone."""
    header = tmp_path / "header"
    header.write_text("Bearer one")
    site.write(t1(transmitter))
    async with site.served() as receiver:
        assert 404 == await pushed(receiver, transmitter)

        site.write(t1(transmitter, ssf={"push_authorization_file": str(header), "audience": ["ours"]}))
        await site.looked()
        assert [400, 400, 202] == [
            await pushed(receiver, transmitter, aud="ours"),
            await pushed(receiver, transmitter, "Bearer one"),
            await pushed(receiver, transmitter, "Bearer one", aud="ours"),
        ]
        header.write_text("Bearer two")
        await site.looked()
        assert [400, 202] == [
            await pushed(receiver, transmitter, f"Bearer {which}", aud="ours") for which in ("one", "two")
        ]
        assert "ok" == receiver.server.jobs.report()["ssf_key_refresh"]

        site.write(t1(transmitter))
        await site.looked()
        assert 404 == await pushed(receiver, transmitter, "Bearer two", aud="ours")


async def test_settings_that_cannot_be_used(site: Site, transmitter: Transmitter, tmp_path: Path) -> None:
    """They are refused and named; what was read before stays in force, for push and for poll."""
    header = tmp_path / "header"
    header.write_text("Bearer one")
    good = t1(transmitter, ssf={"push_authorization_file": str(header)})
    site.write(good)
    async with site.served() as receiver:
        for bad, named in (
            (t1(transmitter, ssf={"push_authorization_file": str(tmp_path / "none")}), "none"),
            (t1(transmitter, ssf={"delivery": "poll"}), "delivery: poll needs access"),
            (t1(transmitter, keycloak={"access": {}}), "set one of token"),
            (t1(transmitter, graph={"client_id": "c"}), "set one of"),
        ):
            site.write(bad)
            await site.looked()
            assert named in site.reload.problem
            assert [400, 202] == [
                await pushed(receiver, transmitter), await pushed(receiver, transmitter, "Bearer one")
            ]  # fmt: skip
            assert set() == sources(receiver)
        site.write(good)
        await site.looked()
        assert "" == site.reload.problem


async def test_polled_events(site: Site, transmitter: Transmitter) -> None:
    """A poller begins, follows its tenant's settings, and ends with the section; what it had not done comes again."""
    transmitter.stream = {
        "stream_id": "stream", "delivery": {"method": POLL, "endpoint_url": f"{transmitter.issuer}/poll"}
    }  # fmt: skip
    ssf = {"delivery": "poll", "access": ACCESS, "poll_interval_s": 0.05}
    site.write(t1(transmitter))
    async with site.served() as receiver:
        first = transmitter.queue_set()
        assert (set(), 0) == (sources(receiver), transmitter.polls)
        site.write(t1(transmitter, ssf=ssf))
        await site.looked()
        await until(lambda: first in transmitter.acknowledged)

        site.write(t1(transmitter, ssf={**ssf, "audience": ["ours"]}))
        await site.looked()
        second = transmitter.queue_set(aud="ours")
        await until(lambda: second in transmitter.acknowledged)
        assert ({"input:ssf-poll:t1"}, {}) == (sources(receiver), transmitter.errors)
        assert 2 == len(await receiver.events())

        site.write(t1(transmitter))
        await site.looked()
        assert set() == sources(receiver)


async def test_other_tenants_go_on(site: Site, transmitter: Transmitter) -> None:
    """A change of one tenant leaves the sources of the others as they are; a removed tenant's end."""
    away = {"access": {"token": "t"}, "admin_url": "https://localhost:1/admin/realms/main"}
    other = {**t1(transmitter), "name": "t2", "issuer": "https://other.example", "keycloak": away}
    site.write(t1(transmitter, keycloak=away), other)
    async with site.served() as receiver:
        assert {"input:keycloak:t1", "input:keycloak:t2"} == sources(receiver)
        kept = receiver.server.jobs._jobs["input:keycloak:t2"].task
        replaced = receiver.server.jobs._jobs["input:keycloak:t1"].task

        site.write(t1(transmitter, keycloak={**away, "interval_s": 7}), other)
        await site.looked()
        assert kept is receiver.server.jobs._jobs["input:keycloak:t2"].task
        assert replaced is not None
        await until(replaced.done)

        site.write(other)
        await site.looked()
        assert {"input:keycloak:t2"} == sources(receiver)
