"""Set-ups of an operator: a right one, and ways to break it, with the first line that `receiver doctor` has to say."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import redis.asyncio

from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis, free_port
from receiver.consumer import ThreadSubscriber
from tests.support.keys import ec_pair, rsa_pair
from tests.support.op import OP
from tests.support.receiver import t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from aiohttp import web


METADATA = {
    "backchannel_logout_supported": True,
    "backchannel_logout_session_supported": True,
    "id_token_signing_alg_values_supported": ["RS256"],
}


class DatedOP(OP):
    """One whose clock may be ahead."""

    ahead_s = 0.0

    async def _jwks(self, request: web.Request) -> web.Response:
        return self._dated(await super()._jwks(request))

    async def _discovery(self, request: web.Request) -> web.Response:
        return self._dated(await super()._discovery(request))

    def _dated(self, response: web.Response) -> web.Response:
        response.headers["Date"] = formatdate(time.time() + self.ahead_s, usegmt=True)
        return response


@dataclass
class World:
    """A set-up with nothing to complain about, for a test to break.

    Attributes:
        master: A Redis that keeps what it is given.
        replica: Its replica.
        admin: A client of the master that may do anything.
        op: An OP that does everything that is needed.
        folder: For files.
        stack: Ends what a test starts.
        settings: What the operator writes.
    """

    master: EmbeddedRedis
    replica: EmbeddedRedis
    admin: redis.asyncio.Redis
    op: DatedOP
    folder: Path
    stack: ExitStack
    settings: dict[str, Any] = field(default_factory=dict)

    def tenant(self, **changes: Any) -> None:
        """Change the tenant."""
        self.settings["tenants"] = [t1(self.op, **changes)]

    def redis(self, url: str, **changes: Any) -> None:
        """Name another Redis."""
        # Not more impatient than a busy machine is slow.
        self.settings["redis"] = {"url": url, "timeout_s": 10, **changes}

    def caches(self, *caches: dict[str, Any]) -> None:
        """Name caches, and the secret that keeps their index from being a complaint of its own."""
        secret = self.folder / "index-secret"
        secret.write_text("s" * 32)
        self.settings |= {"caches": list(caches), "evictor": {"index_secret_file": str(secret)}}


@dataclass(frozen=True)
class Line:
    """The first line: which check it is, and what it names."""

    area: str
    check: str
    outcome: str
    names: tuple[str, ...]


def no_redis(world: World) -> None:
    """Nothing listens at the address."""
    world.redis("redis://127.0.0.1:1/0")


async def wrong_password(world: World) -> None:
    """The user is there, the password is another."""
    await world.admin.acl_setuser("receiver", enabled=True, passwords=["+right"], keys=["*"], categories=["+@all"])
    world.redis(f"redis://receiver:wrong@127.0.0.1:{world.master.port}/0")


def tls_to_a_plain_port(world: World) -> None:
    """`rediss` in front of a port without TLS."""
    world.redis(f"rediss://127.0.0.1:{world.master.port}/0", timeout_s=1)


def a_replica(world: World) -> None:
    """The address is a replica's."""
    world.redis(world.replica.url)


async def keys_are_thrown_away(world: World) -> None:
    """A policy for caches, and a limit."""
    await world.admin.config_set("maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")


async def nothing_on_disk(world: World) -> None:
    """No append-only file."""
    await world.admin.config_set("appendonly", "no")


async def no_right_to_scripts(world: World) -> None:
    """A user that may run no script."""
    await world.admin.acl_setuser("receiver", reset=True)
    await world.admin.execute_command("ACL", "SETUSER", "receiver", "on", ">pw", "~*", "+@all", "-@scripting")
    world.redis(world.master.url, username="receiver", password="pw")


def too_few_replicas(world: World) -> None:
    """More replicas are waited for than there are."""
    world.redis(world.master.url, wait_replicas=2)


async def a_node_of_a_cluster(world: World) -> None:
    """One node of a Cluster, named as a single server."""
    node = world.stack.enter_context(
        EmbeddedRedis(port=free_port(cluster=True), arguments=("--cluster-enabled", "yes"))
    )
    world.redis(node.url)


def unknown_parameter(world: World) -> None:
    """A parameter that redis-py does not know either."""
    world.redis(world.master.url + "?foo=bar")


def decoded_responses(world: World) -> None:
    """One that changes what redis-py returns."""
    world.redis(world.master.url + "?decode_responses=true")


def no_verification(world: World) -> None:
    """One that switches verification off."""
    world.redis("rediss://redis.example/0?ssl_cert_reqs=none")


def no_such_ca(world: World) -> None:
    """A file that is not there."""
    world.redis("rediss://redis.example/0", ca_file=str(world.folder / "ca.crt"))


