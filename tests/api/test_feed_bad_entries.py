"""A feed whose stream holds what no publisher of ours wrote: it goes on, without a reset, and says so once."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from receiver.bus.keys import KeyNames
from tests.support.bad_entries import ALL, IN_BETWEEN, OTHER_TYPE, TOLERATED, Bad

if TYPE_CHECKING:
    from tests.api.conftest import Api


def ids(bad: Bad) -> str:
    """Name of a case."""
    return bad.name.replace(" ", "_")


@pytest.mark.parametrize("resumed", [False, True], ids=["live", "resumed"])
@pytest.mark.parametrize("bad", [*ALL, *TOLERATED], ids=ids)
async def test_what_comes_after_is_sent(api: Api, caplog: pytest.LogCaptureFixture, bad: Bad, *, resumed: bool) -> None:
    """The events before and after arrive; the entry is counted and named once, however many feeds read it."""
    first = await api.evict("first")
    with caplog.at_level(logging.ERROR, "receiver.feed"):
        async with api.feed() as live, api.feed() as other:
            entry_id = await bad.add(api.receiver.redis)
            after = await api.evict("after")
            async with api.feed(first["entry_id"]) as late:
                for feed in (late,) if resumed else (live, other):
                    blocks = [await feed.event() for _ in range(1 + (bad.heard or bad.other_type))]
                    assert after["entry_id"] == blocks[-1].id
                    assert {"eviction"} == {block.event for block in blocks}
                    if bad.heard:
                        assert IN_BETWEEN == json.loads(blocks[0].data or "")["id"]
                    if bad.other_type:
                        assert OTHER_TYPE.event == json.dumps(json.loads(blocks[0].data or "")).encode()
    wrong = bad not in TOLERATED and not bad.other_type
    assert wrong == api.metric("logout_sse_skipped_total")
    assert [entry_id] * wrong == [record.fields["entry_id"] for record in caplog.records]  # type: ignore[attr-defined]
    assert 0 == api.metric("logout_sse_resets_total")


async def test_a_gap_behind_such_entries_is_told(api: Api) -> None:
    """Entries without a number excuse as many missing ones as there are, not more."""
    first = await api.evict("first")
    bad = next(bad for bad in ALL if bad.heard and bad.uses_number)
    await bad.add(api.receiver.redis)
    await api.receiver.redis.incr(KeyNames().sequence)
    await api.evict("after")
    async with api.feed(first["entry_id"]) as feed:
        assert ["eviction", "reset", "eviction"] == [block.event for block in await feed.events(3)]


async def test_a_damaged_sequence(api: Api) -> None:
    """A feed opens also where the last number given cannot be read."""
    await api.receiver.redis.set(KeyNames().sequence, "abc")
    async with api.feed() as feed:
        await api.receiver.redis.set(KeyNames().sequence, 6)
        ordered = await api.evict("after")
        assert ordered["entry_id"] == (await feed.event()).id
