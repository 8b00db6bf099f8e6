"""`receiver doctor` on the addresses that OPs call beside that for logout tokens: called for real."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.diagnosis import doctor
from receiver.ops.settings import Settings
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

ON: dict[str, Any] = {"commands": {}, "global_revocation": {}, "ssf": {}}


async def found(op: OP, url: str | None, sections: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Outcome and text of each check of these addresses."""
    settings = Settings(public={"url": url}, redis={"url": "redis://127.0.0.1:1/0"}, tenants=[t1(op, **sections)])
    return {one.name: (one.outcome, one.text) for one in await doctor.examine(settings) if one.name in ON}


@pytest.mark.parametrize(
    ("served", "expected"), [(ON, "ok"), ({}, "failed")], ids=["the same settings", "receivers without the sections"]
)
async def test_address_that_is_answered(  # noqa: PLR0917  # fixtures and a table
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, served: dict[str, Any],
    expected: str,
) -> None:  # fmt: skip
    """A receiver that takes such calls is recognised, and one that does not; nothing is published."""
    public = {"url": "https://logout.example"}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op, **served)], public=public) as receiver:
        checks = await found(op, receiver.public, ON)
        assert dict.fromkeys(ON, expected) == {name: outcome for name, (outcome, _) in checks.items()}
        assert [] == await receiver.events()
    if expected == "ok":
        assert "offered: metadata, invalidate, invalidate_async" in checks["commands"][1]


async def test_address_that_cannot_be_reached(op: OP) -> None:
    """It is a warning, as the OP may have another way; without `public.url`, or the section, there is no check."""
    unreached = await found(op, "http://127.0.0.1:1", ON)
    assert dict.fromkeys(ON, "warning") == {name: outcome for name, (outcome, _) in unreached.items()}
    assert {} == await found(op, None, {"ssf": {}})
    assert {} == await found(op, "http://127.0.0.1:1", {"ssf": {"delivery": "poll", "access": {"token": "t"}}})
