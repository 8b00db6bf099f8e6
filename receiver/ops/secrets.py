"""Secrets: where they come from, and what they must look like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

MIN_TOKEN_CHARS = 16
"""Shortest token of the API: a shorter one can be guessed."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)


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


def split_tokens(text: str) -> list[str]:
    """The bearer tokens in a setting or a file, one per line.

    Raises:
        ValueError: none, or one that is too short or has characters no header may hold.
    """
    tokens = text.split()
    if not tokens:
        raise ValueError("token is empty")
    if any(len(token) < MIN_TOKEN_CHARS or _TOKEN.fullmatch(token) is None for token in tokens):
        raise ValueError(
            f"token: each is at least {MIN_TOKEN_CHARS} letters, digits or -._~+/ (RFC 6750); `openssl rand -hex 32`"
        )
    return tokens
