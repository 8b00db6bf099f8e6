"""A batch in pieces, so that no script call does more than a bounded part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")


def pieces(items: Iterable[Item], work: Callable[[Item], int], at_once: int) -> Iterator[list[Item]]:
    """The items in their order, as many together as do not exceed `at_once`; one that does so alone is a piece.

    Args:
        items: What is to be done.
        work: How much an item is, in the unit of `at_once`.
        at_once: How much one piece may be.
    """
    piece: list[Item] = []
    left = at_once
    for item in items:
        size = work(item)
        if piece and size > left:
            yield piece
            piece, left = [], at_once
        piece.append(item)
        left -= size
    if piece:
        yield piece
