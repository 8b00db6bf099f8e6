"""Where the primary is, which every connection is made to: behind Sentinel, and of one slot of a Cluster; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
import redis.asyncio.connection
from redis.crc import key_slot
from redis.exceptions import (
    AuthenticationError,
    ResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Node = tuple[str, int]
"""Host and port."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask a node that may know, and how to read its answer.

    Attributes:
        command: Sent as it is.
        read: From the reply and the node asked: the primary it names, if any, and further nodes that may know.
    """

    command: tuple[str, ...]
    read: Callable[[Any, Node], tuple[Node | None, list[Node]]]


class Primary:
    """Where the primary is, as far as is known; no I/O. One object serves all connections of a client.

    Args:
        seeds: Nodes to ask, as configured.
        question: What to ask them.
        standby_question: What to ask the primary for servers that may take its place.

    Attributes:
        known: The primary; None when it has to be asked for.
    """

    def __init__(self, seeds: tuple[Node, ...], question: Question, standby_question: Question) -> None:
        self.question = question
        self.standby_question = standby_question
        self._seeds = seeds
        self._peers: list[Node] = []
        self.known: Node | None = None
        self._failed: Node | None = None

    def search(self) -> Generator[Node, Any, Node]:
        """Yields the nodes to ask, takes each one's reply or its failure, and returns the primary.

        Raises:
            redis.ConnectionError: none names a primary.
        """
        if self.known is not None:
            return self.known
        doubtful: Node | None = None
        failures: list[BaseException] = []
        # The one that failed last comes last, and is believed last: what is said of it may be old.
        for node in sorted(dict.fromkeys([*self._seeds, *self._peers]), key=lambda node: node == self._failed):
            reply = yield node
            if isinstance(reply, BaseException):
                failures.append(reply)
                continue
            primary, peers = self.question.read(reply, node)
            self._peers = peers or self._peers
            doubtful = primary or doubtful
            if primary is not None and primary != self._failed:
                break
        if doubtful is None:
            raise _nobody_knows(failures)
        self.known = doubtful
        return doubtful

    def lost(self, node: Node) -> None:
        """A connection to it failed, or it is not the primary any more: ask again before the next one."""
        self._failed = node
        if self.known == node:
            self.known = None


def sentinel_question(service: str) -> Question:
    """Ask a Sentinel for the master of a service."""

    def read(reply: Any, _: Node) -> tuple[Node | None, list[Node]]:
        return ((_text(reply[0]), int(reply[1])) if reply else None), []

    return Question(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service), read)


def cluster_question(prefix: str) -> Question:
    """Ask a Cluster node who serves the slot of all keys with this prefix."""
    slot = key_slot(prefix.encode())

    def read(reply: Any, asked: Node) -> tuple[Node | None, list[Node]]:
        owner, peers = None, []
        for first, last, *nodes in reply:
            # A node that does not know its own address leaves it empty: it is the one we asked.
            named = [(_text(node[0]) or asked[0], int(node[1])) for node in nodes]
            peers += named
            if first <= slot <= last:
                owner = named[0]
        return owner, peers

    return Question(("CLUSTER", "SLOTS"), read)


def replication_question() -> Question:
    """Ask a master for its replicas."""

    def read(reply: Any, _: Node) -> tuple[Node | None, list[Node]]:
        _, _, replicas = reply
        return None, [(_text(host), int(port)) for host, port, _ in replicas]

    return Question(("ROLE",), read)


def _nobody_knows(errors: list[BaseException]) -> redis.ConnectionError:
    """No node named the primary; the error that says most about why is its cause."""
    failure = redis.ConnectionError("no node names a primary")
    telling = [error for error in errors if isinstance(error, ResponseError | AuthenticationError)]
    failure.__cause__ = (telling or errors or [None])[0]
    return failure


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
