"""Paths that are not checked: only where no server, router or proxy could read another path in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# No percent sign, backslash, empty or dot segment: some layer may decode, join or resolve what follows it.
_PLAIN = re.compile(r"(?:/(?![. ]+(?:/|\Z))[A-Za-z0-9_~!$&'()*+,=:@. -]+)*/?")


class Exempt:
    """The paths an app has named.

    Args:
        paths: `/healthz` means exactly this one, `/static/` all below it.

    Attributes:
        contains: `path in exempt` as a function; the set's own where there is nothing but the set.

    Raises:
        ConfigurationError: not a list of paths that begin with a slash.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        given = () if isinstance(paths, str) else tuple(paths)
        if isinstance(paths, str) or not all(str(path).startswith("/") for path in given):
            raise ConfigurationError("exempt: expected a list of paths that begin with a slash")
        self._exactly = frozenset(given)
        self._below = tuple(path for path in self._exactly if path.endswith("/"))
        self.contains: Callable[[str], bool] = self.__contains__ if self._below else self._exactly.__contains__

    def __contains__(self, path: str) -> bool:
        """Whether requests for this path, as the app is given it, are not checked.

        Below a path that ends in a slash, only names of plain characters are: `/static/../account` may be the account
        page to the app, and a check costs less than a mistake.
        """
        return path in self._exactly or (path.startswith(self._below) and is_plain(path))


def is_plain(path: str) -> bool:
    """Whether every layer reads this path the same: ASCII letters, digits and marks, no dot or empty segment."""
    return _PLAIN.fullmatch(path) is not None
