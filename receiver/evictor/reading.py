"""Read values in groups that fit into memory together: a program that fills a cache must not exhaust the worker's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.layouts.foreign_json import MAX_BYTES
from receiver.core.layouts.layout import Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from receiver.evictor.caches import Cache

GROUP_BYTES = 2 * MAX_BYTES
"""Bytes of all values read at once, at most: 32 MiB. What is made of them costs several times as much."""

GROUP_OF_UNKNOWN = 20
"""Values read at once where their sizes cannot be asked for."""


async def read(cache: Cache, keys: Sequence[str]) -> AsyncIterator[dict[str, Value]]:
    """The values that are there, opened, in groups; one that is too large is not read at all.

    May raise what `connection.Failure` names.
    """
    sizes = await cache.store.sizes(keys, cache.layout.fields)
    too_large = [key for key, size in zip(keys, sizes or (), strict=False) if size > MAX_BYTES]
    if too_large:
        problem = frozenset({"too_large"})
        yield {key: Value({}, {}, readable=False, bears_signature=False, problems=problem) for key in too_large}
    for group in _groups(keys, sizes):
        raw = zip(group, await cache.store.read(group, cache.layout.fields), strict=True)
        yield {key: cache.open(value) for key, value in raw if value is not None}


async def read_one(cache: Cache, key: str) -> Value | None:
    """One value; None when it is not there."""
    found = [group async for group in read(cache, [key])]
    return next((group[key] for group in found if key in group), None)


def _groups(keys: Sequence[str], sizes: Sequence[int] | None) -> Iterator[list[str]]:
    if sizes is None:
        yield from (list(keys[start : start + GROUP_OF_UNKNOWN]) for start in range(0, len(keys), GROUP_OF_UNKNOWN))
        return
    group: list[str] = []
    weight = 0
    for key, size in zip(keys, sizes, strict=True):
        if size > MAX_BYTES:
            continue
        if group and weight + size > GROUP_BYTES:
            yield group
            group, weight = [], 0
        group.append(key)
        weight += size
    if group:
        yield group
