"""Real servers for these tests: single ones, a Sentinel set-up, a Cluster; also over TLS."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from receiver.bus.link.embedded import find_redis_server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MASTER = "mymaster"
"""Name of the service the Sentinels watch."""

DEADLINE_S = 60.0
"""Seconds anything here may take to come about, on a machine whose disk and processors are busy with other tests."""

HANDSHAKE_S = 5.0
"""Seconds after which nodes that do not know one another are introduced again: a handshake is given up after one."""

DATA_OPTIONS = ("--save", "", "--repl-diskless-sync-delay", "0")
"""No files, and replicas that need not wait for others to join them."""

SILENCE_MS = 800
"""Milliseconds a node is silent before the others replace it."""


def until(ask: Callable[[], Any], *, within_s: float = DEADLINE_S) -> Any:
    """Poll until the answer is true, and return it; no answer is not one."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if answer := ask():
                return answer
        if time.monotonic() > deadline:
            raise AssertionError("did not come about in time")
        time.sleep(0.02)


class Node:
    """One server process on loopback."""

    def __init__(self, *arguments: str, sentinel: bool = False, binary: str | None = None, **client: Any) -> None:
        self.port = free_port(cluster=True)
        self.directory = tempfile.TemporaryDirectory(prefix="topology-")
        self.client_options = client
        config = Path(self.directory.name) / "node.conf"
        config.touch()
        self.command = [
            *(binary or find_redis_server(), str(config), *(["--sentinel"] if sentinel else DATA_OPTIONS)),
            *("--dir", self.directory.name, "--logfile", str(config.with_name("log"))),
            *([] if "--tls-port" in arguments else ["--port", str(self.port)]),
            *(argument.replace("PORT", str(self.port)) for argument in arguments),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if wait:
            self.wait()

    def wait(self) -> None:
        process = self.process
        assert process is not None
        until(lambda: process.poll() is not None or self.ask("PING"))
        if process.poll() is not None:
            raise AssertionError(Path(self.directory.name, "log").read_text()[-600:])

    def ask(self, *command: object, timeout_s: float = 1.0) -> Any:
        """The answer to one command, on a connection of its own."""
        options = {
            "host": "127.0.0.1", "port": self.port, "socket_timeout": timeout_s, "protocol": 2, **self.client_options
        }  # fmt: skip
        with redis.Redis(retry=Retry(NoBackoff(), 0), **options) as client:
            return client.execute_command(*command)

    def tell(self, *command: object) -> None:
        """Set something up; a Sentinel and a node of a Cluster write it to their disk before they answer."""
        self.ask(*command, timeout_s=DEADLINE_S)

    def role(self) -> str:
        return str(self.ask("ROLE")[0].decode())

    def kill(self) -> None:
        """End it at once; it can be started again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """Let it hang: connections stay, nobody answers."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.kill()
        self.directory.cleanup()


@contextlib.contextmanager
def running(nodes: Sequence[Node]) -> Iterator[None]:
    """All of them started, and ended on the way out."""
    try:
        for node in nodes:
            node.start(wait=False)
        for node in nodes:
            node.wait()
        yield
    finally:
        for node in nodes:
            node.stop()


class SentinelSetUp:
    """One master, two replicas, three Sentinels."""

    def __init__(
        self,
        *arguments: str,
        users: Sequence[str] = (),
        at_sentinels: Sequence[str] = (),
        sentinel_users: Sequence[str] = (),
        **node: Any,
    ) -> None:
        self.users = users
        self.sentinel_users = sentinel_users
        self.master = Node(*arguments, **node)
        copied = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replicas = [Node(*arguments, *copied, **node) for _ in range(2)]
        self.sentinels = [Node(*at_sentinels, sentinel=True, **node) for _ in range(3)]

    @property
    def data_nodes(self) -> list[Node]:
        return [self.master, *self.replicas]

    def url(self, user: str = "", scheme: str = "redis") -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"{scheme}+sentinel://{user}{hosts}/{MASTER}/0"

    @property
    def acting(self) -> Node:
        """The node the first Sentinel calls master, once it calls itself so."""

        def find() -> Node | None:
            _, port = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
            node = next(node for node in self.data_nodes if node.port == int(port))
            return node if node.role() == "master" else None

        return until(find)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def running(self) -> Iterator[SentinelSetUp]:
        with running([*self.data_nodes, *self.sentinels]):
            for node in self.data_nodes:
                for user in self.users:
                    node.tell(*user.split())
            for sentinel in self.sentinels:
                sentinel.tell("SENTINEL", "MONITOR", MASTER, "127.0.0.1", self.master.port, 2)
                for option, value in (("down-after-milliseconds", SILENCE_MS), ("failover-timeout", 3000)):
                    sentinel.tell("SENTINEL", "SET", MASTER, option, value)
                for user in self.sentinel_users:
                    sentinel.tell(*user.split())
            until(lambda: all(self._sees_all(sentinel) for sentinel in self.sentinels))
            until(lambda: len(self.master.ask("ROLE")[2]) == 2)
            yield self

    @staticmethod
    def _sees_all(sentinel: Node) -> bool:
        state = sentinel.ask("SENTINEL", "MASTER", MASTER)
        named = dict(zip(state[::2], state[1::2], strict=True))
        return (b"2", b"2") == (named[b"num-other-sentinels"], named[b"num-slaves"])


class Cluster:
    """Three primaries, and for each one a replica."""

    def __init__(self, *arguments: str, users: Sequence[str] = (), **node: Any) -> None:
        self.users = users
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(SILENCE_MS), *arguments)
        self.nodes = [Node(*options, **node) for _ in range(6)]

    @property
    def primaries(self) -> list[Node]:
        return self.nodes[:3]

    def url(self, user: str = "", scheme: str = "redis") -> str:
        return f"{scheme}+cluster://{user}" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    def owner(self, slot: int) -> Node:
        """The primary that serves a slot, as the others see it."""

        def find() -> Node | None:
            for node in self.nodes:
                with contextlib.suppress(redis.RedisError, OSError):
                    for first, last, [_, port, *_], *_ in node.ask("CLUSTER", "SLOTS"):
                        if first <= slot <= last:
                            found = next(node for node in self.nodes if node.port == int(port))
                            return found if found.role() == "master" else None
            return None

        return until(find)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def running(self) -> Iterator[Cluster]:
        with running(self.nodes):
            bounds = [0, 5461, 10923, 16384]
            for index, node in enumerate(self.primaries):
                node.tell("CLUSTER", "ADDSLOTS", *range(bounds[index], bounds[index + 1]))
            for epoch, node in enumerate(self.nodes, 1):
                node.tell("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            until(self._have_met)
            for primary, replica in zip(self.primaries, self.nodes[3:], strict=True):
                name = primary.ask("CLUSTER", "MYID")
                until(partial(replica.ask, "CLUSTER", "REPLICATE", name))
            until(lambda: all(b"cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in self.nodes))
            until(lambda: all(node.ask("ROLE")[3] == b"connected" for node in self.nodes[3:]))
            until(lambda: all(self._sees_all(node) for node in self.nodes))
            for node in self.nodes:
                for user in self.users:
                    node.ask(*user.split())
            yield self

    def _have_met(self) -> bool:
        for node in self.nodes:
            node.tell("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        with contextlib.suppress(AssertionError):
            until(
                lambda: all(b"cluster_known_nodes:6" in node.ask("CLUSTER", "INFO") for node in self.nodes),
                within_s=HANDSHAKE_S,
            )
            return True
        return False

    @staticmethod
    def _sees_all(node: Node) -> bool:
        return [2, 2, 2] == [len(nodes) for _, _, *nodes in node.ask("CLUSTER", "SLOTS")]