async def no_config(world: World) -> None:
    """A cache whose Redis hides CONFIG, as managed services do."""
    await world.admin.execute_command("ACL", "SETUSER", "receiver", "reset", "on", ">pw", "~*", "+@all", "-config")
    world.redis(world.master.url)
    world.caches(
        {
            "layout": "msal-python",
            "prefix": "msal:",
            "name": "tokens",
            "redis": {"url": world.master.url, "username": "receiver", "password": "pw"},
        }
    )
    await world.admin.set("msal:1", "{}")


async def renamed_config(world: World) -> None:
    """A cache's server on which CONFIG is renamed."""
    other = world.stack.enter_context(EmbeddedRedis(arguments=("--rename-command", "CONFIG", "")))
    world.caches({"layout": "msal-python", "prefix": "msal:", "name": "tokens", "redis": {"url": other.url}})
    async with redis.asyncio.Redis.from_url(other.url) as client:
        await client.set("msal:1", "{}")


def a_prefix_of_nothing(world: World) -> None:
    """No key begins so."""
    world.caches({"layout": "msal-python", "prefix": "other:", "name": "tokens"})


async def encrypted_values(world: World) -> None:
    """Values that only the app can read."""
    world.caches({"layout": "msal-python", "prefix": "msal:", "name": "tokens"})
    await world.admin.set("msal:1", "gAAAAA" + "x" * 100)


def a_slash(world: World) -> None:
    """The OP's issuer has a slash at its end, the setting has none."""
    world.op.metadata["issuer"] = world.op.issuer + "/"


def inner_name(world: World) -> None:
    """The OP is asked by its inner name, and publishes that."""
    world.tenant(issuer="https://op.example/t1", discovery_url=world.op.issuer + "/.well-known/openid-configuration")


def a_prefix_too_many(world: World) -> None:
    """The issuer has the path prefix of an older release, the OP has none."""
    world.tenant(issuer=world.op.origin + "/auth/t1")


def a_prefix_in_front(world: World) -> None:
    """A proxy adds a path prefix, which the OP's inner address does not have."""
    world.op.metadata["issuer"] = "https://op.example/sso/t1"
    inner = world.op.origin + "/sso/t1/.well-known/openid-configuration"
    world.tenant(issuer="https://op.example/sso/t1", discovery_url=inner)


def a_prefix_too_few(world: World) -> None:
    """The OP's own issuer has a path prefix, the setting has none."""
    world.op.metadata["issuer"] = world.op.origin + "/auth/t1"


def keys_behind_a_prefix(world: World) -> None:
    """The document names keys at a path that only the outer address has."""
    world.op.metadata["jwks_uri"] = world.op.origin + "/sso/t1/jwks"


async def apps_in_another_database(world: World) -> None:
    """The receiver publishes to database 0, an app listens in 3."""
    url = world.master.url.removesuffix("/0") + "/3"
    world.stack.enter_context(ThreadSubscriber(url, lambda _: None, app="shop"))
    async with redis.asyncio.Redis.from_url(url) as there:
        await until(lambda: there.exists(KeyNames().instances))


async def one_app_in_another_database(world: World) -> None:
    """One of two apps that are declared."""
    await apps_in_another_database(world)
    world.stack.enter_context(ThreadSubscriber(world.master.url, lambda _: None, app="portal"))
    await until(lambda: world.admin.exists(KeyNames().instances))
    world.settings["apps"] = ["portal", "shop"]


async def values_in_another_database(world: World) -> None:
    """The cache's values are in database 5."""
    world.caches({"layout": "msal-python", "prefix": "msal:", "name": "tokens"})
    async with redis.asyncio.Redis.from_url(world.master.url.removesuffix("/0") + "/5") as there:
        await there.set("msal:1", "{}")


def op_down(world: World) -> None:
    """The OP answers 500."""
    world.op.status = 500


def wrong_realm(world: World) -> None:
    """A path that the OP does not have."""
    world.tenant(issuer=world.op.origin + "/t2")


def no_such_op(world: World) -> None:
    """Nothing listens where the OP should be."""
    world.tenant(issuer="http://127.0.0.1:1/t1")


def wrong_proxy(world: World) -> None:
    """A proxy that is not there."""
    world.tenant(issuer="https://op.example/t1")
    world.settings["outbound"] = {"proxy_url": "http://127.0.0.1:1"}


def a_page_for_keys(world: World) -> None:
    """A page of HTML where the keys should be."""
    world.op.jwks_body = b"<!doctype html>"


def only_keys_for_encryption(world: World) -> None:
    """The OP publishes no key that signs."""
    world.op.keys = [rsa_pair("k1").published(use="enc")]


def keys_of_another_kind(world: World) -> None:
    """The OP signs with another algorithm."""
    world.op.keys = [ec_pair("k2").published()]
    world.op.metadata["id_token_signing_alg_values_supported"] = ["ES256"]


def no_back_channel(world: World) -> None:
    """The OP says that it has no back-channel logout."""
    world.op.metadata["backchannel_logout_supported"] = False


def clock_ahead(world: World) -> None:
    """The OP's clock is 90 s ahead."""
    world.op.ahead_s = 90.0


