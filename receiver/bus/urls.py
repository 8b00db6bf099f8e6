"""URLs that name several nodes, of a Sentinel set-up or of a Cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from receiver.bus.primary import Node, Primary, cluster_question, replication_question, sentinel_question
from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

SENTINEL, CLUSTER = "sentinel", "cluster"
TOPOLOGIES = {
    "redis": "", "rediss": "", "unix": "",
    "redis+sentinel": SENTINEL, "rediss+sentinel": SENTINEL,
    "redis+cluster": CLUSTER, "rediss+cluster": CLUSTER,
}  # fmt: skip
"""URL schemes; `rediss` is TLS."""

DEFAULT_PORTS = {SENTINEL: 26379, CLUSTER: 6379}


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """A URL that names several nodes: `redis+sentinel://host,host/service/db` or `redis+cluster://host,host`."""

    topology: str
    tls: bool
    nodes: tuple[Node, ...]
    service: str
    db: int
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> Several:
        """Take a URL apart.

        Raises:
            ConfigurationError: naming the part that is wrong.
        """
        parts = urlsplit(url)
        topology = TOPOLOGIES[parts.scheme]
        service, _, db = parts.path.strip("/").partition("/")
        if topology == CLUSTER:
            service, db = "", service
        if topology == SENTINEL and not service:
            raise ConfigurationError("redis.url: has no master name, expected redis+sentinel://host:26379/mymaster/0")
        if not (db or "0").isdecimal() or (topology == CLUSTER and int(db or 0)) or parts.query:
            raise ConfigurationError("redis.url: expected a database number (0 on a Cluster) and nothing after it")
        hosts = parts.netloc.rpartition("@")[2].split(",")
        try:
            nodes = [(split.hostname, split.port) for split in (urlsplit(f"//{host}") for host in hosts)]
        except ValueError:
            raise ConfigurationError("redis.url: a port is not a number") from None
        if not all(host for host, _ in nodes):
            raise ConfigurationError("redis.url: a host between the commas is empty")
        return cls(
            topology=topology,
            tls=parts.scheme.startswith("rediss"),
            nodes=tuple((str(host), port or DEFAULT_PORTS[topology]) for host, port in nodes),
            service=unquote(service),
            db=int(db or 0),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )

    def primary(self, prefix: str) -> Primary:
        """Where the primary of the keys with this prefix is found.

        Raises:
            ConfigurationError: on a Cluster, the prefix has no part in braces.
        """
        if self.topology == SENTINEL:
            return Primary(self.nodes, sentinel_question(self.service), replication_question())
        if not 0 <= prefix.find("{") < prefix.find("}") - 1:
            raise ConfigurationError("redis.prefix: on a Cluster it needs a part in braces, as in {logout}")
        return Primary(self.nodes, cluster_question(prefix), cluster_question(prefix))

    def access(self) -> dict[str, Any]:
        """User and password at Redis."""
        return {"username": self.username, "password": self.password}

    def asking_access(self, access: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """User and password at the nodes that are asked."""
        if self.topology == CLUSTER:
            return access
        return {"username": options.get("sentinel_username"), "password": options.get("sentinel_password")}
