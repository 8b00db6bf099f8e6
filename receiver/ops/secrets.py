"""Secrets: where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

MAX_INDEX_SECRETS = 2
"""Secrets of the index at once: one to write with, and the one before. Each is a further look-up for every logout."""

MIN_INDEX_SECRET_CHARS = 32
"""Shortest of these secrets, in characters: a shorter one can be found by trying."""


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


def parse_index_secrets(text: str) -> list[str]:
    """The secrets of the evictor's index, one a line: the one to write with, and below it the one before.

    Raises:
        ValueError: none, more than two, a short one, or the same twice. None is quoted.
    """
    secrets = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(secrets) <= MAX_INDEX_SECRETS:
        raise ValueError(f"index_secret: {len(secrets)} lines; one secret, or the new one and below it the one before")
    if len(set(secrets)) != len(secrets):
        raise ValueError("index_secret: the same secret stands twice")
    if min(map(len, secrets)) < MIN_INDEX_SECRET_CHARS:
        raise ValueError(
            f"index_secret: a secret is at least {MIN_INDEX_SECRET_CHARS} characters; `openssl rand -hex 32` makes one"
        )
    return secrets
