"""The script that replaces a value: compare-and-set, of a string and of a field, with the lifetime as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.blobs import SWAP, swap_arguments

if TYPE_CHECKING:
    import redis.asyncio

BESIDE: dict[Any, Any] = {"absexp": "-1"}


@pytest.mark.parametrize(
    ("there", "new", "reply", "after"),
    [
        (b"read", b"new", 1, b"new"),
        (b"read", None, 1, None),
        (b"other", b"new", 0, b"other"),
        (b"other", None, 0, b"other"),
        (None, b"new", 1, None),
    ],
    ids=["same", "same, to be deleted", "changed", "changed, to be deleted", "gone"],
)
@pytest.mark.parametrize("field", ["", "data"])
async def test_swap(
    redis_client: redis.asyncio.Redis, *, field: str, there: bytes | None, new: bytes | None, reply: int,
    after: bytes | None,
) -> None:  # fmt: skip
    """What was read is replaced, or its key deleted; what has changed stays, and what is gone does not come back."""
    if field and there:
        await redis_client.hset("v", mapping={**BESIDE, field: there})
    elif there:
        await redis_client.set("v", there)
    await redis_client.expire("v", 500)

    assert reply == await SWAP.run(redis_client, ["v"], swap_arguments(field, b"read", new))

    if after is None:
        assert not await redis_client.exists("v")
    else:
        found = await redis_client.hgetall("v") if field else await redis_client.get("v")
        assert found == ({b"absexp": b"-1", field.encode(): after} if field else after)
        assert 400 < await redis_client.ttl("v") <= 500
