"""What a stack itself keeps beside its values, as Spring Session does: an index by user, keys that expire with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from receiver.evictor.caches import Cache


async def indexed_keys(cache: Cache, users: Iterable[str]) -> set[str]:
    """The keys that the stack's index has for these users."""
    members = [member for name in cache.index_sets(users) for member in await cache.store.members(name)]
    return {cache.head + name for member in members if (name := cache.layout.name_in(member)) is not None}


async def forget(cache: Cache, key: str, users: Iterable[str]) -> None:
    """Delete what is beside a value that was deleted, if it was one of these users'."""
    name = cache.name_of(key)
    await cache.store.delete(cache.layout.kept_beside(cache.prefix, [name]))
    for index in cache.index_sets(users):
        for member in await cache.store.members(index):
            if cache.layout.name_in(member) == name:
                await cache.store.remove_member(index, member)


async def tidy(cache: Cache, keys: Iterable[str]) -> None:
    """Delete what a request in flight wrote beside its value after that was deleted."""
    names = {key: cache.name_of(key) for key in keys}
    if cache.layout.kept_beside(cache.prefix, names.values()):
        values = zip(names, await cache.store.read(list(names), cache.layout.fields), strict=True)
        gone = [names[key] for key, value in values if value is None]
        await cache.store.delete(cache.layout.kept_beside(cache.prefix, gone))
