"""Certificates and passwords renewed while clients run: taken over together, and bad ones refused."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from receiver.bus.caches.cache_cluster import connect_cluster
from receiver.bus.link.connection import connect, ping
from receiver.errors import ConfigurationError
from receiver.ingress.server import running as receiving
from receiver.ops.redis_settings import RedisSettings
from receiver.ops.settings_source import SettingsSource
from tests.support.receiver import Receiver, t1
from tests.topologies.certificates import Authority
from tests.topologies.servers import Cluster, Node, SentinelSetUp, running
from tests.topologies.test_tls import own_client, server_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.op import OP

FILES = {"ca_file": "ca.crt", "cert_file": "client.crt", "key_file": "client.key"}


class Renewal:
    """Two generations of certificates, and the files a client has."""

    def __init__(self, directory: Path) -> None:
        self.generations = [directory / name for name in ("first", "second")]
        for generation in self.generations:
            generation.mkdir()
            authority = Authority(generation)
            authority.issue("server", "127.0.0.1")
            authority.issue("client")
        self.live = directory / "live"
        self.live.mkdir()
        self.files: Any = {option: self.live / name for option, name in FILES.items()}
        self.renew(0, *FILES.values())

    def renew(self, generation: int, *names: str) -> None:
        """Put files of a generation where the client reads them."""
        for name in names:
            shutil.copy(self.generations[generation] / name, self.live / name)


@pytest.fixture
def renewal(tmp_path: Path) -> Renewal:
    return Renewal(tmp_path)


@pytest.fixture
def server(tls_binary: str, renewal: Renewal) -> Iterator[Node]:
    """A server that wants certificates of the first generation."""
    first = renewal.generations[0]
    node = Node(*server_options(first, clients="yes"), binary=tls_binary, **own_client(first))
    with running([node]):
        yield node


def serve_second(node: Node, renewal: Renewal) -> None:
    """Have the server show, and want, certificates of the second generation."""
    second = renewal.generations[1]
    settings = {"ca-cert": "ca.crt", "cert": "server.crt", "key": "server.key"}
    node.ask(
        "CONFIG", "SET", *(part for name, file in settings.items() for part in (f"tls-{name}-file", str(second / file)))
    )
    node.client_options = own_client(second)


def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What was logged about certificates."""
    return [entry.getMessage() for entry in caplog.records if (entry.name, entry.levelno) == ("receiver.redis", level)]


@pytest.mark.tls_server
async def test_certificates_are_renewed(server: Node, renewal: Renewal, caplog: pytest.LogCaptureFixture) -> None:
    """Half of what is new is refused, and the old goes on; all of it is used by the next connection."""
    caplog.set_level(logging.INFO)
    client = connect(f"rediss://127.0.0.1:{server.port}/0", timeout_s=10, **renewal.files)

    async def reconnected() -> str:
        await client.connection_pool.disconnect()
        return await ping(client)

    assert "" == await reconnected()
    renewal.renew(1, "client.crt")
    assert ["", ""] == [await reconnected(), await reconnected()]
    [refused] = told(caplog, logging.ERROR)
    assert str(renewal.live / "client.key") in refused

    serve_second(server, renewal)
    assert await reconnected()
    renewal.renew(1, "client.key", "ca.crt")
    assert ["", 1] == [await reconnected(), len(told(caplog, logging.INFO))]
    (renewal.live / "ca.crt").unlink()
    assert "" == await reconnected()
    await client.aclose()


@pytest.mark.tls_server
@pytest.mark.topology
async def test_certificates_of_a_cluster_s_client(tls_binary: str, renewal: Renewal) -> None:
    """The client of caches on a Cluster reads its files again, too."""
    first = renewal.generations[0]
    options = [*server_options(first, clients="yes"), "--tls-cluster", "yes"]
    with Cluster(*options, binary=tls_binary, **own_client(first)).running() as cluster:
        client = connect_cluster(cluster.url(scheme="rediss"), timeout_s=10, **renewal.files)
        assert await client.ping(target_nodes=client.RANDOM)
        await client.aclose()
        (renewal.live / "client.crt").write_text("half a certificate")
        assert await client.ping(target_nodes=client.RANDOM)
        await client.aclose()


@pytest.mark.tls_server
async def test_a_running_receiver(server: Node, renewal: Renewal, clock: Clock, op: OP, tmp_path: Path) -> None:
    """A bad file is shown by readiness and names itself; logouts go on, and a good one is in force again."""
    url = f"rediss://127.0.0.1:{server.port}/0"
    config = tmp_path / "receiver.yaml"
    listeners = {name: {"host": "127.0.0.1", "port": 0} for name in ("public", "internal")}
    place = {"url": url, **{name: str(file) for name, file in renewal.files.items()}}
    config.write_text(yaml.safe_dump({**listeners, "redis": place, "tenants": [t1(op)], "reload": {"interval_s": 0}}))
    source = SettingsSource(config)
    client = connect(url, timeout_s=10, **renewal.files)
    async with client, receiving(source.read(), source, clock=clock) as running_server, aiohttp.ClientSession() as http:
        receiver = Receiver(running_server, http, client)
        reload = running_server.state.reload
        assert reload is not None
        (renewal.live / "ca.crt").write_text("no certificate")
        await reload.read()
        assert str(renewal.live / "ca.crt") in reload.problem
        assert 0.0 == running_server.metrics.registry.get_sample_value("logout_config_ok")
        await client.connection_pool.disconnect()
        assert 200 == (await receiver.post(op.token(jti="meanwhile"))).status
        assert ["meanwhile"] == [event["data"]["jti"] for event in await receiver.events()]

        renewal.renew(0, "ca.crt")
        await reload.read()
        assert "" == reload.problem
        assert 1.0 == running_server.metrics.registry.get_sample_value("logout_config_ok")


@pytest.mark.parametrize("option", [*FILES, "password_file"])
@pytest.mark.parametrize("content", [None, ""], ids=["missing", "empty"])
def test_a_file_that_cannot_be_used_is_named(renewal: Renewal, option: str, content: str | None) -> None:
    """Each file of a Redis is named by its setting, at the start and when it changes."""
    files = {**renewal.files, "password_file": renewal.live / "password"}
    files["password_file"].write_text("secret")
    if content is None:
        files[option].unlink()
    else:
        files[option].write_text(content)
    settings = RedisSettings(url="rediss://one", **files)
    with pytest.raises(ConfigurationError) as refused:
        settings.check_files()
    assert all(part in refused.value.message for part in (f"redis.{option}", str(files[option])))


@pytest.mark.topology
async def test_password_at_the_sentinels(tmp_path: Path) -> None:
    """It is read again for every question; one that is away for a moment changes nothing."""
    file = tmp_path / "password"
    file.write_text("old")
    user = "ACL SETUSER looker on {} +auth +hello +ping +sentinel|get-master-addr-by-name"
    with SentinelSetUp(sentinel_users=[user.format(">old")]).running() as set_up:
        client = connect(set_up.url(), timeout_s=10, sentinel_username="looker", sentinel_password_file=file)
        primary = client.connection_pool.connection_kwargs["primary"]

        async def asked_anew() -> str:
            if primary.known:
                primary.lost(primary.known)
            await client.connection_pool.disconnect()
            return await ping(client)

        assert "" == await asked_anew()
        for sentinel in set_up.sentinels:
            sentinel.ask("ACL", "SETUSER", "looker", "<old", ">new")
        assert await asked_anew()
        file.write_text("new")
        assert "" == await asked_anew()
        file.write_text("")
        assert "" == await asked_anew()
        await client.aclose()
