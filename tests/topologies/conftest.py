"""Fixtures: the topologies, each started once for the tests that leave it as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import blocks, read
from tests.support.needed import missing
from tests.topologies.certificates import Authority
from tests.topologies.servers import Cluster, SentinelSetUp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def users(*languages: str) -> list[str]:
    """The commands that make the users: those of events.md, and what redis.md adds in blocks of these languages."""
    added = [block for language in languages for block in blocks(read("redis.md"), language)]
    return [line for block in [*blocks(read("events.md"), "redis-acl"), *added] for line in block.splitlines()]


@pytest.fixture(scope="session")
def sentinel() -> Iterator[SentinelSetUp]:
    [at_sentinels] = blocks(read("redis.md"), "sentinel-acl")
    set_up = SentinelSetUp(users=users("redis-acl-wait"), sentinel_users=at_sentinels.splitlines())
    with set_up.running():
        yield set_up


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with Cluster(users=users("redis-acl-wait", "redis-acl-cluster")).running() as running:
        yield running


@pytest.fixture
def fresh_sentinel() -> Iterator[SentinelSetUp]:
    """One that a test may break."""
    with SentinelSetUp().running() as set_up:
        yield set_up


@pytest.fixture
def fresh_cluster() -> Iterator[Cluster]:
    """One that a test may break."""
    with Cluster().running() as running:
        yield running


@pytest.fixture(scope="session")
def tls_binary() -> str:
    """A redis-server that was built with TLS; CI must have one."""
    named = os.environ.get("TLS_REDIS_SERVER")
    directories = os.environ.get("PATH", "").split(os.pathsep)
    on_path = [shutil.which(name, path=place) for place in directories for name in ("redis-server", "valkey-server")]
    for name in filter(None, [named, *on_path]):
        trial = subprocess.run([name, "--port", "0", "--tls-port", "1"], capture_output=True, timeout=10, check=False)
        if b"tls-cert-file" in trial.stdout:
            return name
    return missing("no redis-server with TLS on PATH (apt-get install redis-server), or name one in TLS_REDIS_SERVER")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.crt, server.*, client.*, and other-ca.crt, which signed nothing of them."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = Authority(directory)
    authority.issue("server", "127.0.0.1")
    authority.issue("elsewhere", "192.0.2.1")
    authority.issue("client")
    Authority(directory, "other-ca")
    return directory
