"""TLS with and without client certificates, on one server, Sentinel and Cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.link.connection import connect, ping
from receiver.consumer import Eviction, Subscriber
from receiver.tasks import cancel
from tests.support.receiver import start_receiver, t1
from tests.topologies.servers import DEADLINE_S, Cluster, Node, SentinelSetUp, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.op import OP

pytestmark = pytest.mark.tls_server


def server_options(certificates: Path, *, clients: str = "no", name: str = "server") -> list[str]:
    files = {"cert": f"{name}.crt", "key": f"{name}.key", "ca-cert": "ca.crt"}
    given = [text for option, file in files.items() for text in (f"--tls-{option}-file", str(certificates / file))]
    return ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", clients, "--tls-replication", "yes", *given]


def own_client(certificates: Path) -> dict[str, Any]:
    """How the tests themselves reach such a server."""
    files = {"ssl_ca_certs": "ca.crt", "ssl_certfile": "client.crt", "ssl_keyfile": "client.key"}
    return {
        "ssl": True,
        "ssl_check_hostname": False,
        **{name: str(certificates / file) for name, file in files.items()},
    }


@pytest.fixture(scope="module")
def servers(tls_binary: str, certificates: Path) -> Iterator[dict[str, Node]]:
    """One that takes any client, one that wants certificates, one whose own names another address."""
    client = own_client(certificates)
    nodes = {
        "tls": Node(*server_options(certificates), binary=tls_binary, **client),
        "mtls": Node(*server_options(certificates, clients="yes"), binary=tls_binary, **client),
        "elsewhere": Node(*server_options(certificates, name="elsewhere"), binary=tls_binary, **client),
    }
    with running(list(nodes.values())):
        yield nodes


@pytest.mark.parametrize(
    ("server", "files", "problem"),
    [
        ("tls", {"ca_file": "ca.crt"}, ""),
        ("tls", {"ca_file": "other-ca.crt"}, "certificate refused"),
        ("tls", {}, "certificate refused"),
        ("elsewhere", {"ca_file": "ca.crt"}, "certificate refused: IP address mismatch"),
        ("mtls", {"ca_file": "ca.crt", "cert_file": "client.crt", "key_file": "client.key"}, ""),
        ("mtls", {"ca_file": "ca.crt"}, "ConnectionError"),
    ],
    ids=["ca", "other ca", "system's cas", "other host", "mtls", "no certificate"],
)
async def test_who_is_trusted(
    servers: dict[str, Node], certificates: Path, server: str, files: dict[str, str], problem: str
) -> None:
    """The server must have a certificate of the given CA for its address, and gets ours where it wants one."""
    url = f"rediss://127.0.0.1:{servers[server].port}/0"
    options: Any = {name: certificates / file for name, file in files.items()}
    client = connect(url, timeout_s=2, **options)
    said = await ping(client)
    assert (bool(problem), True) == (bool(said), problem in said)
    await client.aclose()


async def test_receiver_and_consumer_over_mtls(
    servers: dict[str, Node], certificates: Path, clock: Clock, op: OP
) -> None:
    """A logout reaches a subscriber, both with client certificates."""
    url = f"rediss://127.0.0.1:{servers['mtls'].port}/0"
    names = {"ca_file": "ca.crt", "cert_file": "client.crt", "key_file": "client.key"}
    files: Any = {name: certificates / file for name, file in names.items()}
    heard: asyncio.Queue[Eviction] = asyncio.Queue()
    client = connect(url, timeout_s=2, **files)
    async with start_receiver(url, client, clock, [t1(op)], redis=files) as receiver:
        listening = asyncio.create_task(Subscriber(url, heard.put, app="portal", **files).run())
        assert 200 == (await receiver.post(op.token(jti="over-tls"))).status
        async with asyncio.timeout(DEADLINE_S):
            assert "over-tls" == (await heard.get()).jti
    await cancel(listening)
    await client.aclose()


@pytest.mark.topology
@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
async def test_topologies_over_tls(tls_binary: str, certificates: Path, kind: str) -> None:
    """The primary is found and reached over TLS, the nodes that are asked as well."""
    node = {"binary": tls_binary, **own_client(certificates)}
    options = server_options(certificates)
    with (
        SentinelSetUp(*options, at_sentinels=options, **node).running()
        if kind == "sentinel"
        else Cluster(*options, "--tls-cluster", "yes", **node).running()
    ) as topology:
        client = connect(topology.url(scheme="rediss"), timeout_s=2, ca_file=certificates / "ca.crt")
        assert "" == await ping(client)
        await client.aclose()
        plain = connect(topology.url(scheme="rediss"), timeout_s=2, ca_file=certificates / "other-ca.crt")
        assert await ping(plain)
        await plain.aclose()
