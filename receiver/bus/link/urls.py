"""Redis URLs: one server, or several nodes of a Sentinel set-up or of a Cluster.

Taken apart here and not by `urllib`, which since 2023 refuses a host in brackets behind a comma.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from redis.connection import parse_url

from receiver.bus.link.primary import Node, Primary, cluster_question, replication_question, sentinel_question
from receiver.errors import ConfigurationError

SINGLE, UNIX, SENTINEL, CLUSTER = "single", "unix", "sentinel", "cluster"
TOPOLOGIES = {
    "redis": SINGLE, "rediss": SINGLE, "unix": UNIX,
    "redis+sentinel": SENTINEL, "rediss+sentinel": SENTINEL,
    "redis+cluster": CLUSTER, "rediss+cluster": CLUSTER,
}  # fmt: skip
"""URL schemes; `rediss` is TLS."""

DEFAULT_PORTS = {SINGLE: 6379, SENTINEL: 26379, CLUSTER: 6379}

MAX_PORT = 65_535

PARAMETERS = {"db": "0|[1-9][0-9]{0,8}", "client_name": "[!-~]{1,64}", "protocol": "[23]"}
"""Parameters a URL of a single server may have, and what each may be; redis-py knows more, and acts on them unasked."""

_INSTEAD = {
    "username": "redis.username, or the part before @",
    "password": "redis.password_file, or the part before @",
    "ssl": "rediss as the scheme",
    "ssl_ca_certs": "redis.ca_file",
    "ssl_certfile": "redis.cert_file",
    "ssl_keyfile": "redis.key_file",
    "ssl_cert_reqs": "redis.ca_file for a private CA; certificates are always verified",
    "ssl_check_hostname": "a certificate with the right name; names are always verified",
    "socket_timeout": "redis.timeout_s",
    "socket_connect_timeout": "redis.timeout_s",
    "timeout": "redis.timeout_s",
}
"""Where a setting of ours does what a parameter does elsewhere."""

_URL = re.compile(
    r"(?P<scheme>[^:/?#]*):(//(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(\?(?P<query>[^#]*))?(?P<more>#.*)?"
)
_HOST = re.compile(r"(\[(?P<address>[^][]*)\]|(?P<name>[^][:\s]*))(:(?P<port>[^:]*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisURL:
    """A URL taken apart: `redis://user:password@host:port/db`, `redis+sentinel://host,host/service/db`, and so on.

    Attributes:
        scheme: One of `TOPOLOGIES`.
        hosts: As written; empty for a socket file.
        nodes: Hosts and ports in the order given; none for a socket file.
        service: Name of the master that Sentinels watch; empty elsewhere.
        db: Number of the database; of a single server it may also be in `query`.
        path: As written: of a socket file, or database and service.
        query: As written, for redis-py; only a single server and a socket file have one.
        username: Decoded; None if there is none.
        password: Decoded; None if there is none.
    """

    scheme: str
    hosts: str
    nodes: tuple[Node, ...]
    service: str
    db: int
    path: str
    query: str
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> RedisURL:
        """Take a URL apart; no error names a password.

        Raises:
            ConfigurationError: naming the part that is wrong.
        """
        parts = _URL.fullmatch(url.strip())
        scheme = parts["scheme"].lower() if parts else ""
        if parts is None or scheme not in TOPOLOGIES:
            raise ConfigurationError(f"redis.url: scheme {scheme!r} is not one of {', '.join(TOPOLOGIES)}")
        if parts["more"]:
            raise ConfigurationError("redis.url: a # must be percent-encoded")
        topology, path, query = TOPOLOGIES[scheme], parts["path"], parts["query"] or ""
        user_info, _, hosts = (parts["authority"] or "").rpartition("@")
        username, _, password = user_info.partition(":")
        nodes = _nodes(topology, hosts)
        service, db = _service_and_db(topology, path, query)
        parsed = cls(
            scheme=scheme,
            hosts=hosts,
            nodes=nodes,
            service=service,
            db=db,
            path=path,
            query=query,
            username=unquote(username) or None,
            password=unquote(password) or None,
        )
        if not parsed.names_several:
            _check_for_redis_py(parsed.without_access)
        return parsed

    @property
    def topology(self) -> str:
        """`SINGLE`, `UNIX`, `SENTINEL` or `CLUSTER`."""
        return TOPOLOGIES[self.scheme]

    @property
    def tls(self) -> bool:
        """Whether connections are made over TLS."""
        return self.scheme.startswith("rediss")

    @property
    def names_several(self) -> bool:
        """Whether the primary has to be looked for."""
        return self.topology in {SENTINEL, CLUSTER}

    @property
    def without_access(self) -> str:
        """The URL without user and password."""
        return self._written("", self.query)

    @property
    def without_secrets(self) -> str:
        """The URL to be shown: the password hidden, and the query, which may hold one."""
        hidden = f"{self.username or ''}:***@" if self.password else f"{self.username}@" if self.username else ""
        return self._written(hidden, "***" if self.query else "")

    def _written(self, user_info: str, query: str) -> str:
        return f"{self.scheme}://{user_info}{self.hosts}{self.path}" + (f"?{query}" if query else "")

    def primary(self, prefix: str) -> Primary:
        """Where the primary of the keys with this prefix is found; for a URL that names several.

        Raises:
            ConfigurationError: on a Cluster, the prefix has no part in braces.
        """
        if self.topology == SENTINEL:
            return Primary(self.nodes, sentinel_question(self.service), replication_question())
        if not 0 <= prefix.find("{") < prefix.find("}") - 1:
            raise ConfigurationError("redis.prefix: on a Cluster it needs a part in braces, as in {logout}")
        return Primary(self.nodes, cluster_question(prefix), cluster_question(prefix))


def _nodes(topology: str, hosts: str) -> tuple[Node, ...]:
    if topology == UNIX:
        if hosts:
            raise ConfigurationError("redis.url: a socket file has no host, expected unix:///path?db=0")
        return ()
    if not hosts:
        raise ConfigurationError("redis.url: has no host, expected redis://host:6379/0")
    if topology == SINGLE and "," in hosts:
        raise ConfigurationError("redis.url: several hosts need redis+sentinel:// or redis+cluster://")
    return tuple(_node(host, DEFAULT_PORTS[topology]) for host in hosts.split(","))


def _node(host: str, default_port: int) -> Node:
    parts = _HOST.fullmatch(host)
    if parts is None:
        raise ConfigurationError("redis.url: a host is not understood; an IPv6 address goes in brackets, as in [::1]")
    port = parts["port"] or str(default_port)
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= MAX_PORT):
        raise ConfigurationError(
            "redis.url: a port is not a number; in a password, : / ? # and % must be percent-encoded"
        )
    if parts["address"] is None:
        name = unquote(parts["name"]).lower()
        if not name:
            raise ConfigurationError("redis.url: a host between the commas is empty")
        return name, int(port)
    address = unquote(parts["address"])
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ConfigurationError("redis.url: what is in brackets is not an IPv6 address") from None
    return address, int(port)


def _service_and_db(topology: str, path: str, query: str) -> tuple[str, int]:
    if topology == UNIX:
        if not path:
            raise ConfigurationError("redis.url: has no path, expected unix:///path?db=0")
        _check_parameters(query)
        return "", 0
    service, _, db = path.strip("/").partition("/")
    if topology != SENTINEL:
        service, db = "", path.strip("/")
    elif not service:
        raise ConfigurationError("redis.url: has no master name, expected redis+sentinel://host:26379/mymaster/0")
    db = db or "0"
    if not (db.isascii() and db.isdecimal()) or (topology == CLUSTER and int(db)):
        raise ConfigurationError("redis.url: expected a database number (0 on a Cluster) behind the host")
    if query and topology not in {SINGLE, UNIX}:
        raise ConfigurationError("redis.url: nothing may follow the database number where several hosts are named")
    _check_parameters(query)
    return unquote(service), int(db)


def _check_parameters(query: str) -> None:
    seen = set()
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            instead = f"; use {_INSTEAD[name]}" if name in _INSTEAD else ""
            known = ", ".join(PARAMETERS)
            raise ConfigurationError(f"redis.url: parameter {name[:40]!r} is not one of {known}{instead}")
        if re.fullmatch(PARAMETERS[name], value, re.ASCII) is None or name in seen:
            raise ConfigurationError(f"redis.url: parameter {name!r} has a value that is not understood, or two")
        seen.add(name)


def _check_for_redis_py(url: str) -> None:
    try:
        parse_url(url)
    except ValueError as error:
        raise ConfigurationError(f"redis.url: {error}") from None
