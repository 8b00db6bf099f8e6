"""Each reason why Redis cannot be reached has its own sentence, without addresses or credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from receiver.bus.link.connection import connect, describe, ping
from receiver.bus.link.embedded import EmbeddedRedis
from tests.support.raw_server import raw_server

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def guarded() -> Iterator[EmbeddedRedis]:
    """A Redis with a password."""
    with EmbeddedRedis(arguments=("--requirepass", "hunter2")) as server:
        yield server


async def said(url: str, **options: Any) -> str:
    """What a failed attempt is described as."""
    client = connect(url, timeout_s=2, **options)
    try:
        return await ping(client)
    finally:
        await client.aclose()


@pytest.mark.parametrize("options", [{}, {"password": "hunter3"}, {"username": "me", "password": "hunter2"}])
async def test_user_or_password(guarded: EmbeddedRedis, options: dict[str, str]) -> None:
    """None, a wrong one, a wrong user."""
    assert "AuthenticationError: user name or password is missing or wrong" == await said(guarded.url, **options)


async def test_database(guarded: EmbeddedRedis) -> None:
    """One that the server does not have."""
    url = guarded.url.removesuffix("/0") + "/99"
    assert "ResponseError: DB index is out of range" == await said(url, password="hunter2")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+sentinel://127.0.0.1:1/main/0"])
async def test_port(url: str) -> None:
    """Nothing listens there, also where a Sentinel should."""
    assert "ConnectionError: nothing listens on its port" == await said(url)


async def test_host() -> None:
    """A name nothing has, by RFC 2606."""
    assert "ConnectionError: its host name is not known" == await said("redis://redis.invalid/0")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "InvalidResponse: what answers there is no Redis"),
        (b"", "no answer in time"),
    ],
)
async def test_something_else_than_redis(answer: bytes, sentence: str) -> None:
    """A web server's port, and one that never says anything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer:
            writer.write(answer)
        else:
            await reader.read()

    async with raw_server(serve) as port:
        client = connect(f"redis://127.0.0.1:{port}/0", timeout_s=5 if answer else 0.3)

        assert sentence in await ping(client)
        await client.aclose()


BEFORE_7 = (
    "Error running script (call to f_ff967d0ae0e68b4f9e360fa91c54598bc25ad9b6): @user_script:9: @user_script: 9: "
)
"""As Redis 6.2 writes it, where the command failed in line 9."""


@pytest.mark.parametrize(
    ("reply", "described"),
    [
        ("-OOM command not allowed when used memory > 'maxmemory'.", "OutOfMemoryError: command not allowed"),
        ("-READONLY You can't write against a read only replica.", "ReadOnlyError: You can't write"),
        ("The user executing the script can't run this command", "ResponseError: The user executing"),
    ],
)
def test_command_in_a_script_before_redis_7(reply: str, described: str) -> None:
    """What stops a write in a script has the name it has since, and not the script's."""
    assert describe(redis.ResponseError(BEFORE_7 + reply)).startswith(described)


async def test_command_in_a_script() -> None:
    """A full memory has its own name, by whichever version runs here."""
    with EmbeddedRedis() as server:
        client = connect(server.url, timeout_s=2)
        await client.execute_command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(redis.ResponseError) as caught:
            await client.eval("return redis.call('set', KEYS[1], 'v')", 1, "k")
        await client.aclose()

    assert describe(caught.value).startswith("OutOfMemoryError: ")
