"""Where a process has its settings from, so that it can read them again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from receiver.ops import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from receiver.ops.settings import Settings

State = tuple[int, int, int]
"""Inode, time of the last change and size of a file: a file written anew, replaced, or behind another symbolic link
differs in one of them."""


@dataclass(slots=True)
class SettingsSource:
    """A file and a command line, read again on demand, with the environment.

    Attributes:
        config: YAML file; None for the one the environment names, or none.
        overrides: `key.path=value` texts.
    """

    config: Path | None = None
    overrides: tuple[str, ...] = ()
    _states: Mapping[Path, State | None] = field(default_factory=dict, init=False)

    def read(self) -> Settings:
        """As `settings.load`; raises what that does."""
        own = settings.config_file(self.config)
        known = {*self._states, *([own] if own else ())}
        while True:
            before = states_of(known)
            read = settings.load(self.config, list(self.overrides))
            if read.tenants_file is None or read.tenants_file in known:
                break
            # It was read before anything was known of it.
            known.add(read.tenants_file)
        # Every other file is opened later, by the part that needs it.
        self._states = {file: before.get(file, state) for file, state in states_of(self.files(read)).items()}
        return read

    def states_when_read(self, of: Settings) -> Mapping[Path, State | None]:
        """What each of `files` was before it was read last: one that differs by now has changed since."""
        return {file: self._states.get(file, state) for file, state in states_of(self.files(of)).items()}

    def files(self, of: Settings) -> frozenset[Path]:
        """Every file that is read: the settings' own, and all that they name. Not those that are written."""
        own = settings.config_file(self.config)
        found = {own} if own else set()
        _collect(of, found)
        return frozenset(found - {of.outbox.path})


def states_of(files: Iterable[Path]) -> Mapping[Path, State | None]:
    """Each file's state; None for one that cannot be looked at."""
    return {file: _state_of(file) for file in files}


def _state_of(file: Path) -> State | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _collect(value: object, found: set[Path]) -> None:
    if isinstance(value, Path):
        found.add(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            _collect(getattr(value, name), found)
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            _collect(one, found)
