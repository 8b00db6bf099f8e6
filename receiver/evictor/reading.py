"""Read values in groups that fit into memory together: a program that fills a cache must not exhaust the worker's."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from receiver.bus.link.pieces import pieces
from receiver.core.layouts.foreign_json import MAX_BYTES
from receiver.core.layouts.layout import TOO_LARGE, Raw, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from receiver.evictor.caches import Cache

LARGE = 256 * 1024
"""Bytes from which on a value is read by itself. What is made of it costs several times as much."""

GROUP_BYTES = 4 * 1024 * 1024
"""Bytes of all values read at once, at most, but for large ones."""

GROUP_OF_UNKNOWN = 20
"""Values read at once where their sizes cannot be asked for."""


async def read(cache: Cache, keys: Sequence[str], *, waits: bool = True) -> AsyncIterator[dict[str, Value]]:
    """The values that are there, opened, in groups; one that is too large is not read at all.

    A large one is read once for all who ask at the same time, and by itself; of the others no more are given out than
    fit into the cache's room. So nothing is to be read while a group is held, but by `read_one`. May raise what
    `connection.Failure` names.
    """
    sizes = await cache.store.sizes(keys, _first(cache))
    of_key = dict(zip(keys, sizes, strict=True)) if sizes is not None else {}
    too_large = [key for key, size in of_key.items() if size > MAX_BYTES]
    if too_large:
        problem = frozenset({TOO_LARGE})
        yield {key: Value({}, {}, readable=False, bears_signature=False, problems=problem) for key in too_large}
    for group in _groups([key for key in keys if of_key.get(key, 0) <= LARGE], of_key):
        yield await _opened(cache, group)
    for key in [key for key in keys if LARGE < of_key.get(key, 0) <= MAX_BYTES]:
        async with cache.room.hold(key, of_key[key]) if waits else contextlib.nullcontext():
            value = await cache.reads.ask(key, None, functools.partial(_opened_for, cache, key))
            if value is not None:
                yield {key: value}
            # Not kept while the next one is waited for.
            del value


async def read_one(cache: Cache, key: str) -> Value | None:
    """One value, even when much else is held; None when it is not there."""
    found = [group async for group in read(cache, [key], waits=False)]
    return next((group[key] for group in found if key in group), None)


async def _opened(cache: Cache, keys: Sequence[str]) -> dict[str, Value]:
    raw = zip(keys, await cache.store.read(keys, _first(cache)), strict=True)
    values = {key: cache.open(key, value) for key, value in raw if value is not None}
    unreadable = [key for key, value in values.items() if not value.readable]
    if unreadable and _further(cache):
        values |= await _opened_with_further(cache, {key: values[key].raw for key in unreadable})
    return values


async def _opened_with_further(cache: Cache, raw: Mapping[str, Raw]) -> dict[str, Value]:
    """With the fields by which the layout's own values are recognised; without those that are too large for it."""
    keys, fields = list(raw), _further(cache)
    sizes = await cache.store.sizes(keys, fields) or [0] * len(keys)
    keys = [key for key, size in zip(keys, sizes, strict=True) if size <= LARGE]
    found = zip(keys, await cache.store.read(keys, fields), strict=True)
    return {key: cache.open(key, {**raw[key], **(further or {})}) for key, further in found}


def _first(cache: Cache) -> Sequence[str] | None:
    """The field with the value; None for all fields."""
    return None if cache.layout.fields is None else cache.layout.fields[:1]


def _further(cache: Cache) -> Sequence[str]:
    return (cache.layout.fields or ())[1:]


async def _opened_for(cache: Cache, key: str, asked: Sequence[None]) -> list[Value | None]:
    """The same value for each who asks at once."""
    return [(await _opened(cache, [key])).get(key)] * len(asked)


def _groups(keys: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    return pieces(keys, sizes.__getitem__, GROUP_BYTES) if sizes else pieces(keys, lambda _: 1, GROUP_OF_UNKNOWN)