def no_tenants(world: World) -> None:
    """An empty list of tenants."""
    world.settings["tenants"] = []


def misspelt(world: World) -> None:
    """A setting that does not exist."""
    world.settings["redis"]["urll"] = "x"


def no_redis_named(world: World) -> None:
    """A child process in place of a Redis."""
    world.redis("embedded")


SETUPS: dict[str, tuple[Callable[[World], Any], int, Line]] = {
    one.__name__: (one, code, line)
    for one, code, line in [
        (no_redis, 1, Line("redis", "reachable", "failed", ("nothing listens", "redis.url"))),
        (wrong_password, 1, Line("redis", "reachable", "failed", ("password", "redis.password"))),
        (tls_to_a_plain_port, 1, Line("redis", "reachable", "failed", ("TLS", "redis://"))),
        (a_replica, 1, Line("redis", "publish", "failed", ("replica", "redis.url"))),
        (keys_are_thrown_away, 1, Line("redis", "eviction", "failed", ("allkeys-lru", "noeviction"))),
        (nothing_on_disk, 0, Line("redis", "persistence", "warning", ("nothing on disk", "appendonly yes"))),
        (no_right_to_scripts, 1, Line("redis", "publish", "failed", ("NoPermission", "+@scripting"))),
        (too_few_replicas, 1, Line("redis", "replicas", "failed", ("1 connected", "redis.wait_replicas"))),
        (a_node_of_a_cluster, 1, Line("redis", "publish", "failed", ("ClusterDownError", "redis+cluster://"))),
        (unknown_parameter, 2, Line("settings", "", "refused", ("redis.url", "foo"))),
        (decoded_responses, 2, Line("settings", "", "refused", ("redis.url", "decode_responses"))),
        (no_verification, 2, Line("settings", "", "refused", ("ssl_cert_reqs", "redis.ca_file"))),
        (no_such_ca, 2, Line("settings", "", "refused", ("redis.ca_file", "ca.crt"))),
        (no_config, 0, Line("cache tokens", "notifications", "warning", ("CONFIG", "notify-keyspace-events"))),
        (renamed_config, 0, Line("cache tokens", "notifications", "warning", ("CONFIG", "notify-keyspace-events"))),
        (a_prefix_of_nothing, 0, Line("cache tokens", "keys", "warning", ("other:", "prefix"))),
        (encrypted_values, 0, Line("cache tokens", "values", "warning", ("encrypted (Fernet)", "register"))),
        (a_slash, 1, Line("t1", "issuer", "failed", ("trailing slash", "issuer"))),
        (inner_name, 1, Line("t1", "issuer", "failed", ("the host differs", "jwks_uri"))),
        (a_prefix_too_many, 1, Line("t1", "discovery", "failed", ("without the path prefix /auth", "issuer to"))),
        (a_prefix_in_front, 1, Line("t1", "discovery", "failed", ("prefix /sso", "Keep the issuer", "discovery_url"))),
        (a_prefix_too_few, 1, Line("t1", "issuer", "failed", ("path prefix /auth", "the tenant's issuer"))),
        (keys_behind_a_prefix, 1, Line("t1", "jwks", "failed", ("HTTP 404", "path prefix", "jwks_uri"))),
        (apps_in_another_database, 1, Line("redis", "database", "failed", ("shop", "database 3", "the same database"))),
        (one_app_in_another_database, 1, Line("redis", "database", "failed", ("shop", "database 3"))),
        (values_in_another_database, 0, Line("cache tokens", "keys", "warning", ("database 5", "redis.url"))),
        (op_down, 1, Line("t1", "discovery", "failed", ("HTTP 500", "issuer"))),
        (wrong_realm, 1, Line("t1", "discovery", "failed", ("HTTP 404", "issuer"))),
        (no_such_op, 1, Line("t1", "discovery", "failed", ("127.0.0.1:1", "firewall"))),
        (wrong_proxy, 1, Line("t1", "discovery", "failed", ("proxy", "outbound.proxy_url"))),
        (a_page_for_keys, 1, Line("t1", "jwks", "failed", ("not JSON", "jwks_uri"))),
        (only_keys_for_encryption, 1, Line("t1", "jwks", "failed", ("its use", "signing key"))),
        (keys_of_another_kind, 1, Line("t1", "algorithms", "failed", ("ES256", "algorithms"))),
        (no_back_channel, 0, Line("t1", "backchannel", "warning", ("backchannel_logout_supported", "at the OP"))),
        (clock_ahead, 1, Line("t1", "clock", "failed", ("ahead of", "NTP"))),
        (no_tenants, 1, Line("tenants", "configured", "failed", ("every logout", "RECEIVER_ISSUER"))),
        (misspelt, 2, Line("settings", "", "refused", ("redis.urll",))),
        (no_redis_named, 0, Line("redis", "reachable", "warning", ("embedded", "redis.url"))),
    ]
}
