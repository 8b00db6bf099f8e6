"""The scripts, as files; each begins with what its keys and arguments are. Code that several share is in parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.resources.abc import Traversable

    import redis.asyncio

Argument = str | bytes | int | float


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
    def read(cls, name: str, *parts: str) -> Self:
        """The script in `<name>.lua` beside this module.

        Args:
            name: Of the file.
            parts: What it shares with other scripts: `part_<name>.lua`, put in front. Redis has no modules for scripts.
        """
        folder: Traversable = files(__name__)
        names = [*(f"part_{part}" for part in parts), name]
        text = "\n".join((folder / f"{one}.lua").read_text(encoding="utf-8") for one in names)
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    async def run(self, client: redis.asyncio.Redis, keys: Sequence[str], arguments: Iterable[Argument] = ()) -> Any:
        """What the script returns. A server that has forgotten it is sent the text with EVAL.

        May raise what `connection.Failure` names.
        """
        call: tuple[Any, ...] = (len(keys), *keys, *arguments)
        try:
            return await client.evalsha(self.sha, *call)
        except NoScriptError:
            return await client.eval(self.text, *call)

    async def run_loaded(
        self, client: redis.asyncio.Redis, keys: Sequence[str], arguments: Iterable[Argument] = ()
    ) -> Any:
        """The same with SCRIPT LOAD in place of EVAL: the receiver's Redis user has the right to that one only."""
        call: tuple[Any, ...] = (len(keys), *keys, *arguments)
        try:
            return await client.evalsha(self.sha, *call)
        except NoScriptError:
            await client.script_load(self.text)
            return await client.evalsha(self.sha, *call)
