"""Encrypted tokens are opened beside the event loop: many of them hold up no other logout."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwe
from joserfc.jwk import RSAKey

from receiver.errors import Code
from receiver.ingress.inputs.token_parser import MAX_WAITING
from tests.support.keys import rsa_pair
from tests.support.receiver import Answer, Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

KEY = rsa_pair("enc")


def encrypted(signed: str) -> str:
    """A JWE for us."""
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}
    return jwe.encrypt_compact(
        header, signed, RSAKey.import_key(KEY.published(use=None)), algorithms=[*header.values()]
    )


class Gate:
    """Holds every decryption up until it is opened; what is decrypted then is really decrypted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.reached = threading.Event()
        self._decrypt = jwe.decrypt_compact
        monkeypatch.setattr(jwe, "decrypt_compact", self._wait)

    def _wait(self, *arguments: object, **options: object) -> object:
        self.reached.set()
        self.opened.wait()
        return self._decrypt(*arguments, **options)  # type: ignore[arg-type]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Decryption that waits."""
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, tmp_path: Path
) -> AsyncIterator[Receiver]:
    """A receiver whose tenant has a decryption key."""
    path = tmp_path / "decryption-key.pem"
    path.write_bytes(KEY.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tenant = t1(op, decryption_key_file=str(path))
    async with start_receiver(redis_server.url, redis_client, clock, [tenant]) as running:
        yield running


async def answers(posted: set[asyncio.Task[Answer]]) -> list[int]:
    """Their statuses, when all are answered."""
    return [answer.status for answer in await asyncio.gather(*posted)]


async def test_plain_logouts_pass_encrypted_ones(gate: Gate, receiver: Receiver, op: OP) -> None:
    """While encrypted tokens are being opened, signed ones are accepted; then the encrypted ones are, too."""
    waiting = {asyncio.create_task(receiver.post(encrypted(op.token()))) for _ in range(3)}
    assert await asyncio.to_thread(gate.reached.wait, 30)

    plain = await receiver.post(op.token())

    assert (200, 1) == (plain.status, len(await receiver.events()))
    assert not any(task.done() for task in waiting)
    gate.opened.set()
    assert [200, 200, 200] == await answers(waiting)
    assert 4 == len(await receiver.events())


async def test_those_that_wait_are_bounded(gate: Gate, receiver: Receiver, op: OP) -> None:
    """Beyond the bound an encrypted token is answered 429, to be sent again; a plain one is not."""
    tokens = [encrypted(op.token()) for _ in range(MAX_WAITING + 1)]
    posted = {asyncio.create_task(receiver.post(sent)) for sent in tokens}

    [refused], waiting = await asyncio.wait(posted, return_when=asyncio.FIRST_COMPLETED)

    assert (429, Code.BUSY) == (refused.result().status, refused.result().code)
    assert "Retry-After" in refused.result().headers
    assert 200 == (await receiver.post(op.token())).status
    gate.opened.set()
    assert [200] * MAX_WAITING == await answers(waiting)
