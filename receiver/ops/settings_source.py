"""Where a process has its settings from, so that it can read them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from receiver.ops import settings

if TYPE_CHECKING:
    from receiver.ops.settings import Settings


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """A file and a command line, read again on demand, with the environment.

    Attributes:
        config: YAML file; None for the one the environment names, or none.
        overrides: `key.path=value` texts.
    """

    config: Path | None = None
    overrides: tuple[str, ...] = ()

    def read(self) -> Settings:
        """As `settings.load`; raises what that does."""
        return settings.load(self.config, list(self.overrides))

    def files(self, of: Settings) -> frozenset[Path]:
        """Every file that is read: the settings' own, and all that they name. Not those that are written."""
        own = settings.config_file(self.config)
        found = {own} if own else set()
        _collect(of, found)
        return frozenset(found - {of.outbox.path})


def _collect(value: object, found: set[Path]) -> None:
    if isinstance(value, Path):
        found.add(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            _collect(getattr(value, name), found)
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            _collect(one, found)
