"""The scripts, as files; each begins with what its keys and arguments are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name Redis knows it by.

    Attributes:
        text: Lua.
        sha: SHA-1 of the text, for EVALSHA.
    """

    text: str
    sha: str

    @classmethod
    def read(cls, name: str) -> Self:
        """The script in `<name>.lua` beside this module."""
        folder: Traversable = files(__name__)
        text = (folder / f"{name}.lua").read_text(encoding="utf-8")
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
