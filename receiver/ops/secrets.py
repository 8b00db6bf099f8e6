"""Secrets: where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def read_secret(path: Path) -> str:
    """The text of a mounted secret, without the line end editors add.

    Raises:
        ConfigurationError: it cannot be read or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the secret file {path}: {type(error).__name__}") from error
    if not text:
        raise ConfigurationError(f"the secret file {path} is empty")
    return text
