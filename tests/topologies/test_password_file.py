"""A password of Redis in a file that is changed while connections are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.bus.link.connection import connect
from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

USER = "rotating"


@pytest.fixture
async def passwords(redis_client: redis.asyncio.Redis) -> AsyncIterator[redis.asyncio.Redis]:
    """The server, with a user whose password is `old`."""
    await redis_client.acl_setuser(USER, enabled=True, passwords=["+old"], keys=["*"], categories=["+@all"])
    yield redis_client
    await redis_client.acl_deluser(USER)


async def test_rotated_password(passwords: redis.asyncio.Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    """New connections log in with what the file holds by then; a file that is away for a moment changes nothing."""
    file = tmp_path / "password"
    file.write_text("old\n")
    client = connect(redis_server.url, timeout_s=1, username=USER, password_file=file)
    try:
        assert USER == await client.acl_whoami()
        await passwords.acl_setuser(USER, enabled=True, passwords=["+new"])
        await passwords.acl_setuser(USER, enabled=True, passwords=["-old"])
        file.write_text("new\n")
        assert USER == await client.acl_whoami()
        for absent in (False, True):
            if absent:
                file.unlink()
            await client.connection_pool.disconnect()
            assert USER == await client.acl_whoami()
    finally:
        await client.aclose()


def test_file_that_is_not_there(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    """At the start that is an error of configuration."""
    with pytest.raises(ConfigurationError):
        _ = connect(redis_server.url, timeout_s=1, username=USER, password_file=tmp_path / "absent")
